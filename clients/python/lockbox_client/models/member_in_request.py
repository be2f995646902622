from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.tenant_role_enum import TenantRoleEnum, check_tenant_role_enum

T = TypeVar("T", bound="MemberInRequest")


@_attrs_define
class MemberInRequest:
    """`password` is the first one; it is handed to its owner by whoever chose it.

    Attributes:
        email (str):
        name (str):
        role (TenantRoleEnum): * `member` - member
            * `approver` - approver
            * `auditor` - auditor
            * `administrator` - administrator
        password (str):
    """

    email: str
    name: str
    role: TenantRoleEnum
    password: str

    def to_dict(self) -> dict[str, Any]:
        email = self.email

        name = self.name

        role: str = self.role

        password = self.password

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "email": email,
                "name": name,
                "role": role,
                "password": password,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        email = d.pop("email")

        name = d.pop("name")

        role = check_tenant_role_enum(d.pop("role"))

        password = d.pop("password")

        member_in_request = cls(
            email=email,
            name=name,
            role=role,
            password=password,
        )

        return member_in_request
