from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.tenant_role_enum import TenantRoleEnum, check_tenant_role_enum
from ..types import UNSET, Unset

T = TypeVar("T", bound="InvitationOutItem")


@_attrs_define
class InvitationOutItem:
    """`invited_by` is null where the recovery key sent it; it then works from `valid_from`.

    Attributes:
        id (UUID | Unset):
        email (str | Unset):
        role (TenantRoleEnum | Unset): * `member` - member
            * `approver` - approver
            * `auditor` - auditor
            * `administrator` - administrator
            * `deputy` - deputy
        invited_by (None | str | Unset):
        created_at (datetime.datetime | Unset):
        valid_from (datetime.datetime | Unset):
        expires_at (datetime.datetime | Unset):
        times_sent (int | Unset):
        withdrawn_at (datetime.datetime | None | Unset):
    """

    id: UUID | Unset = UNSET
    email: str | Unset = UNSET
    role: TenantRoleEnum | Unset = UNSET
    invited_by: None | str | Unset = UNSET
    created_at: datetime.datetime | Unset = UNSET
    valid_from: datetime.datetime | Unset = UNSET
    expires_at: datetime.datetime | Unset = UNSET
    times_sent: int | Unset = UNSET
    withdrawn_at: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id: str | Unset = UNSET
        if not isinstance(self.id, Unset):
            id = str(self.id)

        email = self.email

        role: str | Unset = UNSET
        if not isinstance(self.role, Unset):
            role = self.role

        invited_by: None | str | Unset
        if isinstance(self.invited_by, Unset):
            invited_by = UNSET
        else:
            invited_by = self.invited_by

        created_at: str | Unset = UNSET
        if not isinstance(self.created_at, Unset):
            created_at = self.created_at.isoformat()

        valid_from: str | Unset = UNSET
        if not isinstance(self.valid_from, Unset):
            valid_from = self.valid_from.isoformat()

        expires_at: str | Unset = UNSET
        if not isinstance(self.expires_at, Unset):
            expires_at = self.expires_at.isoformat()

        times_sent = self.times_sent

        withdrawn_at: None | str | Unset
        if isinstance(self.withdrawn_at, Unset):
            withdrawn_at = UNSET
        elif isinstance(self.withdrawn_at, datetime.datetime):
            withdrawn_at = self.withdrawn_at.isoformat()
        else:
            withdrawn_at = self.withdrawn_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if email is not UNSET:
            field_dict["email"] = email
        if role is not UNSET:
            field_dict["role"] = role
        if invited_by is not UNSET:
            field_dict["invited_by"] = invited_by
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if valid_from is not UNSET:
            field_dict["valid_from"] = valid_from
        if expires_at is not UNSET:
            field_dict["expires_at"] = expires_at
        if times_sent is not UNSET:
            field_dict["times_sent"] = times_sent
        if withdrawn_at is not UNSET:
            field_dict["withdrawn_at"] = withdrawn_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _id = d.pop("id", UNSET)
        id: UUID | Unset
        if isinstance(_id, Unset):
            id = UNSET
        else:
            id = UUID(_id)

        email = d.pop("email", UNSET)

        _role = d.pop("role", UNSET)
        role: TenantRoleEnum | Unset
        if isinstance(_role, Unset):
            role = UNSET
        else:
            role = check_tenant_role_enum(_role)

        def _parse_invited_by(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        invited_by = _parse_invited_by(d.pop("invited_by", UNSET))

        _created_at = d.pop("created_at", UNSET)
        created_at: datetime.datetime | Unset
        if isinstance(_created_at, Unset):
            created_at = UNSET
        else:
            created_at = datetime.datetime.fromisoformat(_created_at)

        _valid_from = d.pop("valid_from", UNSET)
        valid_from: datetime.datetime | Unset
        if isinstance(_valid_from, Unset):
            valid_from = UNSET
        else:
            valid_from = datetime.datetime.fromisoformat(_valid_from)

        _expires_at = d.pop("expires_at", UNSET)
        expires_at: datetime.datetime | Unset
        if isinstance(_expires_at, Unset):
            expires_at = UNSET
        else:
            expires_at = datetime.datetime.fromisoformat(_expires_at)

        times_sent = d.pop("times_sent", UNSET)

        def _parse_withdrawn_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                withdrawn_at_type_0 = datetime.datetime.fromisoformat(data)

                return withdrawn_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        withdrawn_at = _parse_withdrawn_at(d.pop("withdrawn_at", UNSET))

        invitation_out_item = cls(
            id=id,
            email=email,
            role=role,
            invited_by=invited_by,
            created_at=created_at,
            valid_from=valid_from,
            expires_at=expires_at,
            times_sent=times_sent,
            withdrawn_at=withdrawn_at,
        )

        invitation_out_item.additional_properties = d
        return invitation_out_item

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
