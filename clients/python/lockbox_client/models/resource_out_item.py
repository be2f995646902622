from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.resource_kind_enum import ResourceKindEnum, check_resource_kind_enum
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.service_ref import ServiceRef


T = TypeVar("T", bound="ResourceOutItem")


@_attrs_define
class ResourceOutItem:
    """`locator` is the service's own name for it. One that is not active can't be asked for, nor looked into.

    Attributes:
        id (UUID | Unset):
        service (ServiceRef | Unset):
        kind (ResourceKindEnum | Unset): * `mailbox` - mailbox
            * `library` - library
            * `database` - database
        name (str | Unset):
        locator (str | Unset):
        is_active (bool | Unset):
    """

    id: UUID | Unset = UNSET
    service: ServiceRef | Unset = UNSET
    kind: ResourceKindEnum | Unset = UNSET
    name: str | Unset = UNSET
    locator: str | Unset = UNSET
    is_active: bool | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        service: dict[str, Any] | Unset = UNSET
        if not isinstance(self.service, Unset):
            service = self.service.to_dict()

        kind: str | Unset = UNSET
        if not isinstance(self.kind, Unset):
            kind = self.kind

        name = self.name

        locator = self.locator

        is_active = self.is_active

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if service is not UNSET:
            field_dict["service"] = service
        if kind is not UNSET:
            field_dict["kind"] = kind
        if name is not UNSET:
            field_dict["name"] = name
        if locator is not UNSET:
            field_dict["locator"] = locator
        if is_active is not UNSET:
            field_dict["is_active"] = is_active

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.service_ref import ServiceRef

        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        _service = d.pop("service", UNSET)
        service: ServiceRef | Unset
        if isinstance(_service, Unset):
            service = UNSET
        else:
            service = ServiceRef.from_dict(_service)

        _kind = d.pop("kind", UNSET)
        kind: ResourceKindEnum | Unset
        if isinstance(_kind, Unset):
            kind = UNSET
        else:
            kind = check_resource_kind_enum(_kind)

        name = d.pop("name", UNSET)

        locator = d.pop("locator", UNSET)

        is_active = d.pop("is_active", UNSET)

        resource_out_item = cls(
            id=id,
            service=service,
            kind=kind,
            name=name,
            locator=locator,
            is_active=is_active,
        )

        resource_out_item.additional_properties = d
        return resource_out_item

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
