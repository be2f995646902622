from typing import Literal

TicketsListOrder = Literal["-changed_at", "-opened_at", "changed_at", "opened_at"]

TICKETS_LIST_ORDER_VALUES: set[TicketsListOrder] = {
    "-changed_at",
    "-opened_at",
    "changed_at",
    "opened_at",
}


def check_tickets_list_order(value: str) -> TicketsListOrder:
    if value in TICKETS_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TICKETS_LIST_ORDER_VALUES!r}")
