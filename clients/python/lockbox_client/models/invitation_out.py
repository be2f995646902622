from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.tenant_role_enum import TenantRoleEnum, check_tenant_role_enum

T = TypeVar("T", bound="InvitationOut")


@_attrs_define
class InvitationOut:
    """`invited_by` is null where the recovery key sent it; it then works from `valid_from`.

    Attributes:
        id (UUID):
        email (str):
        role (TenantRoleEnum): * `member` - member
            * `approver` - approver
            * `auditor` - auditor
            * `administrator` - administrator
            * `deputy` - deputy
        invited_by (None | str):
        created_at (datetime.datetime):
        valid_from (datetime.datetime):
        expires_at (datetime.datetime):
        times_sent (int):
        withdrawn_at (datetime.datetime | None):
    """

    id: UUID
    email: str
    role: TenantRoleEnum
    invited_by: None | str
    created_at: datetime.datetime
    valid_from: datetime.datetime
    expires_at: datetime.datetime
    times_sent: int
    withdrawn_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        email = self.email

        role: str = self.role

        invited_by: None | str
        invited_by = self.invited_by

        created_at = self.created_at.isoformat()

        valid_from = self.valid_from.isoformat()

        expires_at = self.expires_at.isoformat()

        times_sent = self.times_sent

        withdrawn_at: None | str
        if isinstance(self.withdrawn_at, datetime.datetime):
            withdrawn_at = self.withdrawn_at.isoformat()
        else:
            withdrawn_at = self.withdrawn_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "email": email,
                "role": role,
                "invited_by": invited_by,
                "created_at": created_at,
                "valid_from": valid_from,
                "expires_at": expires_at,
                "times_sent": times_sent,
                "withdrawn_at": withdrawn_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = UUID(d.pop("id"))

        email = d.pop("email")

        role = check_tenant_role_enum(d.pop("role"))

        def _parse_invited_by(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        invited_by = _parse_invited_by(d.pop("invited_by"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        valid_from = datetime.datetime.fromisoformat(d.pop("valid_from"))

        expires_at = datetime.datetime.fromisoformat(d.pop("expires_at"))

        times_sent = d.pop("times_sent")

        def _parse_withdrawn_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                withdrawn_at_type_0 = datetime.datetime.fromisoformat(data)

                return withdrawn_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        withdrawn_at = _parse_withdrawn_at(d.pop("withdrawn_at"))

        invitation_out = cls(
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

        invitation_out.additional_properties = d
        return invitation_out

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
