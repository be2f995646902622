from typing import Literal

AccessRequestOutAllowedActionsEnum = Literal["approve", "deny", "release", "revoke", "withdraw"]

ACCESS_REQUEST_OUT_ALLOWED_ACTIONS_ENUM_VALUES: set[AccessRequestOutAllowedActionsEnum] = {
    "approve",
    "deny",
    "release",
    "revoke",
    "withdraw",
}


def check_access_request_out_allowed_actions_enum(value: str) -> AccessRequestOutAllowedActionsEnum:
    if value in ACCESS_REQUEST_OUT_ALLOWED_ACTIONS_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ACCESS_REQUEST_OUT_ALLOWED_ACTIONS_ENUM_VALUES!r}")
