"""Reads the parts of the home page: open windows, recent results, and the engineer's work.

The functions for access requests return walks through an index, which find only ids. All walks of a page are one
statement. Then `rows_of` reads the rows of all these parts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import DateTimeField, OuterRef, Q, QuerySet, Subquery, UUIDField

from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.states import PENDING, TICKET_LIVE, State, TicketState
from requests_app.models import (
    AccessRequest,
    ContentAccess,
    Grant,
    Invitation,
    Membership,
    Person,
    Restoration,
    RestoredTenant,
    Tenant,
    Ticket,
)
from requests_app.models.access import GrantQuerySet
from requests_app.models.scoping import CompiledScope, CompiledVisible, without_index
from requests_app.platform.database.compiled import CompiledIn, CompiledQuery, are_any
from requests_app.queries import inbox, invitations, restored
from requests_app.queries.walks import Walk, walk_where, walked

#: The columns of a line about a ticket.
_TICKET = ("reference", "title", "state", "changed_at", "is_practice", "tenant__name", "service__name")


def rows_of(parts: dict[str, list[UUID]]) -> dict[str, list[AccessRequest]]:
    """Return the access requests for each part of the page, in the order of that part's ids."""
    found = {row.pk: row for row in inbox.whole(list({pk for part in parts.values() for pk in part}))}
    return {name: [found[pk] for pk in part if pk in found] for name, part in parts.items()}


#: The parts of the page with a provider's open windows: real ones, those for practice, and whether there may be others.
_NEXT = ("windows", "practice_windows", "later_window")
#: Among so many windows that close next, in all queues, those of some queues are searched first.
_SOONEST = 100


def next_windows(actor: Actor, *, at: datetime, limit: int) -> dict[str, tuple[list[Walk], int]]:
    """Return the parts for the open windows of a provider approver's queues, or of all queues for staff.

    `found_windows` makes one list of what they find. A queue can have thousands of open windows, and no index has those
    of a queue by their end. So these parts read the windows of all queues that close next.
    """
    scope = None if actor.is_staff else ("of", _queues_where(actor, Role.PROVIDER_APPROVER))
    found = {}
    for name in _NEXT:
        query, places = _next_windows(name, limit).ready(scope)
        found[name] = [Walk(query, {"at": at, **places})], limit
    return found


@cache
def _next_windows(name: str, limit: int) -> CompiledScope:
    def make(places: list[Q], at: Any) -> QuerySet[Any, Any]:
        soonest = Grant.objects.unclosed().filter(closes_at__gt=at).order_by("closes_at", "pk").values("access_request")
        if name == "later_window":
            rows = AccessRequest.objects.filter(pk__in=soonest[_SOONEST : _SOONEST + 1])
        else:
            rows = AccessRequest.objects.filter(pk__in=soonest[:_SOONEST], is_practice=name == "practice_windows")
            # With the index of the queue, SQLite would read all open access requests of the queue.
            rows = rows.alias(of=without_index("service_id")).filter(*places, state=State.OPEN)
        return rows.order_by("grant__closes_at", "pk").values_list("is_practice", "grant__closes_at", "pk")[:limit]

    return CompiledScope(make, at=DateTimeField())


def found_windows(parts: dict[str, list[UUID]], actor: Actor, *, at: datetime, limit: int) -> dict[str, list[UUID]]:
    """Return the parts with one part for all open windows: what `next_windows` has found, or what each queue has.

    If few of the windows that close next are of the actor's queues, all windows of these queues are read.
    """
    real, practice, later = (parts.pop(name) for name in _NEXT)
    found = [*real, *practice][:limit]
    if len(real) < limit and later:
        found = walked({"windows": (open_windows(actor, at=at, limit=limit), limit)})["windows"]
    return {**parts, "windows": found}


def open_windows(actor: Actor, *, at: datetime, limit: int) -> list[Walk]:
    """Return the walks through the access requests whose windows are open now. The next to close comes first.

    Practice requests come last, so that they never take the place of a real one.

    This is for a customer, a provider approver or staff. For an engineer's own windows, use
    `under_way_of_engineer`.
    """
    column, keys = "tenant", sorted(actor.tenant_ids)
    if actor.side is Side.PROVIDER:
        column = "service"
        # Staff see every service.
        keys = [service.pk for service in inbox.services(actor)] if actor.is_staff else []
        keys = keys or _queues_where(actor, Role.PROVIDER_APPROVER)
    query = _open_windows(column, limit)
    return [Walk(query, {"key": key, "at": at}, practice_last=True) for key in keys]


