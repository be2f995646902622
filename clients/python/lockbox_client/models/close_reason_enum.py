from typing import Literal

CloseReasonEnum = Literal["elapsed", "released", "revoked"]

CLOSE_REASON_ENUM_VALUES: set[CloseReasonEnum] = {
    "elapsed",
    "released",
    "revoked",
}


def check_close_reason_enum(value: str) -> CloseReasonEnum:
    if value in CLOSE_REASON_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {CLOSE_REASON_ENUM_VALUES!r}")
