from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.look_kind_enum import LookKindEnum, check_look_kind_enum

if TYPE_CHECKING:
    from ..models.resource_ref import ResourceRef


T = TypeVar("T", bound="ContentAccessOut")


@_attrs_define
class ContentAccessOut:
    """`item` names what was looked at and quotes nothing of it; it is empty for a list. `names` is how many a list had.

    `opened` was shown on a page, `downloaded` left as a file. `part` is an attachment of a message. What was allowed
    elsewhere was asked for by a service there.

        Attributes:
            id (UUID):
            at (datetime.datetime):
            kind (LookKindEnum): * `list_asked` - list_asked
                * `listed` - listed
                * `opened` - opened
                * `downloaded` - downloaded
                * `failed` - failed
                * `cut` - cut
                * `list_allowed` - list_allowed
                * `read_allowed` - read_allowed
                * `download_allowed` - download_allowed
            resource (ResourceRef):
            item (str):
            part (str):
            names (int):
    """

    id: UUID
    at: datetime.datetime
    kind: LookKindEnum
    resource: ResourceRef
    item: str
    part: str
    names: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        at = self.at.isoformat()

        kind: str = self.kind

        resource = self.resource.to_dict()

        item = self.item

        part = self.part

        names = self.names

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "at": at,
                "kind": kind,
                "resource": resource,
                "item": item,
                "part": part,
                "names": names,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.resource_ref import ResourceRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        at = datetime.datetime.fromisoformat(d.pop("at"))

        kind = check_look_kind_enum(d.pop("kind"))

        resource = ResourceRef.from_dict(d.pop("resource"))

        item = d.pop("item")

        part = d.pop("part")

        names = d.pop("names")

        content_access_out = cls(
            id=id,
            at=at,
            kind=kind,
            resource=resource,
            item=item,
            part=part,
            names=names,
        )

        content_access_out.additional_properties = d
        return content_access_out

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
