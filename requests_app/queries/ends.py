"""Reads which windows on the content of external services are open, and which have ended, for the feed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from audit_app.canonical import instant
from requests_app.domain.scopes import Scope, known
from requests_app.models import Grant, Token


@dataclass(frozen=True)
class Window:
    """A window as the feed tells it. `reason` is empty while the window is open."""

    grant_id: UUID
    service_id: UUID
    tenant_id: UUID
    engineer_id: UUID
    opens_at: datetime
    ends_at: datetime
    reason: str

    @property
    def opened(self) -> dict[str, str]:
        return {
            "grant_id": str(self.grant_id),
            "opens_at": instant(self.opens_at),
            "closes_at": instant(self.ends_at),
            "tenant": str(self.tenant_id),
            "engineer": str(self.engineer_id),
        }

    @property
    def closed(self) -> dict[str, str]:
        return {"grant_id": str(self.grant_id), "closed_at": instant(self.ends_at), "reason": self.reason}


def begun(services: Iterable[UUID], *, at: datetime, since: datetime) -> list[Window]:
    """Return the windows that have begun and are open at this instant, and those that have ended after `since`.

    A window whose planned end has passed has ended, even if no sweep has stored that yet.
    """
    ending = Q(closed_at=None, closes_at__gt=since) | Q(closed_at__gt=since)
    grants = Grant.objects.real().filter(ending, access_request__service__in=list(services), opens_at__lte=at)
    return _windows(grants, at)


def changed(services: Iterable[UUID], *, at: datetime, since: datetime) -> list[Window]:
    """Return those of the windows of `begun` that have begun, or have ended, after `since`.

    Short ranges of three indexes have all of them, however many windows are open.
    """
    elapsed = Q(closed_at=None, closes_at__gt=since, closes_at__lte=at)
    changing = Q(opens_at__gt=since, opens_at__lte=at) | Q(closed_at__gt=since) | elapsed
    return _windows(Grant.objects.real().filter(changing, access_request__service__in=list(services)), at)


def these(grants: Iterable[UUID], *, at: datetime) -> list[Window]:
    """Return the windows with these ids."""
    return _windows(Grant.objects.filter(pk__in=list(grants)), at)


def _windows(grants: QuerySet[Any], at: datetime) -> list[Window]:
    columns = "pk", "access_request__service_id", "tenant_id", "engineer_id", "opens_at"
    rows = grants.order_by().values_list(*columns, "closes_at", "closed_at", "close_reason")
    return [_window(*row, at=at) for row in rows]


def _window(
    grant: UUID,
    service: UUID,
    tenant: UUID,
    engineer: UUID,
    opens_at: datetime,
    closes_at: datetime,
    closed_at: datetime | None,
    reason: str,
    *,
    at: datetime,
) -> Window:
    if closed_at is None and closes_at <= at:
        reason = str(Grant.CloseReason.ELAPSED)
    return Window(grant, service, tenant, engineer, opens_at, closed_at or closes_at, reason)


def followers(tokens: Iterable[UUID], *, at: datetime) -> dict[UUID, UUID]:
    """Return those of these tokens with which a client can follow the feed now, each with the service of its client."""
    rows = Token.objects.live(at).filter(pk__in=list(tokens), account__is_active=True, account__client__tenant=None)
    found = {}
    for row in rows.select_related("account__client__service"):
        client = row.account.client
        scopes = known(row.scopes) & known(client.scopes)
        if Scope.GUARD in scopes and client.service is not None and client.service.is_external:
            found[row.pk] = client.service_id
    return found
