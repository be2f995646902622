"""Reads access requests as lists: those that wait for a person, and the list of all, which has a search and pages.

Each query follows an index in the index's own order and stops early. For several tenants, queues or states, each has a
query of its own, and the results are merged here. One query for all would make the database sort every row.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import DateTimeField, Exists, OuterRef, Q, QuerySet, UUIDField

from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.errors import Malformed
from requests_app.domain.states import State
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    Decision,
    Person,
    Resource,
    Service,
    Tenant,
    Ticket,
)
from requests_app.models.access import AccessRequestQuerySet
from requests_app.models.scoping import PRACTICE_PREFIX
from requests_app.platform.database.compiled import CompiledIn, CompiledQuery, counts
from requests_app.queries.walks import Walk, in_part, walk_where, walked

#: The related rows that one line of a list shows.
_LINE = ("tenant", "service", "ticket", "requested_by", "grant")
PAGE = 25
#: The most that are counted for the menu. More would make every page slow, and the exact number is of no use there.
COUNTED = 100


def count_waiting_for(actor: Actor, *, at: datetime) -> int:
    """Return how many access requests this person may decide now. The count stops at COUNTED.

    Practice requests are not counted, although they are in the list of what waits for this person.
    """
    query = _WAITING[actor.side]
    asked = [(query, {"human": actor.human, "at": at, "key": key}) for key in _decided_by(actor)]
    return min(sum(counts(asked, most=COUNTED)), COUNTED)


def _decided_by(actor: Actor) -> list[UUID]:
    """Return the tenants or the queues in which this person is an approver."""
    if actor.side is Side.CUSTOMER:
        role, roles_by_key = Role.APPROVER, actor.tenant_roles
    else:
        role, roles_by_key = Role.PROVIDER_APPROVER, actor.queue_roles
    return sorted(key for key, roles in roles_by_key.items() if role in roles)


def _waiting(rows: AccessRequestQuerySet, side: Side, *, human: Any, at: Any) -> AccessRequestQuerySet:
    """Return those of these access requests that wait for this side, and that this human may decide."""
    # A decision stores the human id that the decider had then. The decider's present human id may differ, because
    # accounts may have been linked since. So both are compared.
    by_human = Q(decider_human=human) | Q(decider__human_id=human)
    decided = Decision.objects.filter(by_human, access_request=OuterRef("pk"))
    state = State.PENDING_CUSTOMER if side is Side.CUSTOMER else State.PENDING_PROVIDER
    rows = rows.filter(state=state, decide_by__gt=at)
    return rows.exclude(requester_human=human).exclude(Exists(decided))


def _waiting_in_one(side: Side) -> CompiledQuery:
    """Return the query for what a human may decide in one tenant or queue. The menu of every page counts its rows."""

    def make(human: Any, at: Any, key: Any) -> QuerySet[Any, Any]:
        rows = _waiting(AccessRequest.objects.real().filter(**{_COLUMNS[side]: key}), side, human=human, at=at)
        return rows.order_by().values_list("pk")

    return CompiledQuery(make, human=UUIDField(), at=DateTimeField(), key=UUIDField())


#: The column of the keys of `_decided_by`.
_COLUMNS = {Side.CUSTOMER: "tenant", Side.PROVIDER: "service"}
_WAITING = {side: _waiting_in_one(side) for side in _COLUMNS}


@cache
def _waiting_walk(side: Side, limit: int) -> CompiledQuery:
    def make(human: Any, at: Any, key: Any) -> QuerySet[Any, Any]:
        rows = _waiting(AccessRequest.objects.filter(**{_COLUMNS[side]: key}), side, human=human, at=at)
        return rows.order_by("decide_by", "pk").values_list("is_practice", "decide_by", "pk")[:limit]

    return CompiledQuery(make, human=UUIDField(), at=DateTimeField(), key=UUIDField())


def waiting_walks(actor: Actor, *, at: datetime, limit: int) -> list[Walk]:
    """Return the walks through what this person may decide now, one for each tenant or queue where they can."""
    query = _waiting_walk(actor.side, limit)
    return [Walk(query, {"human": actor.human, "at": at, "key": key}) for key in _decided_by(actor)]


def waiting(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the ids of the access requests that this person may decide now, the earliest deadline first."""
    return walked({"": (waiting_walks(actor, at=at, limit=limit), limit)})[""]


