"""Reads a log for the people who may read it: one page, all entries for an export, and what the entries are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Max, Q, QuerySet

from audit_app import periods
from audit_app import queries as audit
from audit_app.models import AuditEntry, ChainHead, Checkpoint, LogCheck
from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import AccessRequest, Tenant, Ticket
from requests_app.queries import log_search
from requests_app.queries import tenant as tenants
from requests_app.queries.log_search import Search

PAGE = 50
#: The roles that may read a tenant's whole log.
READERS = policy.LOG_READERS | {Role.STAFF}


@dataclass(frozen=True, kw_only=True)
class LogCursor:
    """The position of a page. Its entries are older than entry `before`, or newer than entry `after`.

    Without both, it is the page with the newest entries.
    """

    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Log:
    """Names a log. `pk` is the id of its tenant, or PROVIDER_LOG for the provider's own log."""

    pk: UUID


@dataclass(frozen=True)
class Head:
    """How many entries a log has, and when the last entry was written."""

    size: int
    last_at: datetime | None


@dataclass(frozen=True)
class Page:
    """One page of a log.

    Use `newer` as `after` for the page with newer entries, and `older` as `before` for the page with older entries. If
    the search stopped early, `searched_to` is the number of the oldest entry that it read.
    """

    entries: list[AuditEntry]
    newer: int | None = None
    older: int | None = None
    searched_to: int | None = None


@dataclass(frozen=True)
class About:
    """The references of the access requests and tickets that the entries of a page are about, by id.

    The id of a ticket is a text here, because it is a text in the entries.
    """

    access_requests: dict[UUID, str]
    tickets: dict[str, str]


def readable(tenant_id: object, *, actor: Actor) -> Tenant:
    """Return the tenant, if the actor may read its log.

    Raise NotFound for people outside the tenant. Raise NotAllowed for the tenant's people who may not read its log.
    """
    row = tenants.tenant(tenant_id, actor=actor)
    policy.require_role(actor, READERS, tenant_id=row.pk)
    return row


def of_tenant(tenant_id: object, *, actor: Actor) -> Log:
    return Log(readable(tenant_id, actor=actor).pk)


def of_provider(*, actor: Actor) -> Log:
    """Return the provider's own log, for staff only. Its entries belong to no tenant."""
    policy.require_staff(actor)
    return Log(PROVIDER_LOG)


def entries(log: Log) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(tenant_id=log.pk)


def on_ticket(rows: QuerySet[AuditEntry], log: Log, ticket_id: UUID, *, actor: Actor) -> QuerySet[AuditEntry]:
    """Filter the entries about a ticket and about its access requests. All such entries are newer than the ticket."""
    ticket = Ticket.objects.visible_to(actor).filter(pk=ticket_id).first()
    if ticket is None:
        return rows.none()
    access_requests = AccessRequest.objects.filter(ticket=ticket).values_list("pk", flat=True)
    about = Q(subject_type="ticket", subject_id=str(ticket.pk)) | Q(correlation_id__in=list(access_requests))
    return periods.within(rows.filter(about), log.pk, since=ticket.opened_at, until=None)


def head(tenant: Tenant | Log) -> Head:
    row = ChainHead.objects.filter(pk=tenant.pk).first()
    return Head(row.size, row.last_at) if row else Head(0, None)


def last_check(tenant_id: UUID) -> LogCheck | None:
    """Return the check of this log that was requested last."""
    return LogCheck.objects.filter(tenant_id=tenant_id).order_by("-asked_at").first()


def signed_sizes(tenant_id: UUID, shards: Iterable[int]) -> dict[int, int]:
    """Return, for each of these shards, how many entries its newest checkpoint covers."""
    rows = Checkpoint.objects.filter(tenant_id=tenant_id, shard__in=list(shards)).order_by()
    return dict(rows.values_list("shard").annotate(size=Max("size")))


