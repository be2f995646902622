from typing import Literal

TicketsListState = Literal["ASSIGNED", "CLOSED", "NEW", "RESOLVED", "WAITING_FOR_CUSTOMER"]

TICKETS_LIST_STATE_VALUES: set[TicketsListState] = {
    "ASSIGNED",
    "CLOSED",
    "NEW",
    "RESOLVED",
    "WAITING_FOR_CUSTOMER",
}


def check_tickets_list_state(value: str) -> TicketsListState:
    if value in TICKETS_LIST_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TICKETS_LIST_STATE_VALUES!r}")
