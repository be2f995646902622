from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="CommentOutItem")


@_attrs_define
class CommentOutItem:
    """`is_internal` are notes of the provider's side, which a customer is not shown.

    Attributes:
        id (UUID | Unset):
        author (PersonRef | Unset):
        body (str | Unset):
        is_internal (bool | Unset):
        at (datetime.datetime | Unset):
    """

    id: UUID | Unset = UNSET
    author: PersonRef | Unset = UNSET
    body: str | Unset = UNSET
    is_internal: bool | Unset = UNSET
    at: datetime.datetime | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        author: dict[str, Any] | Unset = UNSET
        if not isinstance(self.author, Unset):
            author = self.author.to_dict()

        body = self.body

        is_internal = self.is_internal

        at: str | Unset = UNSET
        if not isinstance(self.at, Unset):
            at = self.at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if author is not UNSET:
            field_dict["author"] = author
        if body is not UNSET:
            field_dict["body"] = body
        if is_internal is not UNSET:
            field_dict["is_internal"] = is_internal
        if at is not UNSET:
            field_dict["at"] = at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef

        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        _author = d.pop("author", UNSET)
        author: PersonRef | Unset
        if isinstance(_author, Unset):
            author = UNSET
        else:
            author = PersonRef.from_dict(_author)

        body = d.pop("body", UNSET)

        is_internal = d.pop("is_internal", UNSET)

        _at = d.pop("at", UNSET)
        at: datetime.datetime | Unset
        if isinstance(_at, Unset):
            at = UNSET
        else:
            at = datetime.datetime.fromisoformat(_at)

        comment_out_item = cls(
            id=id,
            author=author,
            body=body,
            is_internal=is_internal,
            at=at,
        )

        comment_out_item.additional_properties = d
        return comment_out_item

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
