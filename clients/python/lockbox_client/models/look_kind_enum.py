from typing import Literal

LookKindEnum = Literal[
    "cut", "download_allowed", "downloaded", "failed", "list_allowed", "list_asked", "listed", "opened", "read_allowed"
]

LOOK_KIND_ENUM_VALUES: set[LookKindEnum] = {
    "cut",
    "download_allowed",
    "downloaded",
    "failed",
    "list_allowed",
    "list_asked",
    "listed",
    "opened",
    "read_allowed",
}


def check_look_kind_enum(value: str) -> LookKindEnum:
    if value in LOOK_KIND_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LOOK_KIND_ENUM_VALUES!r}")
