from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="AbsenceOut")


@_attrs_define
class AbsenceOut:
    """
    Attributes:
        id (UUID):
        approver (PersonRef):
        deputy (PersonRef):
        from_at (datetime.datetime):
        until_at (datetime.datetime):
        ended_at (datetime.datetime | None):
    """

    id: UUID
    approver: PersonRef
    deputy: PersonRef
    from_at: datetime.datetime
    until_at: datetime.datetime
    ended_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        approver = self.approver.to_dict()

        deputy = self.deputy.to_dict()

        from_at = self.from_at.isoformat()

        until_at = self.until_at.isoformat()

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
                "approver": approver,
                "deputy": deputy,
                "from_at": from_at,
                "until_at": until_at,
                "ended_at": ended_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        approver = PersonRef.from_dict(d.pop("approver"))

        deputy = PersonRef.from_dict(d.pop("deputy"))

        from_at = datetime.datetime.fromisoformat(d.pop("from_at"))

        until_at = datetime.datetime.fromisoformat(d.pop("until_at"))

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

        absence_out = cls(
            id=id,
            approver=approver,
            deputy=deputy,
            from_at=from_at,
            until_at=until_at,
            ended_at=ended_at,
        )

        absence_out.additional_properties = d
        return absence_out

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
