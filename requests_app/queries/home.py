"""Reads the parts of the home page: open windows, recent results, and the engineer's work.

The functions for access requests find only ids, with the help of an index. Then `rows_of` reads the rows of
all these parts in one query.
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
    """Return the access requests for each part of the page, in the order of that part's ids."""
    found = {row.pk: row for row in inbox.whole(list({pk for part in parts.values() for pk in part}))}
    return {name: [found[pk] for pk in part if pk in found] for name, part in parts.items()}


def open_windows(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the ids of the access requests whose windows are open now. The window that closes next comes first.

    Practice requests come last, so that they never take the place of a real one.

    This is for a customer, a provider approver or staff. For an engineer's own windows, use
    `under_way_of_engineer`.
    """
    rows = AccessRequest.objects.visible_to(actor)
    if actor.side is Side.PROVIDER:
        # Staff see every service. The condition still names all services, because then the index over queues finds the
        # few open rows.
        every = [service.pk for service in inbox.services(actor)] if actor.is_staff else None
        rows = rows.filter(service__in=every or _queues_where(actor, Role.PROVIDER_APPROVER))
    rows = rows.filter(state=State.OPEN, grant__closes_at__gt=at).order_by("is_practice", "grant__closes_at", "pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def under_way_of_engineer(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the ids of the engineer's pending access requests and open windows, newest first."""
    # No access request lasts longer than all deadlines and the longest window together. So the index on the engineer's
    # rows is read only for the last days, and not for years.
    longest = settings.PROVIDER_DECISION_SECONDS + settings.CUSTOMER_DECISION_SECONDS + 24 * 60 * 60
    since = at - max(timedelta(days=14), timedelta(seconds=longest))
    rows = _by(actor).filter(submitted_at__gt=since).filter(_under_way(at))
    return list(rows.values_list("pk", flat=True)[:limit])


def recent_of_engineer(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the ids of the engineer's access requests that have ended, newest first."""
    rows = _by(actor).exclude(_under_way(at))
    return list(rows.values_list("pk", flat=True)[:limit])


def under_way(actor: Actor, *, at: datetime, limit: int) -> list[UUID]:
    """Return the ids of the customer's access requests that wait for other people, the earliest deadline first."""
    rows = AccessRequest.objects.visible_to(actor).filter(decide_by__gt=at)
    streams = [rows.filter(tenant=pk, state=State.PENDING_PROVIDER) for pk in sorted(actor.tenant_ids)]
    others = sorted(pk for pk, roles in actor.tenant_roles.items() if Role.APPROVER not in roles)
    streams += [rows.filter(tenant=pk, state=State.PENDING_CUSTOMER) for pk in others]
    return inbox.merged(streams, "decide_by", descending=False, limit=limit)


def who_can_answer(tenants: list[Tenant]) -> dict[UUID, list[Person]]:
    """Return, for each tenant, the active people who are its approvers now."""
    found: dict[UUID, list[Person]] = {tenant.pk: [] for tenant in tenants}
    memberships = Membership.objects.filter(tenant__in=tenants, role=Role.APPROVER, person__is_active=True)
    for membership in memberships.select_related("person").order_by("person__name", "person_id"):
        found[membership.tenant_id].append(membership.person)
    return found


def tickets_of_engineer(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the open tickets that are assigned to the engineer.

    The ticket that was unchanged for longest comes first.
    """
    rows = Ticket.objects.visible_to(actor).filter(assignee=actor.person, state__in=TICKET_LIVE)
    return list(rows.select_related(*_TICKET).order_by("changed_at", "pk")[:limit])


def new_tickets(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the new tickets in the engineer's queues that are not assigned to anybody yet."""
    rows = Ticket.objects.visible_to(actor).filter(state=TicketState.NEW)
    rows = rows.filter(service__in=_queues_where(actor, Role.ENGINEER))
    return list(rows.select_related(*_TICKET).order_by("changed_at", "pk")[:limit])


def customers_tickets(actor: Actor, *, limit: int) -> list[Ticket]:
    """Return the open tickets that this person opened, or that the provider recorded for this person.

    The ticket that was changed last comes first.
    """
    rows = Ticket.objects.visible_to(actor).filter(state__in=TICKET_LIVE)
    rows = rows.filter(Q(opened_by=actor.person) | Q(on_behalf_of=actor.person))
    return list(rows.select_related(*_TICKET).order_by("-changed_at", "pk")[:limit])


def last_here(rows: list[AccessRequest]) -> dict[UUID, datetime | None]:
    """Return, for each access request, when its engineer's previous window at the same tenant opened, or None."""
    before = Grant.objects.real().filter(
        engineer=OuterRef("requested_by"), tenant=OuterRef("tenant"), opens_at__lt=OuterRef("submitted_at")
    )
    latest = Subquery(before.order_by("-opens_at").values("opens_at")[:1])
    found = AccessRequest.objects.filter(pk__in=[row.pk for row in rows]).annotate(last_here=latest)
    return dict(found.values_list("pk", "last_here"))


def latest_looks(grant_ids: list[UUID], *, lines: int) -> dict[UUID, list[ContentAccess]]:
    """Return the last few content accesses under each grant, newest first.

    Each access is found with one step in the index.
    """
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
