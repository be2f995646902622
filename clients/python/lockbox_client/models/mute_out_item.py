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


T = TypeVar("T", bound="MuteOutItem")


@_attrs_define
class MuteOutItem:
    """
    Attributes:
        id (UUID | Unset):
        engineer (None | PersonRef | Unset): Null where it is everybody.
        set_by (PersonRef | Unset):
        set_at (datetime.datetime | Unset):
        until_at (datetime.datetime | Unset):
        lifted_at (datetime.datetime | None | Unset):
        denied (int | Unset): How many access requests were denied with it.
        note (str | Unset):
    """

    id: UUID | Unset = UNSET
    engineer: None | PersonRef | Unset = UNSET
    set_by: PersonRef | Unset = UNSET
    set_at: datetime.datetime | Unset = UNSET
    until_at: datetime.datetime | Unset = UNSET
    lifted_at: datetime.datetime | None | Unset = UNSET
    denied: int | Unset = UNSET
    note: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.person_ref import PersonRef

        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        engineer: dict[str, Any] | None | Unset
        if isinstance(self.engineer, Unset):
            engineer = UNSET
        elif isinstance(self.engineer, PersonRef):
            engineer = self.engineer.to_dict()
        else:
            engineer = self.engineer

        set_by: dict[str, Any] | Unset = UNSET
        if not isinstance(self.set_by, Unset):
            set_by = self.set_by.to_dict()

        set_at: str | Unset = UNSET
        if not isinstance(self.set_at, Unset):
            set_at = self.set_at.isoformat()

        until_at: str | Unset = UNSET
        if not isinstance(self.until_at, Unset):
            until_at = self.until_at.isoformat()

        lifted_at: None | str | Unset
        if isinstance(self.lifted_at, Unset):
            lifted_at = UNSET
        elif isinstance(self.lifted_at, datetime.datetime):
            lifted_at = self.lifted_at.isoformat()
        else:
            lifted_at = self.lifted_at

        denied = self.denied

        note = self.note

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if engineer is not UNSET:
            field_dict["engineer"] = engineer
        if set_by is not UNSET:
            field_dict["set_by"] = set_by
        if set_at is not UNSET:
            field_dict["set_at"] = set_at
        if until_at is not UNSET:
            field_dict["until_at"] = until_at
        if lifted_at is not UNSET:
            field_dict["lifted_at"] = lifted_at
        if denied is not UNSET:
            field_dict["denied"] = denied
        if note is not UNSET:
            field_dict["note"] = note

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

        def _parse_engineer(data: object) -> None | PersonRef | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                engineer_type_0 = PersonRef.from_dict(data)

                return engineer_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PersonRef | Unset, data)

        engineer = _parse_engineer(d.pop("engineer", UNSET))

        _set_by = d.pop("set_by", UNSET)
        set_by: PersonRef | Unset
        if isinstance(_set_by, Unset):
            set_by = UNSET
        else:
            set_by = PersonRef.from_dict(_set_by)

        _set_at = d.pop("set_at", UNSET)
        set_at: datetime.datetime | Unset
        if isinstance(_set_at, Unset):
            set_at = UNSET
        else:
            set_at = datetime.datetime.fromisoformat(_set_at)

        _until_at = d.pop("until_at", UNSET)
        until_at: datetime.datetime | Unset
        if isinstance(_until_at, Unset):
            until_at = UNSET
        else:
            until_at = datetime.datetime.fromisoformat(_until_at)

        def _parse_lifted_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                lifted_at_type_0 = datetime.datetime.fromisoformat(data)

                return lifted_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        lifted_at = _parse_lifted_at(d.pop("lifted_at", UNSET))

        denied = d.pop("denied", UNSET)

        note = d.pop("note", UNSET)

        mute_out_item = cls(
            id=id,
            engineer=engineer,
            set_by=set_by,
            set_at=set_at,
            until_at=until_at,
            lifted_at=lifted_at,
            denied=denied,
            note=note,
        )

        mute_out_item.additional_properties = d
        return mute_out_item

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