def ended_walks(actor: Actor, *, at: datetime, limit: int) -> list[Walk]:
    """Return the walks through the customer's access requests that have ended, newest first.

    They read one index for each way to end.
    """
    parts = [part for group in ("closed", "denied", "withdrawn", "expired") for part in GROUPS[group]]
    return [
        Walk(
            walk_where("tenant", state, late, limit=limit, is_newest_first=True),
            {"key": pk} if late is None else {"key": pk, "at": at},
            is_newest_first=True,
        )
        for pk in sorted(actor.tenant_ids)
        for state, late in parts
    ]


# --- The list ------------------------------------------------------------------------------------------------


#: The most resources with a matching name that are searched. A name that matches more resources is too short.
NAMESAKES = 50


@dataclass(frozen=True, kw_only=True)
class Search:
    """The conditions of a search in the list.

    `group` is a key of GROUPS. If `tenant_ids` is not set, search all tenants.
    """

    group: str = ""
    service_id: UUID | None = None
    tenant_ids: tuple[UUID, ...] | None = None
    reference: str = ""
    #: The name or the locator of a resource or a part of it, or the address of the engineer.
    named: str = ""


@dataclass(frozen=True)
class Cursor:
    """A position in the list: the row where a page ended, and whether the next page has older rows or newer rows."""

    value: datetime
    pk: UUID
    is_older: bool = True

    def __str__(self) -> str:
        return f"{self.value.isoformat()}~{self.pk}"

    @classmethod
    def read(cls, text: str, *, is_older: bool) -> Cursor:
        """Parse a cursor from the text of an address. Raise Malformed if the text is not a cursor."""
        value, _, pk = text.partition("~")
        try:
            at = datetime.fromisoformat(value)
            if at.tzinfo is None:
                raise Malformed
            # In UTC, the time could be before the year 1 or after the year 9999.
            return cls(at.astimezone(UTC), UUID(pk), is_older)
        except (ValueError, OverflowError):
            raise Malformed from None


@dataclass(frozen=True)
class Page:
    rows: list[AccessRequest]
    newer: Cursor | None = None
    older: Cursor | None = None


def page(actor: Actor, search: Search, *, at: datetime, cursor: Cursor | None = None, limit: int = PAGE) -> Page:
    """Return one page of access requests, newest first.

    An access request after its deadline is found under its new state, even if no sweep has stored that state yet.
    """
    if search.reference and not _is_of_ticket(search.reference):
        return Page(whole(_by_reference(actor, search)))
    if search.named:
        return Page(whole(_by_name(actor, search)))
    streams, column = _of_ticket(actor, search) if search.reference else _streams(actor, search, at)
    forward = cursor is None or cursor.is_older
    if cursor is not None:
        streams = [rows.filter(_beyond(cursor, column)) for rows in streams]
    found = whole(merged(streams, column, descending=forward, limit=limit + 1))
    more, found = len(found) > limit, found[:limit]
    if not forward:
        found.reverse()
    if not found:
        return Page([])
    first, last = found[0], found[-1]
    newer = Cursor(getattr(first, column), first.pk, False) if (more if not forward else cursor) else None
    older = Cursor(getattr(last, column), last.pk) if (more if forward else cursor) else None
    return Page(found, newer, older)


def services(actor: Actor) -> list[Service]:
    """Return the services by which the actor can filter: the services of their queues, or all services."""
    return list(Service.objects.visible_to(actor).order_by("name"))


def tenants_named(actor: Actor, words: str, *, limit: int = 10) -> tuple[UUID, ...]:
    """Return the ids of at most `limit` tenants whose name or short name begins with `words`.

    The provider has too many tenants to choose from a list.
    """
    named = Q(name__istartswith=words) | Q(slug__istartswith=words)
    rows = Tenant.objects.visible_to(actor).filter(named)
    return tuple(rows.order_by("name").values_list("pk", flat=True)[:limit])


