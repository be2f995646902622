from typing import Literal

OriginEnum = Literal["customer", "provider", "recorded"]

ORIGIN_ENUM_VALUES: set[OriginEnum] = {
    "customer",
    "provider",
    "recorded",
}


def check_origin_enum(value: str) -> OriginEnum:
    if value in ORIGIN_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ORIGIN_ENUM_VALUES!r}")
