from typing import Literal

StateEnum = Literal["CLOSED", "DENIED", "EXPIRED", "OPEN", "PENDING_CUSTOMER", "PENDING_PROVIDER", "WITHDRAWN"]

STATE_ENUM_VALUES: set[StateEnum] = {
    "CLOSED",
    "DENIED",
    "EXPIRED",
    "OPEN",
    "PENDING_CUSTOMER",
    "PENDING_PROVIDER",
    "WITHDRAWN",
}


def check_state_enum(value: str) -> StateEnum:
    if value in STATE_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {STATE_ENUM_VALUES!r}")
