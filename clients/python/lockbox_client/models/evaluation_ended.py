from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.close_reason_enum import CloseReasonEnum, check_close_reason_enum

T = TypeVar("T", bound="EvaluationEnded")


@_attrs_define
class EvaluationEnded:
    """The last window that covered what is asked. `closed_by` is a name; empty where it closed by itself.

    Attributes:
        grant (UUID):
        closed_at (datetime.datetime):
        close_reason (CloseReasonEnum): * `released` - released
            * `revoked` - revoked
            * `elapsed` - elapsed
        closed_by (str):
    """

    grant: UUID
    closed_at: datetime.datetime
    close_reason: CloseReasonEnum
    closed_by: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        grant = str(self.grant)

        closed_at = self.closed_at.isoformat()

        close_reason: str = self.close_reason

        closed_by = self.closed_by

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "grant": grant,
                "closed_at": closed_at,
                "close_reason": close_reason,
                "closed_by": closed_by,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        grant = UUID(d.pop("grant"))

        closed_at = datetime.datetime.fromisoformat(d.pop("closed_at"))

        close_reason = check_close_reason_enum(d.pop("close_reason"))

        closed_by = d.pop("closed_by")

        evaluation_ended = cls(
            grant=grant,
            closed_at=closed_at,
            close_reason=close_reason,
            closed_by=closed_by,
        )

        evaluation_ended.additional_properties = d
        return evaluation_ended

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