def page(tenant: Tenant | Log, search: Search, place: LogCursor, *, size: int, limit: int = PAGE) -> Page:
    """Return one page of entries, newest first.

    `size` is the number of entries in the log. A search by words may stop early, so the page can be incomplete.
    """
    before = place.before
    if place.after is not None:
        found = _newer(tenant, search, size=size, after=place.after, limit=limit)
        if found is not None:
            return found
    top = size if before is None else min(before, size)
    entries, floor = _found(tenant, search, end=top, limit=limit + 1)
    more, entries = len(entries) > limit, entries[:limit]
    older = entries[-1].seq if more else floor
    newer = None if top == size else (entries[0].seq if entries else top - 1)
    return Page(entries, newer, older, searched_to=floor if floor and not more else None)


def _newer(tenant: Tenant | Log, search: Search, *, size: int, after: int, limit: int) -> Page | None:
    """Return the page with the entries that are newer than `after`.

    Return None if they do not fill a page. The caller then shows a full page with the newest entries instead.
    """
    entries, ceiling = _found(tenant, search, after=after, end=size, limit=limit + 1)
    if len(entries) <= limit:
        if ceiling is None:
            return None
        entries.reverse()
        return Page(entries, newer=ceiling - 1, older=entries[-1].seq if entries else after + 1)
    entries = entries[:limit][::-1]
    return Page(entries, newer=entries[0].seq, older=entries[-1].seq)


def _found(
    tenant: Tenant | Log, search: Search, *, after: int | None = None, end: int, limit: int
) -> tuple[list[AuditEntry], int | None]:
    """Return the newest entries before `end`, or the oldest ones after `after`.

    Return also where the search stopped, if it has not read all entries.
    """
    order = "-seq" if after is None else "seq"
    if search.is_by_words:
        matching = log_search.matches(search, tenant.pk, end=end).order_by(order).filter(seq__gt=after)
        found = matching.found(limit)
        return matching.entries(found.numbers), found.edge
    rows = search.rows(tenant.pk).filter(seq__lt=end).order_by(order)
    return list((rows if after is None else rows.filter(seq__gt=after))[:limit]), None


def in_order(tenant: Tenant | Log, search: Search, *, until: int, after: int | None = None) -> Iterator[AuditEntry]:
    """Yield those of the first `until` entries that match the search, oldest first. They are read in batches.

    `after` is the number of the last entry that the caller already has.
    """
    if search.is_by_words:
        return iter(log_search.matches(search, tenant.pk, end=until).filter(seq__gt=after))
    return batches(search.rows(tenant.pk), until=until, after=after)


def batches(rows: QuerySet[AuditEntry], *, until: int, after: int | None = None) -> Iterator[AuditEntry]:
    """Yield those entries of a queryset whose number is below `until`, oldest first. They are read in batches.

    `after` is the number of the last entry that the caller already has.
    """
    rows = rows.filter(seq__lt=until).order_by("seq")
    next_seq = 0 if after is None else after + 1
    while True:
        batch = list(rows.filter(seq__gte=next_seq)[: audit.BATCH])
        yield from batch
        if len(batch) < audit.BATCH:
            return
        next_seq = batch[-1].seq + 1


def about(entries: Iterable[AuditEntry], *, actor: Actor) -> About:
    entries = list(entries)
    requests = {entry.correlation_id for entry in entries if entry.correlation_id}
    tickets = {key for entry in entries if entry.subject_type == "ticket" and (key := _uuid(entry.subject_id))}
    found = Ticket.objects.all().of_visible(actor, tickets, "reference")
    return About(
        AccessRequest.objects.all().of_visible(actor, requests, "reference"),
        {str(pk): reference for pk, reference in found.items()},
    )


def access_request_id(tenant: Tenant, reference: str) -> UUID | None:
    return AccessRequest.objects.filter(tenant=tenant, reference=reference).values_list("pk", flat=True).first()


def _uuid(text: str) -> UUID | None:
    """Return the id in this text. Return None if the text is not an id, which happens if somebody changed the log."""
    try:
        return UUID(text)
    except ValueError:
        return None
