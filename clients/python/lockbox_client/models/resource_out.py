from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.resource_kind_enum import ResourceKindEnum, check_resource_kind_enum

if TYPE_CHECKING:
    from ..models.service_ref import ServiceRef


T = TypeVar("T", bound="ResourceOut")


@_attrs_define
class ResourceOut:
    """`locator` is the service's own name for it. One that is not active can't be asked for, nor looked into.

    Attributes:
        id (UUID):
        service (ServiceRef):
        kind (ResourceKindEnum): * `mailbox` - mailbox
            * `library` - library
            * `database` - database
        name (str):
        locator (str):
        is_active (bool):
    """

    id: UUID
    service: ServiceRef
    kind: ResourceKindEnum
    name: str
    locator: str
    is_active: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        service = self.service.to_dict()

        kind: str = self.kind

        name = self.name

        locator = self.locator

        is_active = self.is_active

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "service": service,
                "kind": kind,
                "name": name,
                "locator": locator,
                "is_active": is_active,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.service_ref import ServiceRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        service = ServiceRef.from_dict(d.pop("service"))

        kind = check_resource_kind_enum(d.pop("kind"))

        name = d.pop("name")

        locator = d.pop("locator")

        is_active = d.pop("is_active")

        resource_out = cls(
            id=id,
            service=service,
            kind=kind,
            name=name,
            locator=locator,
            is_active=is_active,
        )

        resource_out.additional_properties = d
        return resource_out

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
