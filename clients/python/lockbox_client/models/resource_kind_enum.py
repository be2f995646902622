from typing import Literal

ResourceKindEnum = Literal["database", "library", "mailbox"]

RESOURCE_KIND_ENUM_VALUES: set[ResourceKindEnum] = {
    "database",
    "library",
    "mailbox",
}


def check_resource_kind_enum(value: str) -> ResourceKindEnum:
    if value in RESOURCE_KIND_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RESOURCE_KIND_ENUM_VALUES!r}")
