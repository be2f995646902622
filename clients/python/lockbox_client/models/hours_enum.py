from typing import Literal

HoursEnum = Literal[1, 4, 24]

HOURS_ENUM_VALUES: set[HoursEnum] = {
    1,
    4,
    24,
}


def check_hours_enum(value: int) -> HoursEnum:
    if value in HOURS_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {HOURS_ENUM_VALUES!r}")
