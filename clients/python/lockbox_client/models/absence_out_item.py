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


T = TypeVar("T", bound="AbsenceOutItem")


@_attrs_define
class AbsenceOutItem:
    """
    Attributes:
        id (UUID | Unset):
        approver (PersonRef | Unset):
        deputy (PersonRef | Unset):
        from_at (datetime.datetime | Unset):
        until_at (datetime.datetime | Unset):
        ended_at (datetime.datetime | None | Unset):
    """

    id: UUID | Unset = UNSET
    approver: PersonRef | Unset = UNSET
    deputy: PersonRef | Unset = UNSET
    from_at: datetime.datetime | Unset = UNSET
    until_at: datetime.datetime | Unset = UNSET
    ended_at: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        approver: dict[str, Any] | Unset = UNSET
        if not isinstance(self.approver, Unset):
            approver = self.approver.to_dict()

        deputy: dict[str, Any] | Unset = UNSET
        if not isinstance(self.deputy, Unset):
            deputy = self.deputy.to_dict()

        from_at: str | Unset = UNSET
        if not isinstance(self.from_at, Unset):
            from_at = self.from_at.isoformat()

        until_at: str | Unset = UNSET
        if not isinstance(self.until_at, Unset):
            until_at = self.until_at.isoformat()

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
        if approver is not UNSET:
            field_dict["approver"] = approver
        if deputy is not UNSET:
            field_dict["deputy"] = deputy
        if from_at is not UNSET:
            field_dict["from_at"] = from_at
        if until_at is not UNSET:
            field_dict["until_at"] = until_at
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

        _approver = d.pop("approver", UNSET)
        approver: PersonRef | Unset
        if isinstance(_approver, Unset):
            approver = UNSET
        else:
            approver = PersonRef.from_dict(_approver)

        _deputy = d.pop("deputy", UNSET)
        deputy: PersonRef | Unset
        if isinstance(_deputy, Unset):
            deputy = UNSET
        else:
            deputy = PersonRef.from_dict(_deputy)

        _from_at = d.pop("from_at", UNSET)
        from_at: datetime.datetime | Unset
        if isinstance(_from_at, Unset):
            from_at = UNSET
        else:
            from_at = datetime.datetime.fromisoformat(_from_at)

        _until_at = d.pop("until_at", UNSET)
        until_at: datetime.datetime | Unset
        if isinstance(_until_at, Unset):
            until_at = UNSET
        else:
            until_at = datetime.datetime.fromisoformat(_until_at)

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

        absence_out_item = cls(
            id=id,
            approver=approver,
            deputy=deputy,
            from_at=from_at,
            until_at=until_at,
            ended_at=ended_at,
        )

        absence_out_item.additional_properties = d
        return absence_out_item

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
