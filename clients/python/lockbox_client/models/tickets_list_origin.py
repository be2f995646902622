from typing import Literal

TicketsListOrigin = Literal["customer", "provider", "recorded"]

TICKETS_LIST_ORIGIN_VALUES: set[TicketsListOrigin] = {
    "customer",
    "provider",
    "recorded",
}


def check_tickets_list_origin(value: str) -> TicketsListOrigin:
    if value in TICKETS_LIST_ORIGIN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TICKETS_LIST_ORIGIN_VALUES!r}")
