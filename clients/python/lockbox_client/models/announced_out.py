from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="AnnouncedOut")


@_attrs_define
class AnnouncedOut:
    """A change by the provider's staff. `effective_at` is null until a second person confirmed it; `confirmed_by` is
    null where nobody else was staff who could have confirmed it.

        Attributes:
            id (UUID):
            act (str):
            words (str):
            proposed_by (PersonRef):
            proposed_at (datetime.datetime):
            confirmed_by (None | PersonRef):
            confirmed_at (datetime.datetime | None):
            effective_at (datetime.datetime | None):
            expires_at (datetime.datetime):
    """

    id: UUID
    act: str
    words: str
    proposed_by: PersonRef
    proposed_at: datetime.datetime
    confirmed_by: None | PersonRef
    confirmed_at: datetime.datetime | None
    effective_at: datetime.datetime | None
    expires_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

        id = str(self.id)

        act = self.act

        words = self.words

        proposed_by = self.proposed_by.to_dict()

        proposed_at = self.proposed_at.isoformat()

        confirmed_by: dict[str, Any] | None
        if isinstance(self.confirmed_by, PersonRef):
            confirmed_by = self.confirmed_by.to_dict()
        else:
            confirmed_by = self.confirmed_by

        confirmed_at: None | str
        if isinstance(self.confirmed_at, datetime.datetime):
            confirmed_at = self.confirmed_at.isoformat()
        else:
            confirmed_at = self.confirmed_at

        effective_at: None | str
        if isinstance(self.effective_at, datetime.datetime):
            effective_at = self.effective_at.isoformat()
        else:
            effective_at = self.effective_at

        expires_at = self.expires_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "act": act,
                "words": words,
                "proposed_by": proposed_by,
                "proposed_at": proposed_at,
                "confirmed_by": confirmed_by,
                "confirmed_at": confirmed_at,
                "effective_at": effective_at,
                "expires_at": expires_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        act = d.pop("act")

        words = d.pop("words")

        proposed_by = PersonRef.from_dict(d.pop("proposed_by"))

        proposed_at = datetime.datetime.fromisoformat(d.pop("proposed_at"))

        def _parse_confirmed_by(data: object) -> None | PersonRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                confirmed_by_type_0 = PersonRef.from_dict(data)

                return confirmed_by_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef, data)

        confirmed_by = _parse_confirmed_by(d.pop("confirmed_by"))

        def _parse_confirmed_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                confirmed_at_type_0 = datetime.datetime.fromisoformat(data)

                return confirmed_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        confirmed_at = _parse_confirmed_at(d.pop("confirmed_at"))

        def _parse_effective_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                effective_at_type_0 = datetime.datetime.fromisoformat(data)

                return effective_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        effective_at = _parse_effective_at(d.pop("effective_at"))

        expires_at = datetime.datetime.fromisoformat(d.pop("expires_at"))

        announced_out = cls(
            id=id,
            act=act,
            words=words,
            proposed_by=proposed_by,
            proposed_at=proposed_at,
            confirmed_by=confirmed_by,
            confirmed_at=confirmed_at,
            effective_at=effective_at,
            expires_at=expires_at,
        )

        announced_out.additional_properties = d
        return announced_out

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
