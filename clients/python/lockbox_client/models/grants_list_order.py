from typing import Literal

GrantsListOrder = Literal["-closes_at", "-opens_at", "closes_at", "opens_at"]

GRANTS_LIST_ORDER_VALUES: set[GrantsListOrder] = {
    "-closes_at",
    "-opens_at",
    "closes_at",
    "opens_at",
}


def check_grants_list_order(value: str) -> GrantsListOrder:
    if value in GRANTS_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {GRANTS_LIST_ORDER_VALUES!r}")
