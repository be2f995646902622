from typing import Literal

OffBecauseEnum = Literal["failing", "gone", "person"]

OFF_BECAUSE_ENUM_VALUES: set[OffBecauseEnum] = {
    "failing",
    "gone",
    "person",
}


def check_off_because_enum(value: str) -> OffBecauseEnum:
    if value in OFF_BECAUSE_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {OFF_BECAUSE_ENUM_VALUES!r}")
