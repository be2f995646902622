from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define

from ..models.hours_enum import HoursEnum, check_hours_enum
from ..types import UNSET, Unset

T = TypeVar("T", bound="MuteInRequest")


@_attrs_define
class MuteInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        engineer (None | UUID): Somebody who has asked before; null for everybody.
        hours (HoursEnum): * `1` - 1
            * `4` - 4
            * `24` - 24
        note (str | Unset):
    """

    engineer: None | UUID
    hours: HoursEnum
    note: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        engineer: None | str
        if isinstance(self.engineer, UUID):
            engineer = str(self.engineer)
        else:
            engineer = self.engineer

        hours: int = self.hours

        note = self.note

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "engineer": engineer,
                "hours": hours,
            }
        )
        if note is not UNSET:
            field_dict["note"] = note

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_engineer(data: object) -> None | UUID:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                engineer_type_0 = UUID(data)

                return engineer_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | UUID, data)

        engineer = _parse_engineer(d.pop("engineer"))

        hours = check_hours_enum(d.pop("hours"))

        note = d.pop("note", UNSET)

        mute_in_request = cls(
            engineer=engineer,
            hours=hours,
            note=note,
        )

        return mute_in_request
