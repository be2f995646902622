"""The states of an access request and of a ticket, and whether a move comes before or after a deadline. Pure."""

from __future__ import annotations

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


#: The states in which a ticket carries an access request.
TICKET_LIVE = frozenset({TicketState.NEW, TicketState.ASSIGNED, TicketState.WAITING_FOR_CUSTOMER})


class Timing(StrEnum):
    """Whether a move must come before or after the row's own instant: `decide_by` while pending, `closes_at` while
    open.
    """

    ANY = "any"
    BEFORE = "before"
    AFTER = "after"
