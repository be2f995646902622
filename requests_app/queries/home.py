"""The parts of the home page: open windows, recent results, the engineer's work.

Each part finds ids with an index; `rows_of` then reads the rows of all parts at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import OuterRef, Q, Subquery

from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.states import PENDING, TICKET_LIVE, State, TicketState
from requests_app.models import AccessRequest, ContentAccess, Grant, Membership, Person, Tenant, Ticket
from requests_app.models.access import AccessRequestQuerySet
from requests_app.queries import inbox

_TICKET = ("tenant", "service", "assignee", "opened_by")


def rows_of(parts: dict[str, list[UUID]]) -> dict[str, list[AccessRequest]]:
    """Return the rows of every part of the page, each part in its order."""
    found = {row.pk: row for row in inbox.whole(list({pk for part in parts.values() for pk in part}))}
    return {name: [found[pk] for pk in part if pk in found] for name, part in parts.items()}


def open_windows(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the open windows that concern a customer, an approver or staff, the first to close first.

    An engineer's own windows are in `under_way_of_engineer`.
    """
    rows = AccessRequest.objects.visible_to(actor)
    if actor.side is Side.PROVIDER:
        # Staff see every service. Naming them lets the index over queues find the few open rows.
        every = [service.pk for service in inbox.services(actor)] if actor.is_staff else None
        rows = rows.filter(service__in=every or _queues_where(actor, Role.PROVIDER_APPROVER))
    rows = rows.filter(state=State.OPEN, grant__closes_at__gt=at).order_by("grant__closes_at", "pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def under_way_of_engineer(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the engineer's access requests and windows that are not over, newest first."""
    # Nothing lasts longer than the deadlines and the longest window together. So the index on the engineer's rows is
    # read for days and not for years.
    longest = settings.PROVIDER_DECISION_SECONDS + settings.CUSTOMER_DECISION_SECONDS + 24 * 60 * 60
    since = at - max(timedelta(days=14), timedelta(seconds=longest))
    rows = _by(actor).filter(submitted_at__gt=since).filter(_under_way(at))
    return list(rows.values_list("pk", flat=True)[:limit])


def recent_of_engineer(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the engineer's newest access requests that have ended."""
    rows = _by(actor).exclude(_under_way(at))
    return list(rows.values_list("pk", flat=True)[:limit])


def under_way(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the customer's access requests that wait for other people, the oldest deadline first."""
    rows = AccessRequest.objects.visible_to(actor).filter(decide_by__gt=at)
    streams = [rows.filter(tenant=pk, state=State.PENDING_PROVIDER) for pk in sorted(actor.tenant_ids)]
    others = sorted(pk for pk, roles in actor.tenant_roles.items() if Role.APPROVER not in roles)
    streams += [rows.filter(tenant=pk, state=State.PENDING_CUSTOMER) for pk in others]
    return inbox.merged(streams, "decide_by", descending=False, limit=limit)


def who_can_answer(tenants: list[Tenant]) -> dict[UUID, list[Person]]:
    """Return the people who may approve or deny for each tenant, by the roles as they are now."""
    found: dict[UUID, list[Person]] = {tenant.pk: [] for tenant in tenants}
    memberships = Membership.objects.filter(tenant__in=tenants, role=Role.APPROVER, person__is_active=True)
    for membership in memberships.select_related("person").order_by("person__name", "person_id"):
        found[membership.tenant_id].append(membership.person)
    return found


def tickets_of_engineer(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the live tickets that the engineer works on, the longest unchanged first."""
    rows = Ticket.objects.visible_to(actor).filter(assignee=actor.person, state__in=TICKET_LIVE)
    return list(rows.select_related(*_TICKET).order_by("changed_at", "pk")[:limit])


def new_tickets(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the tickets in the engineer's queues that nobody has taken."""
    rows = Ticket.objects.visible_to(actor).filter(state=TicketState.NEW)
    rows = rows.filter(service__in=_queues_where(actor, Role.ENGINEER))
    return list(rows.select_related(*_TICKET).order_by("changed_at", "pk")[:limit])


def customers_tickets(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the live tickets that this person opened, or that were recorded for them, the last changed first."""
    rows = Ticket.objects.visible_to(actor).filter(state__in=TICKET_LIVE)
    rows = rows.filter(Q(opened_by=actor.person) | Q(on_behalf_of=actor.person))
    return list(rows.select_related(*_TICKET).order_by("-changed_at", "pk")[:limit])


def last_here(rows: list[AccessRequest]) -> dict[UUID, datetime | None]:
    """Return when the same engineer last had a window at the same tenant, for each of these access requests."""
    before = Grant.objects.filter(
        engineer=OuterRef("requested_by"), tenant=OuterRef("tenant"), opens_at__lt=OuterRef("submitted_at")
    )
    latest = Subquery(before.order_by("-opens_at").values("opens_at")[:1])
    found = AccessRequest.objects.filter(pk__in=[row.pk for row in rows]).annotate(last_here=latest)
    return dict(found.values_list("pk", "last_here"))


def latest_looks(grant_ids: list[UUID], *, lines: int) -> dict[UUID, list[ContentAccess]]:
    """Return the last few accesses under each grant, newest first, with one step in the index for each."""
    looks = ContentAccess.objects.filter(tenant=OuterRef("tenant"), grant=OuterRef("pk"))
    newest_first = looks.exclude(kind=ContentAccess.Kind.LIST_ASKED).order_by("-at", "-pk").values("pk")
    newest = {f"look_{n}": Subquery(newest_first[n : n + 1]) for n in range(lines)}
    found: dict[UUID, list[ContentAccess]] = {pk: [] for pk in grant_ids}
    picked = Grant.objects.filter(pk__in=grant_ids).annotate(**newest).values_list(*newest)
    wanted = [pk for row in picked for pk in row if pk is not None]
    rows = ContentAccess.objects.filter(pk__in=wanted).select_related("resource").order_by("-at", "-pk")
    for look in rows:
        found[look.grant_id].append(look)
    return found


def _by(actor: Actor) -> AccessRequestQuerySet:
    rows = AccessRequest.objects.visible_to(actor)
    return rows.filter(requested_by=actor.person).order_by("-submitted_at", "-pk")


def _under_way(at: datetime) -> Q:
    return Q(state__in=PENDING, decide_by__gt=at) | Q(state=State.OPEN, grant__closes_at__gt=at)


def _queues_where(actor: Actor, role: Role) -> list[UUID]:
    return sorted(service_id for service_id, roles in actor.queue_roles.items() if role in roles)
