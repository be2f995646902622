"""The states of access requests and of tickets, and the timing of transitions. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    PENDING_PROVIDER = "PENDING_PROVIDER", _("Waiting for the provider")
    PENDING_CUSTOMER = "PENDING_CUSTOMER", _("Waiting for the customer")
    OPEN = "OPEN", _("Open")
    DENIED = "DENIED", _("Denied")
    WITHDRAWN = "WITHDRAWN", _("Withdrawn")
    EXPIRED = "EXPIRED", _("Expired")
    CLOSED = "CLOSED", _("Closed")


PENDING = frozenset({State.PENDING_PROVIDER, State.PENDING_CUSTOMER})
FINAL = frozenset({State.DENIED, State.WITHDRAWN, State.EXPIRED, State.CLOSED})


class TicketState(models.TextChoices):
    NEW = "NEW", _("New")
    ASSIGNED = "ASSIGNED", _("Assigned")
    WAITING_FOR_CUSTOMER = "WAITING_FOR_CUSTOMER", _("Waiting for the customer")
    RESOLVED = "RESOLVED", _("Resolved")
    CLOSED = "CLOSED", _("Closed")


#: The states of a ticket in which its access request can be submitted and used.
TICKET_LIVE = frozenset({TicketState.NEW, TicketState.ASSIGNED, TicketState.WAITING_FOR_CUSTOMER})


class Timing(StrEnum):
    """Whether a transition must happen before or after the deadline of its row.

    The deadline is `decide_by` while the access request is pending, and `closes_at` while its window is open.
    """

    ANY = "any"
    BEFORE = "before"
    AFTER = "after"


def present_state(stored: State, at: datetime, decide_by: datetime, closes_at: Callable[[], datetime]) -> State:
    """Return the state at an instant of an access request with this stored state. Only an open one has a window."""
    if stored in PENDING and at >= decide_by:
        return State.EXPIRED
    if stored is State.OPEN and at >= closes_at():
        return State.CLOSED
    return stored