@cache
def _open_windows(column: str, limit: int) -> CompiledQuery:
    def make(key: Any, at: Any) -> QuerySet[Any, Any]:
        rows = AccessRequest.objects.filter(**{column: key}, state=State.OPEN, grant__closes_at__gt=at)
        order = ("is_practice", "grant__closes_at", "pk")
        return rows.order_by(*order).values_list(*order)[:limit]

    return CompiledQuery(make, key=UUIDField(), at=DateTimeField())


def under_way_of_engineer(actor: Actor, *, at: datetime, limit: int) -> list[Walk]:
    """Return the walk through the engineer's pending access requests and open windows, newest first."""
    # No access request lasts longer than all deadlines and the longest window together. So the index on the engineer's
    # rows is read only for the last days, and not for years.
    longest = settings.PROVIDER_DECISION_SECONDS + settings.CUSTOMER_DECISION_SECONDS + 24 * 60 * 60
    since = at - max(timedelta(days=14), timedelta(seconds=longest))
    return _of_engineer(actor, {"at": at, "since": since}, limit=limit)


def recent_of_engineer(actor: Actor, *, at: datetime, limit: int) -> list[Walk]:
    """Return the walk through the engineer's access requests that have ended, newest first."""
    return _of_engineer(actor, {"at": at}, limit=limit)


def _of_engineer(actor: Actor, values: dict[str, Any], *, limit: int) -> list[Walk]:
    scope = AccessRequest.objects.all().scope_of(actor)
    if scope is not None and not scope[1]:
        return []
    query, places = _by_engineer(limit, is_under_way="since" in values).ready(scope)
    return [Walk(query, {**values, **places, "person": actor.person}, is_newest_first=True)]


@cache
def _by_engineer(limit: int, *, is_under_way: bool) -> CompiledScope:
    """Return the query for an engineer's own access requests in their queues. Staff see every queue."""

    def make(places: list[Q], *, person: Any, at: Any, since: Any = None) -> QuerySet[Any, Any]:
        rows = AccessRequest.objects.filter(*places, requested_by=person)
        rows = rows.filter(_under_way(at), submitted_at__gt=since) if is_under_way else rows.exclude(_under_way(at))
        return rows.order_by("-submitted_at", "-pk").values_list("is_practice", "submitted_at", "pk")[:limit]

    fields: dict[str, Any] = {name: DateTimeField() for name in (("at", "since") if is_under_way else ("at",))}
    return CompiledScope(make, person=UUIDField(), **fields)


def under_way(actor: Actor, *, at: datetime, limit: int) -> list[Walk]:
    """Return the walks through the customer's access requests that wait for other people, by deadline."""
    at_provider = walk_where("tenant", State.PENDING_PROVIDER, False, limit=limit)
    at_customer = walk_where("tenant", State.PENDING_CUSTOMER, False, limit=limit)
    walks = [Walk(at_provider, {"key": pk, "at": at}) for pk in sorted(actor.tenant_ids)]
    others = sorted(pk for pk, roles in actor.tenant_roles.items() if Role.APPROVER not in roles)
    return walks + [Walk(at_customer, {"key": pk, "at": at}) for pk in others]


def who_can_answer(tenants: list[Tenant]) -> dict[UUID, list[Person]]:
    """Return, for each tenant, the active people who are its approvers now."""
    found: dict[UUID, list[Person]] = {tenant.pk: [] for tenant in tenants}
    for membership in _APPROVERS(list(found)):
        found[membership.tenant_id].append(membership.person)
    return found


def _approvers(tenants: list[Any]) -> QuerySet[Membership]:
    rows = Membership.objects.filter(tenant__id__in=tenants, role=Role.APPROVER, person__is_active=True)
    return rows.select_related("person").order_by("person__name", "person_id")


_APPROVERS = CompiledIn(_approvers, UUIDField())


