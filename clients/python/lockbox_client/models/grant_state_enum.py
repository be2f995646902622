from typing import Literal

GrantStateEnum = Literal["closed", "open"]

GRANT_STATE_ENUM_VALUES: set[GrantStateEnum] = {
    "closed",
    "open",
}


def check_grant_state_enum(value: str) -> GrantStateEnum:
    if value in GRANT_STATE_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {GRANT_STATE_ENUM_VALUES!r}")
