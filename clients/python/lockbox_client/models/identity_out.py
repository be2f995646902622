from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="IdentityOut")


@_attrs_define
class IdentityOut:
    """`issuer` and `subject` are by what the person is known.

    Attributes:
        id (UUID):
        person (PersonRef):
        issuer (str):
        subject (str):
        linked_at (datetime.datetime):
    """

    id: UUID
    person: PersonRef
    issuer: str
    subject: str
    linked_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        person = self.person.to_dict()

        issuer = self.issuer

        subject = self.subject

        linked_at = self.linked_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "person": person,
                "issuer": issuer,
                "subject": subject,
                "linked_at": linked_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        person = PersonRef.from_dict(d.pop("person"))

        issuer = d.pop("issuer")

        subject = d.pop("subject")

        linked_at = datetime.datetime.fromisoformat(d.pop("linked_at"))

        identity_out = cls(
            id=id,
            person=person,
            issuer=issuer,
            subject=subject,
            linked_at=linked_at,
        )

        identity_out.additional_properties = d
        return identity_out

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
