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


T = TypeVar("T", bound="ProposalOutItem")


@_attrs_define
class ProposalOutItem:
    """`act` is what would be done, `words` the same in words that follow "proposes to".

    `effective_at` is null but for a change by the provider's staff that was confirmed: it takes effect then.

        Attributes:
            id (UUID | Unset):
            act (str | Unset):
            words (str | Unset):
            proposed_by (PersonRef | Unset):
            proposed_at (datetime.datetime | Unset):
            expires_at (datetime.datetime | Unset):
            effective_at (datetime.datetime | None | Unset):
            ended_at (datetime.datetime | None | Unset):
    """

    id: UUID | Unset = UNSET
    act: str | Unset = UNSET
    words: str | Unset = UNSET
    proposed_by: PersonRef | Unset = UNSET
    proposed_at: datetime.datetime | Unset = UNSET
    expires_at: datetime.datetime | Unset = UNSET
    effective_at: datetime.datetime | None | Unset = UNSET
    ended_at: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
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

        expires_at: str | Unset = UNSET
        if not isinstance(self.expires_at, Unset):
            expires_at = self.expires_at.isoformat()

        effective_at: None | str | Unset
        if isinstance(self.effective_at, Unset):
            effective_at = UNSET
        elif isinstance(self.effective_at, datetime.datetime):
            effective_at = self.effective_at.isoformat()
        else:
            effective_at = self.effective_at

        ended_at: None | str | Unset
        if isinstance(self.ended_at, Unset):
            ended_at = UNSET
        elif isinstance(self.ended_at, datetime.datetime):
            ended_at = self.ended_at.isoformat()
        else:
            ended_at = self.ended_at

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
        if expires_at is not UNSET:
            field_dict["expires_at"] = expires_at
        if effective_at is not UNSET:
            field_dict["effective_at"] = effective_at
        if ended_at is not UNSET:
            field_dict["ended_at"] = ended_at

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

        _expires_at = d.pop("expires_at", UNSET)
        expires_at: datetime.datetime | Unset
        if isinstance(_expires_at, Unset):
            expires_at = UNSET
        else:
            expires_at = datetime.datetime.fromisoformat(_expires_at)

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

        def _parse_ended_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ended_at_type_0 = datetime.datetime.fromisoformat(data)

                return ended_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        ended_at = _parse_ended_at(d.pop("ended_at", UNSET))

        proposal_out_item = cls(
            id=id,
            act=act,
            words=words,
            proposed_by=proposed_by,
            proposed_at=proposed_at,
            expires_at=expires_at,
            effective_at=effective_at,
            ended_at=ended_at,
        )

        proposal_out_item.additional_properties = d
        return proposal_out_item

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
