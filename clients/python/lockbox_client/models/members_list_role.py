from typing import Literal

MembersListRole = Literal["administrator", "approver", "auditor", "deputy", "member"]

MEMBERS_LIST_ROLE_VALUES: set[MembersListRole] = {
    "administrator",
    "approver",
    "auditor",
    "deputy",
    "member",
}


def check_members_list_role(value: str) -> MembersListRole:
    if value in MEMBERS_LIST_ROLE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MEMBERS_LIST_ROLE_VALUES!r}")
