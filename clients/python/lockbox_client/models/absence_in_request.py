from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define

T = TypeVar("T", bound="AbsenceInRequest")


@_attrs_define
class AbsenceInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        deputy (UUID):
        from_at (datetime.datetime):
        until_at (datetime.datetime):
    """

    deputy: UUID
    from_at: datetime.datetime
    until_at: datetime.datetime

    def to_dict(self) -> dict[str, Any]:
        deputy = str(self.deputy)

        from_at = self.from_at.isoformat()

        until_at = self.until_at.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "deputy": deputy,
                "from_at": from_at,
                "until_at": until_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        deputy = UUID(d.pop("deputy"))

        from_at = datetime.datetime.fromisoformat(d.pop("from_at"))

        until_at = datetime.datetime.fromisoformat(d.pop("until_at"))

        absence_in_request = cls(
            deputy=deputy,
            from_at=from_at,
            until_at=until_at,
        )

        return absence_in_request
