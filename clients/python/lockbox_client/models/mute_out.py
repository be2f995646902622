from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.person_ref import PersonRef


T = TypeVar("T", bound="MuteOut")


@_attrs_define
class MuteOut:
    """
    Attributes:
        id (UUID):
        engineer (None | PersonRef): Null where it is everybody.
        set_by (PersonRef):
        set_at (datetime.datetime):
        until_at (datetime.datetime):
        lifted_at (datetime.datetime | None):
        denied (int): How many access requests were denied with it.
        note (str):
    """

    id: UUID
    engineer: None | PersonRef
    set_by: PersonRef
    set_at: datetime.datetime
    until_at: datetime.datetime
    lifted_at: datetime.datetime | None
    denied: int
    note: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

        id = str(self.id)

        engineer: dict[str, Any] | None
        if isinstance(self.engineer, PersonRef):
            engineer = self.engineer.to_dict()
        else:
            engineer = self.engineer

        set_by = self.set_by.to_dict()

        set_at = self.set_at.isoformat()

        until_at = self.until_at.isoformat()

        lifted_at: None | str
        if isinstance(self.lifted_at, datetime.datetime):
            lifted_at = self.lifted_at.isoformat()
        else:
            lifted_at = self.lifted_at

        denied = self.denied

        note = self.note

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "engineer": engineer,
                "set_by": set_by,
                "set_at": set_at,
                "until_at": until_at,
                "lifted_at": lifted_at,
                "denied": denied,
                "note": note,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.person_ref import PersonRef

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        def _parse_engineer(data: object) -> None | PersonRef:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                engineer_type_0 = PersonRef.from_dict(data)

                return engineer_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef, data)

        engineer = _parse_engineer(d.pop("engineer"))

        set_by = PersonRef.from_dict(d.pop("set_by"))

        set_at = datetime.datetime.fromisoformat(d.pop("set_at"))

        until_at = datetime.datetime.fromisoformat(d.pop("until_at"))

        def _parse_lifted_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                lifted_at_type_0 = datetime.datetime.fromisoformat(data)

                return lifted_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        lifted_at = _parse_lifted_at(d.pop("lifted_at"))

        denied = d.pop("denied")

        note = d.pop("note")

        mute_out = cls(
            id=id,
            engineer=engineer,
            set_by=set_by,
            set_at=set_at,
            until_at=until_at,
            lifted_at=lifted_at,
            denied=denied,
            note=note,
        )

        mute_out.additional_properties = d
        return mute_out

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