#: The groups of the list: their states, and whether the deadline of that state must have passed (None: it does not
#: matter).
GROUPS: dict[str, tuple[tuple[State, bool | None], ...]] = {
    "waiting": ((State.PENDING_PROVIDER, False), (State.PENDING_CUSTOMER, False)),
    "open": ((State.OPEN, False),),
    "closed": ((State.CLOSED, None), (State.OPEN, True)),
    "denied": ((State.DENIED, None),),
    "withdrawn": ((State.WITHDRAWN, None),),
    "expired": ((State.EXPIRED, None), (State.PENDING_PROVIDER, True), (State.PENDING_CUSTOMER, True)),
}


def _streams(actor: Actor, search: Search, at: datetime) -> tuple[list[AccessRequestQuerySet], str]:
    """Return one queryset for each index to read, and the column by which all these querysets are ordered.

    Each of the querysets can be read in that order with an index.
    """
    rows = AccessRequest.objects.visible_to(actor)
    if search.service_id:
        rows = rows.filter(service=search.service_id)
    tenant_ids = search.tenant_ids
    if tenant_ids is None and actor.side is Side.CUSTOMER:
        tenant_ids = tuple(sorted(actor.tenant_ids))
    if tenant_ids is not None:
        keyed = [rows.filter(tenant=pk) for pk in tenant_ids]
    else:
        keyed = [rows.filter(service=pk) for pk in _queues(actor, search)]
    if tenant_ids is not None and not search.group:
        return keyed, "submitted_at"
    parts = GROUPS[search.group] if search.group else tuple((state, None) for state in State)
    return [in_part(some, state, late, at) for some in keyed for state, late in parts], "decide_by"


def _queues(actor: Actor, search: Search) -> list[UUID]:
    if search.service_id:
        return [search.service_id]
    return [service.pk for service in services(actor)]


def _by_name(actor: Actor, search: Search) -> list[UUID]:
    """Return the ids of the newest access requests that match the name of a resource or the engineer's address."""
    rows, resources = AccessRequest.objects.visible_to(actor), Resource.objects.visible_to(actor)
    if search.service_id:
        rows, resources = rows.filter(service=search.service_id), resources.filter(service=search.service_id)
    if search.tenant_ids is not None:
        rows, resources = rows.filter(tenant__in=search.tenant_ids), resources.filter(tenant__in=search.tenant_ids)
    named = resources.filter(name__icontains=search.named).order_by("pk").values_list("pk", flat=True)[:NAMESAKES]
    engineers = Person.objects.get_queryset().filter(email=search.named.lower()).values_list("pk", flat=True)
    # All resources of an access request are of its tenant and its service.
    found = AccessRequest.objects.all().of_visible(actor, _newest_about(list(named)), "submitted_at")
    for engineer in engineers:
        theirs = rows.filter(requested_by=engineer).order_by("-submitted_at", "-pk")
        found |= dict(theirs.values_list("pk", "submitted_at")[:PAGE])
    return sorted(found, key=lambda pk: (found[pk], pk), reverse=True)[:PAGE]


def _newest_about(resources: list[UUID]) -> list[UUID]:
    """Return the ids of the PAGE newest access requests about any of these resources.

    The rows of a scope are written when the access request is submitted, so their numbers are in that order. With the
    numbers, an index finds the newest about a resource without reading the others.
    """
    if not resources:
        return []
    # SQLite allows a limit in a part of a union only inside a subquery.
    one = f"""SELECT * FROM (SELECT id, access_request_id FROM {AccessRequestResource._meta.db_table}
              WHERE resource_id = %s ORDER BY id DESC LIMIT {PAGE}) AS newest"""  # noqa: S608 - names and a number
    keys = [UUIDField().get_db_prep_value(each, connection) for each in resources]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join([one] * len(keys)), keys)
        newest = sorted(cursor.fetchall(), reverse=True)
    # An access request can be about several of the resources.
    return list(dict.fromkeys(UUID(str(found)) for _number, found in newest))[:PAGE]


def _by_reference(actor: Actor, search: Search) -> list[UUID]:
    rows = AccessRequest.objects.visible_to(actor)
    return list(rows.filter(reference=search.reference).values_list("pk", flat=True))


