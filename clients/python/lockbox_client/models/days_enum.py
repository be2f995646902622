from typing import Literal

DaysEnum = Literal[1, 7, 30, 90, 365]

DAYS_ENUM_VALUES: set[DaysEnum] = {
    1,
    7,
    30,
    90,
    365,
}


def check_days_enum(value: int) -> DaysEnum:
    if value in DAYS_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {DAYS_ENUM_VALUES!r}")
