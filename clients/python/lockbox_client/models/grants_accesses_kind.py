from typing import Literal

GrantsAccessesKind = Literal[
    "cut", "download_allowed", "downloaded", "failed", "list_allowed", "list_asked", "listed", "opened", "read_allowed"
]

GRANTS_ACCESSES_KIND_VALUES: set[GrantsAccessesKind] = {
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


def check_grants_accesses_kind(value: str) -> GrantsAccessesKind:
    if value in GRANTS_ACCESSES_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {GRANTS_ACCESSES_KIND_VALUES!r}")
