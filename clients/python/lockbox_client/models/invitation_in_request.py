from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.tenant_role_enum import TenantRoleEnum, check_tenant_role_enum

T = TypeVar("T", bound="InvitationInRequest")


@_attrs_define
class InvitationInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        email (str):
        role (TenantRoleEnum): * `member` - member
            * `approver` - approver
            * `auditor` - auditor
            * `administrator` - administrator
            * `deputy` - deputy
    """

    email: str
    role: TenantRoleEnum

    def to_dict(self) -> dict[str, Any]:
        email = self.email

        role: str = self.role

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "email": email,
                "role": role,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        email = d.pop("email")

        role = check_tenant_role_enum(d.pop("role"))

        invitation_in_request = cls(
            email=email,
            role=role,
        )

        return invitation_in_request
