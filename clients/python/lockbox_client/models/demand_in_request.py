from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="DemandInRequest")


@_attrs_define
class DemandInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        authority (str):
        instrument (str):
        reference (str):
        date (datetime.date):
    """

    authority: str
    instrument: str
    reference: str
    date: datetime.date

    def to_dict(self) -> dict[str, Any]:
        authority = self.authority

        instrument = self.instrument

        reference = self.reference

        date = self.date.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "authority": authority,
                "instrument": instrument,
                "reference": reference,
                "date": date,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        authority = d.pop("authority")

        instrument = d.pop("instrument")

        reference = d.pop("reference")

        date = datetime.date.fromisoformat(d.pop("date"))

        demand_in_request = cls(
            authority=authority,
            instrument=instrument,
            reference=reference,
            date=date,
        )

        return demand_in_request
