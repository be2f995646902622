from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="CommentOut")


@_attrs_define
class CommentOut:
    """`is_internal` are notes of the provider's side, which a customer is not shown.

    Attributes:
        id (UUID):
        author (PersonRef):
        body (str):
        is_internal (bool):
        at (datetime.datetime):
    """

    id: UUID
    author: PersonRef
    body: str
    is_internal: bool
    at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        author = self.author.to_dict()

        body = self.body

        is_internal = self.is_internal

        at = self.at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "author": author,
                "body": body,
                "is_internal": is_internal,
                "at": at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        author = PersonRef.from_dict(d.pop("author"))

        body = d.pop("body")

        is_internal = d.pop("is_internal")

        at = datetime.datetime.fromisoformat(d.pop("at"))

        comment_out = cls(
            id=id,
            author=author,
            body=body,
            is_internal=is_internal,
            at=at,
        )

        comment_out.additional_properties = d
        return comment_out

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