def _is_of_ticket(reference: str) -> bool:
    return reference.removeprefix(PRACTICE_PREFIX).startswith("T-")


def _of_ticket(actor: Actor, search: Search) -> tuple[list[AccessRequestQuerySet], str]:
    """Return the access requests under the ticket with this reference, and the column by which they are ordered."""
    ticket = Ticket.objects.visible_to(actor).filter(reference=search.reference).first()
    if ticket is None:
        return [], "submitted_at"
    # The condition names the tenant, because the index over tickets begins with it.
    rows = AccessRequest.objects.visible_to(actor).filter(tenant=ticket.tenant_id, ticket=ticket)
    return [rows], "submitted_at"


def _beyond(cursor: Cursor, column: str) -> Q:
    # The first condition is one range of the index. The second one separates rows of the same instant.
    sign = "lt" if cursor.is_older else "gt"
    beyond = Q(**{f"{column}__{sign}": cursor.value}) | Q(**{column: cursor.value, f"pk__{sign}": cursor.pk})
    return Q(**{f"{column}__{sign}e": cursor.value}) & beyond


def merged(streams: Iterable[QuerySet[Any]], column: str, *, descending: bool, limit: int) -> list[UUID]:
    order = [f"-{column}", "-pk"] if descending else [column, "pk"]
    walks: list[list[tuple[datetime, UUID]]] = [
        list(rows.order_by(*order).values_list(column, "pk")[:limit]) for rows in streams
    ]
    return [pk for _at, pk in islice(heapq.merge(*walks, reverse=descending), limit)]


#: The columns that lines need. Half of the time of a list was for columns that it does not show.
_COLUMNS_OF_LINE = (
    "reference", "reason_kind", "justification", "level", "window_for", "requester_human", "needs_customer_approval",
    "enforced_by", "state", "submitted_at", "state_changed_at", "decide_by", "is_practice",
    "tenant__name", "tenant__slug", "tenant__external_id",
    *(f"service__{field.name}" for field in Service._meta.concrete_fields),
    "ticket__reference", "ticket__title", "ticket__state", "ticket__is_practice",
    "requested_by__name", "requested_by__side", "requested_by__human_id",
    "grant__access_request", "grant__opens_at", "grant__closes_at", "grant__closed_at", "grant__close_reason",
)  # fmt: skip
_LINES = CompiledIn(
    lambda pks: AccessRequest.objects.filter(pk__in=pks).select_related(*_LINE).only(*_COLUMNS_OF_LINE), UUIDField()
)
_SCOPES = CompiledIn(
    lambda pks: (
        AccessRequestResource.objects.filter(access_request__id__in=pks)
        .select_related("resource")
        .only(
            "access_request", "position",
            "resource__kind", "resource__name", "resource__locator", "resource__external_id", "resource__is_practice",
        )
    ),
    UUIDField(),
)  # fmt: skip
_DECISIONS = CompiledIn(
    lambda pks: (
        Decision.objects.filter(access_request__id__in=pks)
        .select_related("decider", "client__account")
        .only(
            "access_request", "stage", "verdict", "decider_human", "deputy_for", "at",
            "decider__name", "decider__human_id", "client__account__name",
        )
    ),
    UUIDField(),
)  # fmt: skip


def whole(pks: list[UUID]) -> list[AccessRequest]:
    """Return the access requests with these ids, in the order of the ids.

    The rows include the related rows that one line of a list shows. The scope and the decisions of each are plain
    lists behind `row.scope.all()`: a list has many rows, and a queryset for each part of each takes long to make.
    """
    if not pks:
        return []
    by_pk = {row.pk: row for row in _LINES(pks)}
    for name, parts in (("scope", _SCOPES(pks)), ("decisions", _DECISIONS(pks))):
        for row in by_pk.values():
            row.__dict__.setdefault("_prefetched_objects_cache", {})[name] = []
        for part in parts:
            part.access_request = row = by_pk[part.access_request_id]
            row._prefetched_objects_cache[name].append(part)
    return [by_pk[pk] for pk in pks if pk in by_pk]