def tickets_of_engineer(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the open tickets that are assigned to the engineer.

    The ticket that was unchanged for longest comes first.
    """
    return _assigned(limit)(actor, person=actor.person)


@cache
def _assigned(limit: int) -> CompiledVisible:
    def make(rows: Any, person: Any) -> Any:
        rows = rows.filter(assignee=person, state__in=sorted(TICKET_LIVE))
        return rows.select_related("tenant", "service").only(*_TICKET).order_by("changed_at", "pk")[:limit]

    return CompiledVisible(Ticket.objects.all, make, person=UUIDField())


def new_tickets(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the new tickets in the engineer's queues that are not assigned to anybody yet."""
    return _new(limit)(_queues_where(actor, Role.ENGINEER))


@cache
def _new(limit: int) -> CompiledIn:
    def make(queues: list[Any]) -> Any:
        rows = Ticket.objects.filter(state=TicketState.NEW, service__id__in=queues)
        return rows.select_related("tenant", "service").only(*_TICKET).order_by("changed_at", "pk")[:limit]

    return CompiledIn(make, UUIDField())


def customers_tickets(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the open tickets that this person opened, or that the provider recorded for this person.

    The ticket that was changed last comes first.
    """
    return _customers(limit)(actor, person=actor.person)


@cache
def _customers(limit: int) -> CompiledVisible:
    def make(rows: Any, person: Any) -> Any:
        rows = rows.filter(Q(opened_by=person) | Q(on_behalf_of=person), state__in=sorted(TICKET_LIVE))
        return rows.select_related("tenant", "service").only(*_TICKET).order_by("-changed_at", "pk")[:limit]

    return CompiledVisible(Ticket.objects.all, make, person=UUIDField())


@dataclass(frozen=True)
class Notes:
    """What the page says to few people, and seldom."""

    #: Accepted invitations of this person that somebody must still confirm.
    joining: Sequence[Invitation] = ()
    #: The person's tenants that must still confirm what was restored.
    restored: Sequence[RestoredTenant] = ()
    #: The restoration that staff must still confirm.
    staff_wait: Restoration | None = None


def notes(actor: Actor) -> Notes:
    """Return these notes. One statement says that there is nothing, as for most people."""
    if not are_any([(invitations.TO_NOTE, {"person": actor.person}), *((query, {}) for query in restored.UNCONFIRMED)]):
        return Notes()
    tenants = list(actor.tenant_ids)
    return Notes(invitations.to_note(actor), restored.waiting_tenants(tenants), restored.open_at_provider())


def last_here(rows: list[AccessRequest]) -> dict[UUID, datetime | None]:
    """Return, for each access request, when its engineer's previous window at the same tenant opened, or None.

    The newest window is read first, even if it was practice, because an index leads to it. To leave out practice, the
    database would join all windows of the engineer with their access requests.
    """
    found = {row: (at, was_practice) for row, at, was_practice in _NEWEST_WINDOW([row.pk for row in rows])}
    after_practice = [row for row, (_at, was_practice) in found.items() if was_practice]
    if after_practice:
        real = _newest_window(after_practice, Grant.objects.real())
        found |= {row: (at, was_practice) for row, at, was_practice in real}
    return {row: at for row, (at, _was_practice) in found.items()}


def _newest_window(pks: list[Any], windows: GrantQuerySet) -> Any:
    """Return these access requests, with when the newest of these windows before each opened, and if for practice."""
    before = windows.filter(
        engineer=OuterRef("requested_by"), tenant=OuterRef("tenant"), opens_at__lt=OuterRef("submitted_at")
    ).order_by("-opens_at")
    rows = AccessRequest.objects.filter(pk__in=pks).annotate(window=Subquery(before.values("pk")[:1]))
    # By its id, because with the access request joined, the database would not follow the index.
    newest = Grant.objects.filter(pk=OuterRef("window")).values("access_request__is_practice")
    rows = rows.annotate(opened=Subquery(before.values("opens_at")[:1]), was_practice=Subquery(newest))
    return rows.values_list("pk", "opened", "was_practice")


_NEWEST_WINDOW = CompiledIn(lambda pks: _newest_window(pks, Grant.objects.all()), UUIDField())


def latest_looks(grant_ids: list[UUID], *, lines: int) -> dict[UUID, list[ContentAccess]]:
    """Return the last few content accesses under each grant, newest first.

    Each access is found with one step in the index.
    """
    found: dict[UUID, list[ContentAccess]] = {pk: [] for pk in grant_ids}
    wanted = [pk for row in _newest_looks(lines)(grant_ids) for pk in row if pk is not None]
    for look in _LOOKS(wanted):
        found[look.grant_id].append(look)
    return found


@cache
def _newest_looks(lines: int) -> CompiledIn:
    looks = ContentAccess.objects.filter(grant=OuterRef("pk"))
    newest_first = looks.exclude(kind=ContentAccess.Kind.LIST_ASKED).order_by("-at", "-pk").values("pk")
    newest = {f"look_{n}": Subquery(newest_first[n : n + 1]) for n in range(lines)}
    return CompiledIn(lambda pks: Grant.objects.filter(pk__in=pks).annotate(**newest).values_list(*newest), UUIDField())


_LOOKS = CompiledIn(
    lambda pks: ContentAccess.objects.filter(pk__in=pks).select_related("resource").order_by("-at", "-pk"), UUIDField()
)


def _under_way(at: Any) -> Q:
    return Q(state__in=PENDING, decide_by__gt=at) | Q(state=State.OPEN, grant__closes_at__gt=at)


def _queues_where(actor: Actor, role: Role) -> list[UUID]:
    return sorted(service_id for service_id, roles in actor.queue_roles.items() if role in roles)
