from typing import Literal

TicketsListPriority = Literal["high", "low", "normal"]

TICKETS_LIST_PRIORITY_VALUES: set[TicketsListPriority] = {
    "high",
    "low",
    "normal",
}


def check_tickets_list_priority(value: str) -> TicketsListPriority:
    if value in TICKETS_LIST_PRIORITY_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TICKETS_LIST_PRIORITY_VALUES!r}")
