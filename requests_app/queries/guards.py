"""Reads the guards of applications: which of them are silent, and what staff see of each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from requests_app.models import AccessRequest, Grant, Guard
from requests_app.models.row_security import own_account


def silent(at: datetime) -> list[tuple[Guard, list[Grant]]]:
    """Return the guards that do not report though a window of their service is open, each with these windows."""
    guards = list(Guard.objects.silent(at).select_related("client__service"))
    if not guards:
        return []
    services = {guard.client.service_id for guard in guards}
    open_windows = Grant.objects.real().live(at).filter(access_request__service__in=services)
    by_service: dict[UUID, list[Grant]] = {}
    for grant in open_windows.select_related("access_request").order_by("opens_at", "pk"):
        by_service.setdefault(grant.access_request.service_id, []).append(grant)
    found = [(guard, by_service.get(guard.client.service_id, [])) for guard in guards]
    return [(guard, windows) for guard, windows in found if windows]


def silent_since(row: AccessRequest, at: datetime) -> datetime | None:
    """Return since when the application of this window has not reported, or None if it has, or has no guard."""
    return silent_services([row], at).get(row.service_id)


def silent_services(rows: Iterable[AccessRequest], at: datetime) -> dict[UUID, datetime]:
    """Return, for each service of these windows whose application does not report, since when it has not."""
    services = {row.service_id for row in rows if row.enforced_by}
    if not services:
        return {}
    found: Any = Guard.objects.silent(at).filter(client__service__in=services).order_by("-reported_at")
    # PostgreSQL hides the provider's clients from a customer. Only the service and the time are read from them here.
    with own_account():
        return dict(found.values_list("client__service", "reported_at"))


def guards() -> Any:
    """Return all guards, those that were heard of last first."""
    return Guard.objects.select_related("client__account", "client__service")
