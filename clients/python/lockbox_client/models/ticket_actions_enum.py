from typing import Literal

TicketActionsEnum = Literal["answer", "ask", "assign", "close", "comment", "link", "reopen", "resolve"]

TICKET_ACTIONS_ENUM_VALUES: set[TicketActionsEnum] = {
    "answer",
    "ask",
    "assign",
    "close",
    "comment",
    "link",
    "reopen",
    "resolve",
}


def check_ticket_actions_enum(value: str) -> TicketActionsEnum:
    if value in TICKET_ACTIONS_ENUM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TICKET_ACTIONS_ENUM_VALUES!r}")
