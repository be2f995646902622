from typing import Literal

GrantsAccessesKind = Literal["cut", "failed", "list_allowed", "list_asked", "listed", "opened", "read_allowed"]

GRANTS_ACCESSES_KIND_VALUES: set[GrantsAccessesKind] = {
    "cut",
    "failed",
    "list_allowed",
    "list_asked",
    "listed",
    "opened",
    "read_allowed",
}


def check_grants_accesses_kind(value: str) -> GrantsAccessesKind:
    if value in GRANTS_ACCESSES_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {GRANTS_ACCESSES_KIND_VALUES!r}")
