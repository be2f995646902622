"""Reads one page of the list of tickets.

The tickets that match are found by their ids, in the order of an index, and only those of the page are read. One query
with all their people would make the database read every ticket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, Q

from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.states import TICKET_LIVE, TicketState
from requests_app.models import AccessRequest, Service, Ticket
from requests_app.models.scoping import without_index
from requests_app.models.tickets import TicketQuerySet
from requests_app.queries.inbox import Cursor, merged

PAGE = 25
LIVE, ANY = "live", "any"
#: No index helps a search by words. So one page reads at most this many tickets, and says how far it read.
SPAN = 10_000
#: For the provider's people, it reads one of this number of them. PostgreSQL expects one ticket in 200, because of
#: row-level security. To find the end of a longer span, it would sort all tickets.
OF_PROVIDER = 2
#: The most tickets with the same complete reference in another help desk. All customers count together.
NAMESAKES = 1_000
#: The people and things that a ticket names.
LINE = ("tenant", "service", "assignee", "opened_by", "on_behalf_of")
#: The columns that a line of the page's list needs.
_COLUMNS_OF_LINE = (
    "reference", "title", "state", "priority", "changed_at", "is_practice",
    "tenant__name", "service__name", "assignee__name",
)  # fmt: skip
_LEAST, _MOST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, kw_only=True)
class Search:
    """The conditions of a search in the list of tickets.

    `view` is "mine", "queue" or "all". `state` is LIVE, ANY, or one state of the life cycle. If `tenant_ids` is not
    set, search all tenants. `text` is a reference, or words of the title.
    """

    view: str = "all"
    state: str = LIVE
    tenant_ids: tuple[UUID, ...] | None = None
    text: str = ""


@dataclass(frozen=True)
class Page:
    """One page. If a search stopped early, `searched_to` is when the last ticket was changed that it read."""

    rows: list[Ticket]
    newer: Cursor | None = None
    older: Cursor | None = None
    searched_to: datetime | None = None


def page(actor: Actor, search: Search, *, cursor: Cursor | None = None, limit: int = PAGE) -> Page:
    """Return one page of tickets, the last changed first. Each has its pending access requests and open windows."""
    if search.text and (exact := _exact(actor, search)):
        return Page(_whole(exact))
    streams, forward, end = _streams(actor, search), cursor is None or cursor.is_older, None
    if cursor is not None:
        streams = [rows.filter(_beyond(cursor)) for rows in streams]
    if search.text:
        end = _end_of_span(streams, SPAN // (1 if actor.side is Side.CUSTOMER else OF_PROVIDER), forward=forward)
        within = Q() if end is None else Q(**{"changed_at__gt" if forward else "changed_at__lt": end})
        streams = [rows.filter(within, _named(search.text)) for rows in streams]
    pks = merged(streams, "changed_at", descending=forward, limit=limit + 1)
    more, rows = len(pks) > limit, _whole(pks[:limit])
    if not forward:
        rows.reverse()
    return _between(rows, forward=forward, more=more, is_first=cursor is None, end=None if more else end)


def _between(rows: list[Ticket], *, forward: bool, more: bool, is_first: bool, end: datetime | None) -> Page:
    """Return the page with the places where its neighbours begin. `end` is where the search stopped early."""
    newer = older = None
    if rows:
        has_newer, has_older = (not is_first, more) if forward else (more, True)
        newer = Cursor(rows[0].changed_at, rows[0].pk, False) if has_newer else None
        older = Cursor(rows[-1].changed_at, rows[-1].pk) if has_older else None
    if end is None:
        return Page(rows, newer, older)
    if forward:
        return Page(rows, newer, Cursor(end, _MOST), searched_to=end)
    return Page(rows, Cursor(end, _LEAST, False), older)


def _streams(actor: Actor, search: Search) -> list[TicketQuerySet]:
    """Return the tickets as querysets. Each can be read in the order of their changes with an index."""
    states = _states(search)
    if search.view == "mine":
        me = actor.person
        if actor.side is not Side.CUSTOMER:
            return [_all(actor, search).filter(state__in=states, assignee=me)]
        rows = Ticket.objects.alias(of=without_index("tenant_id"))
        rows = rows.filter(of__in=_keys(actor, search)[1], state__in=states)
        return [rows.filter(opened_by=me), rows.filter(on_behalf_of=me).exclude(opened_by=me)]
    column, keys = _keys(actor, search)
    # If the keys are what limits the actor, they are enough. Two conditions on one column would mislead PostgreSQL
    # about how many rows there are.
    rows = Ticket.objects.all() if column == _SCOPES[actor.side] else _all(actor, search)
    if search.state == LIVE:
        # There are few of them, so they are sorted.
        return [rows.filter(**{f"{column}__in": keys}, state__in=states)]
    return [rows.filter(**{column: key}, state=state) for key in keys for state in states]


#: The column that limits what people of this side can see.
_SCOPES = {Side.CUSTOMER: "tenant", Side.PROVIDER: "service"}


def _all(actor: Actor, search: Search) -> TicketQuerySet:
    """Return all tickets of the search, in any state and with any text."""
    rows = Ticket.objects.visible_to(actor)
    if search.view == "mine":
        mine = Q(assignee=actor.person)
        if actor.side is Side.CUSTOMER:
            mine = Q(opened_by=actor.person) | Q(on_behalf_of=actor.person)
        rows = rows.filter(mine)
    elif search.view == "queue":
        rows = rows.filter(service__in=_queues(actor))
    return rows if search.tenant_ids is None else rows.filter(tenant__in=search.tenant_ids)


def _states(search: Search) -> list[str]:
    if search.state == LIVE:
        return sorted(TICKET_LIVE)
    return list(TicketState.values) if search.state == ANY else [search.state]


def _keys(actor: Actor, search: Search) -> tuple[str, Sequence[UUID]]:
    """Return the first column of an index, and the values of this column that the search is about.

    If the column limits what the actor can see (_SCOPES), all values are within that.
    """
    if actor.side is Side.CUSTOMER:
        wanted = actor.tenant_ids if search.tenant_ids is None else actor.tenant_ids & frozenset(search.tenant_ids)
        return "tenant", sorted(wanted)
    if search.tenant_ids is not None:
        return "tenant", search.tenant_ids
    if search.view == "queue":
        return "service", _queues(actor)
    if actor.is_staff:
        return "service", list(Service.objects.order_by("pk").values_list("pk", flat=True))
    return "service", sorted(actor.service_ids)


def _queues(actor: Actor) -> list[UUID]:
    return sorted(pk for pk, roles in actor.queue_roles.items() if Role.ENGINEER in roles)


def _exact(actor: Actor, search: Search) -> list[UUID]:
    """Return the ids of the tickets with this complete reference, here or in another help desk."""
    exact = Q(reference=search.text.upper()) | Q(external_reference=search.text)
    # First by the references alone. With the tenants in the condition, SQLite would read all of their tickets.
    keys = list(Ticket.objects.filter(exact).order_by().values_list("pk", flat=True)[:NAMESAKES])
    if not keys:
        return []
    rows = _all(actor, search).filter(pk__in=keys, state__in=_states(search))
    return list(rows.order_by("-changed_at", "-pk").values_list("pk", flat=True)[:PAGE])


def _named(text: str) -> Q:
    named = Q(reference__istartswith=text) | Q(external_reference__istartswith=text)
    return named | Q(title__icontains=text)


def _end_of_span(streams: list[TicketQuerySet], span: int, *, forward: bool) -> datetime | None:
    """Return the time of the change at which a search by words stops. Return None if it reads all tickets."""
    order = ("-changed_at", "-pk") if forward else ("changed_at", "pk")
    last = max(span // max(len(streams), 1), 1)
    times = [rows.order_by(*order).values_list("changed_at", flat=True) for rows in streams]
    ends = [at for each in times for at in each[last : last + 1]]
    if not ends:
        return None
    return max(ends) if forward else min(ends)


def _whole(pks: list[UUID]) -> list[Ticket]:
    """Return the tickets with these ids, in the order of the ids, with what a line of the list shows."""
    found = Ticket.objects.filter(pk__in=pks).select_related("tenant", "service", "assignee").only(*_COLUMNS_OF_LINE)
    found = found.prefetch_related(Prefetch("access_requests", queryset=_going_on(), to_attr="going_on"))
    by_pk = {row.pk: row for row in found}
    return [by_pk[pk] for pk in pks if pk in by_pk]


def _going_on() -> Any:
    """Return the access requests that have not ended. An index has only these, so few rows are read for each ticket."""
    rows = AccessRequest.objects.not_ended().select_related("grant")
    return rows.only("ticket", "state", "decide_by", "grant__access_request", "grant__closes_at")


def _beyond(cursor: Cursor) -> Q:
    sign = "lt" if cursor.is_older else "gt"
    beyond = Q(**{f"changed_at__{sign}": cursor.value}) | Q(changed_at=cursor.value, **{f"pk__{sign}": cursor.pk})
    return Q(**{f"changed_at__{sign}e": cursor.value}) & beyond
