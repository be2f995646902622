from typing import Literal

TenantRoleEnum = Literal["administrator", "approver", "auditor", "deputy", "member"]

TENANT_ROLE_ENUM_VALUES: set[TenantRoleEnum] = {
    "administrator",
    "approver",
    "auditor",
    "deputy",
    "member",
}


def check_tenant_role_enum(value: str) -> TenantRoleEnum:
    if value in TENANT_ROLE_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TENANT_ROLE_ENUM_VALUES!r}")
