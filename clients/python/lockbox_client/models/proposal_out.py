from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="ProposalOut")


@_attrs_define
class ProposalOut:
    """`act` is what would be done, `words` the same in words that follow "proposes to".

    `effective_at` is null but for a change by the provider's staff that was confirmed: it takes effect then.

        Attributes:
            id (UUID):
            act (str):
            words (str):
            proposed_by (PersonRef):
            proposed_at (datetime.datetime):
            expires_at (datetime.datetime):
            effective_at (datetime.datetime | None):
            ended_at (datetime.datetime | None):
    """

    id: UUID
    act: str
    words: str
    proposed_by: PersonRef
    proposed_at: datetime.datetime
    expires_at: datetime.datetime
    effective_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        act = self.act

        words = self.words

        proposed_by = self.proposed_by.to_dict()

        proposed_at = self.proposed_at.isoformat()

        expires_at = self.expires_at.isoformat()

        effective_at: None | str
        if isinstance(self.effective_at, datetime.datetime):
            effective_at = self.effective_at.isoformat()
        else:
            effective_at = self.effective_at

        ended_at: None | str
        if isinstance(self.ended_at, datetime.datetime):
            ended_at = self.ended_at.isoformat()
        else:
            ended_at = self.ended_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "act": act,
                "words": words,
                "proposed_by": proposed_by,
                "proposed_at": proposed_at,
                "expires_at": expires_at,
                "effective_at": effective_at,
                "ended_at": ended_at,
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

        expires_at = datetime.datetime.fromisoformat(d.pop("expires_at"))

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

        def _parse_ended_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ended_at_type_0 = datetime.datetime.fromisoformat(data)

                return ended_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        ended_at = _parse_ended_at(d.pop("ended_at"))

        proposal_out = cls(
            id=id,
            act=act,
            words=words,
            proposed_by=proposed_by,
            proposed_at=proposed_at,
            expires_at=expires_at,
            effective_at=effective_at,
            ended_at=ended_at,
        )

        proposal_out.additional_properties = d
        return proposal_out

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
