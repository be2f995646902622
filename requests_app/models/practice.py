"""Says whether people practise with a row: its content is made up, and no number counts it."""

from __future__ import annotations

from audit_app.log_events import detail_of
from audit_app.models import AuditEntry
from requests_app.models.access import AccessRequestResource, ContentAccess, Decision, Grant
from requests_app.models.tickets import TicketComment


def is_practice(row: object) -> bool:
    """Return whether this is about practice: a practice request, its ticket, resource or window, or an entry about it.

    A row of another kind can have a column, or an annotation, with the name `is_practice`.
    """
    if isinstance(row, Grant | Decision | AccessRequestResource):
        return row.access_request.is_practice
    if isinstance(row, ContentAccess):
        return row.resource is not None and row.resource.is_practice
    if isinstance(row, TicketComment):
        return row.ticket.is_practice
    if isinstance(row, AuditEntry):
        return detail_of(row).get("practice") is True
    return getattr(row, "is_practice", False) is True
