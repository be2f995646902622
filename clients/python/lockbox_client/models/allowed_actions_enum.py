from typing import Literal

AllowedActionsEnum = Literal["approve", "deny", "release", "revoke", "withdraw"]

ALLOWED_ACTIONS_ENUM_VALUES: set[AllowedActionsEnum] = {
    "approve",
    "deny",
    "release",
    "revoke",
    "withdraw",
}


def check_allowed_actions_enum(value: str) -> AllowedActionsEnum:
    if value in ALLOWED_ACTIONS_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ALLOWED_ACTIONS_ENUM_VALUES!r}")
