from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="AnnouncedOutItem")


@_attrs_define
class AnnouncedOutItem:
    """A change by the provider's staff. `effective_at` is null until a second person confirmed it; `confirmed_by` is
    null where nobody else was staff who could have confirmed it.

        Attributes:
            id (UUID | Unset):
            act (str | Unset):
            words (str | Unset):
            proposed_by (PersonRef | Unset):
            proposed_at (datetime.datetime | Unset):
            confirmed_by (None | PersonRef | Unset):
            confirmed_at (datetime.datetime | None | Unset):
            effective_at (datetime.datetime | None | Unset):
            expires_at (datetime.datetime | Unset):
    """

    id: UUID | Unset = UNSET
    act: str | Unset = UNSET
    words: str | Unset = UNSET
    proposed_by: PersonRef | Unset = UNSET
    proposed_at: datetime.datetime | Unset = UNSET
    confirmed_by: None | PersonRef | Unset = UNSET
    confirmed_at: datetime.datetime | None | Unset = UNSET
    effective_at: datetime.datetime | None | Unset = UNSET
    expires_at: datetime.datetime | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        act = self.act

        words = self.words

        proposed_by: dict[str, Any] | Unset = UNSET
        if not isinstance(self.proposed_by, Unset):
            proposed_by = self.proposed_by.to_dict()

        proposed_at: str | Unset = UNSET
        if not isinstance(self.proposed_at, Unset):
            proposed_at = self.proposed_at.isoformat()

        confirmed_by: dict[str, Any] | None | Unset
        if isinstance(self.confirmed_by, Unset):
            confirmed_by = UNSET
        elif isinstance(self.confirmed_by, PersonRef):
            confirmed_by = self.confirmed_by.to_dict()
        else:
            confirmed_by = self.confirmed_by

        confirmed_at: None | str | Unset
        if isinstance(self.confirmed_at, Unset):
            confirmed_at = UNSET
        elif isinstance(self.confirmed_at, datetime.datetime):
            confirmed_at = self.confirmed_at.isoformat()
        else:
            confirmed_at = self.confirmed_at

        effective_at: None | str | Unset
        if isinstance(self.effective_at, Unset):
            effective_at = UNSET
        elif isinstance(self.effective_at, datetime.datetime):
            effective_at = self.effective_at.isoformat()
        else:
            effective_at = self.effective_at

        expires_at: str | Unset = UNSET
        if not isinstance(self.expires_at, Unset):
            expires_at = self.expires_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if act is not UNSET:
            field_dict["act"] = act
        if words is not UNSET:
            field_dict["words"] = words
        if proposed_by is not UNSET:
            field_dict["proposed_by"] = proposed_by
        if proposed_at is not UNSET:
            field_dict["proposed_at"] = proposed_at
        if confirmed_by is not UNSET:
            field_dict["confirmed_by"] = confirmed_by
        if confirmed_at is not UNSET:
            field_dict["confirmed_at"] = confirmed_at
        if effective_at is not UNSET:
            field_dict["effective_at"] = effective_at
        if expires_at is not UNSET:
            field_dict["expires_at"] = expires_at

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

        act = d.pop("act", UNSET)

        words = d.pop("words", UNSET)

        _proposed_by = d.pop("proposed_by", UNSET)
        proposed_by: PersonRef | Unset
        if isinstance(_proposed_by, Unset):
            proposed_by = UNSET
        else:
            proposed_by = PersonRef.from_dict(_proposed_by)

        _proposed_at = d.pop("proposed_at", UNSET)
        proposed_at: datetime.datetime | Unset
        if isinstance(_proposed_at, Unset):
            proposed_at = UNSET
        else:
            proposed_at = datetime.datetime.fromisoformat(_proposed_at)

        def _parse_confirmed_by(data: object) -> None | PersonRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                confirmed_by_type_0 = PersonRef.from_dict(data)

                return confirmed_by_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef | Unset, data)

        confirmed_by = _parse_confirmed_by(d.pop("confirmed_by", UNSET))

        def _parse_confirmed_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                confirmed_at_type_0 = datetime.datetime.fromisoformat(data)

                return confirmed_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        confirmed_at = _parse_confirmed_at(d.pop("confirmed_at", UNSET))

        def _parse_effective_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                effective_at_type_0 = datetime.datetime.fromisoformat(data)

                return effective_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        effective_at = _parse_effective_at(d.pop("effective_at", UNSET))

        _expires_at = d.pop("expires_at", UNSET)
        expires_at: datetime.datetime | Unset
        if isinstance(_expires_at, Unset):
            expires_at = UNSET
        else:
            expires_at = datetime.datetime.fromisoformat(_expires_at)

        announced_out_item = cls(
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

        announced_out_item.additional_properties = d
        return announced_out_item

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
