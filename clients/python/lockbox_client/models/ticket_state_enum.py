from typing import Literal

TicketStateEnum = Literal["ASSIGNED", "CLOSED", "NEW", "RESOLVED", "WAITING_FOR_CUSTOMER"]

TICKET_STATE_ENUM_VALUES: set[TicketStateEnum] = {
    "ASSIGNED",
    "CLOSED",
    "NEW",
    "RESOLVED",
    "WAITING_FOR_CUSTOMER",
}


def check_ticket_state_enum(value: str) -> TicketStateEnum:
    if value in TICKET_STATE_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TICKET_STATE_ENUM_VALUES!r}")
