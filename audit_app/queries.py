"""Reads entries of a tenant's log: one page, the entries about one access request, or all entries in order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from audit_app import periods
from audit_app.models import AuditEntry, ChainHead

BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which entries to show. To find words in them, use search.py."""

    event: str = ""
    actor_id: UUID | None = None
    correlation_id: UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


def matching(tenant_id: UUID, wanted: Filter) -> QuerySet[AuditEntry]:
    """Return the entries of one tenant that match the filter, newest first."""
    rows = AuditEntry.objects.filter(tenant_id=tenant_id).order_by("-seq")
    if wanted.event:
        rows = rows.filter(event=wanted.event)
    if wanted.actor_id:
        rows = rows.filter(actor_id=wanted.actor_id)
    if wanted.correlation_id:
        rows = rows.filter(correlation_id=wanted.correlation_id)
    return periods.within(rows, tenant_id, since=wanted.since, until=wanted.until)


def page(tenant_id: UUID, wanted: Filter, *, before: int | None = None, limit: int = 50) -> list[AuditEntry]:
    """Return up to `limit` matching entries with a number below `before`, newest first.

    To learn whether there is a next page, ask for one entry more than the page shows.
    """
    rows = matching(tenant_id, wanted)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    return list(rows[:limit])


def about(tenant_id: UUID, correlation_id: UUID, *, limit: int = 500) -> list[AuditEntry]:
    """Return the entries about one access request, in order."""
    rows = AuditEntry.objects.filter(tenant_id=tenant_id, correlation_id=correlation_id)
    return list(rows.order_by("seq")[:limit])


def in_order(tenant_id: UUID, *, until: int | None = None) -> Iterator[AuditEntry]:
    """Yield every entry in order, from the first one, with constant memory.

    `until` is a size of the log. With it, the loop ends although the log grows.
    """
    next_seq = 0
    while True:
        rows = AuditEntry.objects.filter(tenant_id=tenant_id, seq__gte=next_seq).order_by("seq")
        if until is not None:
            rows = rows.filter(seq__lt=until)
        batch = list(rows[:BATCH])
        yield from batch
        if len(batch) < BATCH:
            return
        next_seq = batch[-1].seq + 1


def size(tenant_id: UUID) -> int:
    return ChainHead.objects.filter(pk=tenant_id).values_list("size", flat=True).first() or 0


def logs() -> list[UUID]:
    """Return the ids of all tenants that have a log."""
    return list(ChainHead.objects.order_by("pk").values_list("pk", flat=True))
