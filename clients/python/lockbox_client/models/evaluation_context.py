from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.evaluation_reason_enum import (
    EvaluationReasonEnum,
    check_evaluation_reason_enum,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.evaluation_ended import EvaluationEnded
    from ..models.evaluation_fault import EvaluationFault


T = TypeVar("T", bound="EvaluationContext")


@_attrs_define
class EvaluationContext:
    """`reason` never changes its meaning. `grant` and `closes_at` come with a yes: it holds no longer than that.

    `ended` comes with a no, where a window for this resource was closed.
    `entry` is the number of the entry in the tenant's log, where access was asked for. `error` stands alone: this one
    question of several could not be read.

        Attributes:
            reason (EvaluationReasonEnum | Unset): * `window_open` - window_open
                * `window_not_open` - window_not_open
                * `not_covered` - not_covered
                * `not_allowed` - not_allowed
                * `not_found` - not_found
                * `unknown_action` - unknown_action
            at (datetime.datetime | Unset):
            grant (UUID | Unset):
            closes_at (datetime.datetime | Unset):
            ended (EvaluationEnded | Unset): The last window that covered what is asked. `closed_by` is a name; empty where
                it closed by itself.
            entry (int | Unset):
            error (EvaluationFault | Unset):
    """

    reason: EvaluationReasonEnum | Unset = UNSET
    at: datetime.datetime | Unset = UNSET
    grant: UUID | Unset = UNSET
    closes_at: datetime.datetime | Unset = UNSET
    ended: EvaluationEnded | Unset = UNSET
    entry: int | Unset = UNSET
    error: EvaluationFault | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        reason: str | Unset = UNSET
        if not isinstance(self.reason, Unset):
            reason = self.reason

        at: str | Unset = UNSET
        if not isinstance(self.at, Unset):
            at = self.at.isoformat()

        grant: str | Unset = UNSET
        if not isinstance(self.grant, Unset):
            grant = str(self.grant)

        closes_at: str | Unset = UNSET
        if not isinstance(self.closes_at, Unset):
            closes_at = self.closes_at.isoformat()

        ended: dict[str, Any] | Unset = UNSET
        if not isinstance(self.ended, Unset):
            ended = self.ended.to_dict()

        entry = self.entry

        error: dict[str, Any] | Unset = UNSET
        if not isinstance(self.error, Unset):
            error = self.error.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if reason is not UNSET:
            field_dict["reason"] = reason
        if at is not UNSET:
            field_dict["at"] = at
        if grant is not UNSET:
            field_dict["grant"] = grant
        if closes_at is not UNSET:
            field_dict["closes_at"] = closes_at
        if ended is not UNSET:
            field_dict["ended"] = ended
        if entry is not UNSET:
            field_dict["entry"] = entry
        if error is not UNSET:
            field_dict["error"] = error

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation_ended import EvaluationEnded
        from ..models.evaluation_fault import EvaluationFault

        d = dict(src_dict)
        _reason = d.pop("reason", UNSET)
        reason: EvaluationReasonEnum | Unset
        if isinstance(_reason, Unset):
            reason = UNSET
        else:
            reason = check_evaluation_reason_enum(_reason)

        _at = d.pop("at", UNSET)
        at: datetime.datetime | Unset
        if isinstance(_at, Unset):
            at = UNSET
        else:
            at = datetime.datetime.fromisoformat(_at)

        _grant = d.pop("grant", UNSET)
        grant: UUID | Unset
        if isinstance(_grant, Unset):
            grant = UNSET
        else:
            grant = UUID(_grant)

        _closes_at = d.pop("closes_at", UNSET)
        closes_at: datetime.datetime | Unset
        if isinstance(_closes_at, Unset):
            closes_at = UNSET
        else:
            closes_at = datetime.datetime.fromisoformat(_closes_at)

        _ended = d.pop("ended", UNSET)
        ended: EvaluationEnded | Unset
        if isinstance(_ended, Unset):
            ended = UNSET
        else:
            ended = EvaluationEnded.from_dict(_ended)

        entry = d.pop("entry", UNSET)

        _error = d.pop("error", UNSET)
        error: EvaluationFault | Unset
        if isinstance(_error, Unset):
            error = UNSET
        else:
            error = EvaluationFault.from_dict(_error)

        evaluation_context = cls(
            reason=reason,
            at=at,
            grant=grant,
            closes_at=closes_at,
            ended=ended,
            entry=entry,
            error=error,
        )

        evaluation_context.additional_properties = d
        return evaluation_context

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
