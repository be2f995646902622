from typing import Literal

TicketsCommentsOrder = Literal["-at", "at"]

TICKETS_COMMENTS_ORDER_VALUES: set[TicketsCommentsOrder] = {
    "-at",
    "at",
}


def check_tickets_comments_order(value: str) -> TicketsCommentsOrder:
    if value in TICKETS_COMMENTS_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TICKETS_COMMENTS_ORDER_VALUES!r}")
