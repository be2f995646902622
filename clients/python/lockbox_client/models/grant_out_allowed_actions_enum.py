from typing import Literal

GrantOutAllowedActionsEnum = Literal["release", "revoke"]

GRANT_OUT_ALLOWED_ACTIONS_ENUM_VALUES: set[GrantOutAllowedActionsEnum] = {
    "release",
    "revoke",
}


def check_grant_out_allowed_actions_enum(value: str) -> GrantOutAllowedActionsEnum:
    if value in GRANT_OUT_ALLOWED_ACTIONS_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {GRANT_OUT_ALLOWED_ACTIONS_ENUM_VALUES!r}")
