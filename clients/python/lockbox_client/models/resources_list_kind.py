from typing import Literal

ResourcesListKind = Literal["database", "library", "mailbox"]

RESOURCES_LIST_KIND_VALUES: set[ResourcesListKind] = {
    "database",
    "library",
    "mailbox",
}


def check_resources_list_kind(value: str) -> ResourcesListKind:
    if value in RESOURCES_LIST_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RESOURCES_LIST_KIND_VALUES!r}")
