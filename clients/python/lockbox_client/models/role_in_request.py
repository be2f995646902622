from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.tenant_role_enum import TenantRoleEnum, check_tenant_role_enum

T = TypeVar("T", bound="RoleInRequest")


@_attrs_define
class RoleInRequest:
    """What comes in. A field that is not there, a read-only one among them, is refused and not ignored.

    Attributes:
        role (TenantRoleEnum): * `member` - member
            * `approver` - approver
            * `auditor` - auditor
            * `administrator` - administrator
            * `deputy` - deputy
    """

    role: TenantRoleEnum

    def to_dict(self) -> dict[str, Any]:
        role: str = self.role

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "role": role,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        role = check_tenant_role_enum(d.pop("role"))

        role_in_request = cls(
            role=role,
        )

        return role_in_request
