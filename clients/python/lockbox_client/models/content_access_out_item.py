from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.look_kind_enum import LookKindEnum, check_look_kind_enum
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.resource_ref import ResourceRef


T = TypeVar("T", bound="ContentAccessOutItem")


@_attrs_define
class ContentAccessOutItem:
    """`item` names what was looked at and quotes nothing of it; it is empty for a list. `names` is how many a list had.

    `opened` was shown on a page, `downloaded` left as a file. `part` is an attachment of a message. What was allowed
    elsewhere was asked for by a service there.

        Attributes:
            id (UUID | Unset):
            at (datetime.datetime | Unset):
            kind (LookKindEnum | Unset): * `list_asked` - list_asked
                * `listed` - listed
                * `opened` - opened
                * `downloaded` - downloaded
                * `failed` - failed
                * `cut` - cut
                * `list_allowed` - list_allowed
                * `read_allowed` - read_allowed
                * `download_allowed` - download_allowed
            resource (ResourceRef | Unset):
            item (str | Unset):
            part (str | Unset):
            names (int | Unset):
    """

    id: UUID | Unset = UNSET
    at: datetime.datetime | Unset = UNSET
    kind: LookKindEnum | Unset = UNSET
    resource: ResourceRef | Unset = UNSET
    item: str | Unset = UNSET
    part: str | Unset = UNSET
    names: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        at: str | Unset = UNSET
        if not isinstance(self.at, Unset):
            at = self.at.isoformat()

        kind: str | Unset = UNSET
        if not isinstance(self.kind, Unset):
            kind = self.kind

        resource: dict[str, Any] | Unset = UNSET
        if not isinstance(self.resource, Unset):
            resource = self.resource.to_dict()

        item = self.item

        part = self.part

        names = self.names

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if at is not UNSET:
            field_dict["at"] = at
        if kind is not UNSET:
            field_dict["kind"] = kind
        if resource is not UNSET:
            field_dict["resource"] = resource
        if item is not UNSET:
            field_dict["item"] = item
        if part is not UNSET:
            field_dict["part"] = part
        if names is not UNSET:
            field_dict["names"] = names

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.resource_ref import ResourceRef

        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        _at = d.pop("at", UNSET)
        at: datetime.datetime | Unset
        if isinstance(_at, Unset):
            at = UNSET
        else:
            at = datetime.datetime.fromisoformat(_at)

        _kind = d.pop("kind", UNSET)
        kind: LookKindEnum | Unset
        if isinstance(_kind, Unset):
            kind = UNSET
        else:
            kind = check_look_kind_enum(_kind)

        _resource = d.pop("resource", UNSET)
        resource: ResourceRef | Unset
        if isinstance(_resource, Unset):
            resource = UNSET
        else:
            resource = ResourceRef.from_dict(_resource)

        item = d.pop("item", UNSET)

        part = d.pop("part", UNSET)

        names = d.pop("names", UNSET)

        content_access_out_item = cls(
            id=id,
            at=at,
            kind=kind,
            resource=resource,
            item=item,
            part=part,
            names=names,
        )

        content_access_out_item.additional_properties = d
        return content_access_out_item

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
