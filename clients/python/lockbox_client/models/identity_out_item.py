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


T = TypeVar("T", bound="IdentityOutItem")


@_attrs_define
class IdentityOutItem:
    """`issuer` and `subject` are by what the person is known.

    Attributes:
        id (UUID | Unset):
        person (PersonRef | Unset):
        issuer (str | Unset):
        subject (str | Unset):
        linked_at (datetime.datetime | Unset):
    """

    id: UUID | Unset = UNSET
    person: PersonRef | Unset = UNSET
    issuer: str | Unset = UNSET
    subject: str | Unset = UNSET
    linked_at: datetime.datetime | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        person: dict[str, Any] | Unset = UNSET
        if not isinstance(self.person, Unset):
            person = self.person.to_dict()

        issuer = self.issuer

        subject = self.subject

        linked_at: str | Unset = UNSET
        if not isinstance(self.linked_at, Unset):
            linked_at = self.linked_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if person is not UNSET:
            field_dict["person"] = person
        if issuer is not UNSET:
            field_dict["issuer"] = issuer
        if subject is not UNSET:
            field_dict["subject"] = subject
        if linked_at is not UNSET:
            field_dict["linked_at"] = linked_at

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

        _person = d.pop("person", UNSET)
        person: PersonRef | Unset
        if isinstance(_person, Unset):
            person = UNSET
        else:
            person = PersonRef.from_dict(_person)

        issuer = d.pop("issuer", UNSET)

        subject = d.pop("subject", UNSET)

        _linked_at = d.pop("linked_at", UNSET)
        linked_at: datetime.datetime | Unset
        if isinstance(_linked_at, Unset):
            linked_at = UNSET
        else:
            linked_at = datetime.datetime.fromisoformat(_linked_at)

        identity_out_item = cls(
            id=id,
            person=person,
            issuer=issuer,
            subject=subject,
            linked_at=linked_at,
        )

        identity_out_item.additional_properties = d
        return identity_out_item

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
