from typing import Literal

GrantsListState = Literal["closed", "open"]

GRANTS_LIST_STATE_VALUES: set[GrantsListState] = {
    "closed",
    "open",
}


def check_grants_list_state(value: str) -> GrantsListState:
    if value in GRANTS_LIST_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {GRANTS_LIST_STATE_VALUES!r}")
