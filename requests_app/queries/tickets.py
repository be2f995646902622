"""Reads tickets for their pages, and the choices for a new ticket or access request."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from requests_app.domain import limits, policy
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.acts.declaration import Act
from requests_app.domain.acts.tickets import COMMENT, LINK_TICKET, OPEN_TICKET
from requests_app.domain.errors import NotFound, Unacceptable
from requests_app.domain.ids import as_id
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, Transition, actions_from
from requests_app.domain.states import TicketState, Timing
from requests_app.models import AccessRequest, Person, Resource, Service, Tenant, Ticket, TicketComment
from requests_app.models.access import UNDER_WAY
from requests_app.models.scoping import ScopedQuerySet
from requests_app.models.tickets import TicketQuerySet
from requests_app.queries.ticket_list import LINE

#: The most engineers that a form offers. A search finds the others.
CHOICES = 25

#: A ticket's page shows at most this number of access requests that have not ended, and as many of all others.
SHOWN = 20
_OPENERS = OPEN_TICKET.roles


@dataclass(frozen=True)
class Asked:
    """The access requests under a ticket that its page shows. `has_more` says whether there are others."""

    rows: list[AccessRequest] = field(default_factory=list)
    has_more: bool = False


def ticket(ticket_id: object, *, actor: Actor) -> Ticket:
    """Return one ticket with its people and the comments that this actor may read."""
    row = cast(Ticket, listed(actor).find(ticket_id))
    # The condition names the tenant, because the index over comments begins with it.
    found = _readable_comments(actor).filter(tenant=row.tenant_id, ticket=row).order_by("at", "pk")
    row.readable_comments = list(found)  # type: ignore[attr-defined]  # for the page
    return row


def asked(row: Ticket, *, actor: Actor) -> Asked:
    """Return the access requests under a ticket: those that have not ended first, and then the newest of the others.

    There can be thousands, so at most SHOWN of each kind are read.
    """
    going_on = list(_under_way(row, actor).order_by("-submitted_at", "-pk")[: SHOWN + 1])
    # The condition names the tenant, because the index has it.
    rows = _complete(AccessRequest.objects.visible_to(actor).filter(tenant=row.tenant_id, ticket=row))
    others = list(rows.order_by("-submitted_at", "-pk").exclude(pk__in=[found.pk for found in going_on])[: SHOWN + 1])
    shown = [*going_on[:SHOWN], *others[:SHOWN]]
    return Asked(shown, has_more=len(going_on) > SHOWN or len(others) > SHOWN)


def listed(actor: Actor, *, few: QuerySet[Any, Any] | None = None) -> TicketQuerySet:
    """Return all tickets that this actor may see, each with the people that it names. `few` has the only keys."""
    return Ticket.objects.listed_for(actor, few=few).select_related(*LINE)


def comments(ticket_id: object, *, actor: Actor) -> ScopedQuerySet:
    """Return those comments on a ticket that this actor may read."""
    found = Ticket.objects.visible_to(actor).find(ticket_id)
    return _readable_comments(actor).filter(ticket=found)


def _readable_comments(actor: Actor) -> ScopedQuerySet:
    comments = TicketComment.objects.visible_to(actor).select_related("author")
    return comments if policy.sees_internal_notes(actor) else comments.filter(is_internal=False)


def allowed_actions(row: Ticket, *, actor: Actor, at: datetime) -> list[Transition]:
    """Return the transitions that this actor may make on the ticket now."""
    return [
        edge
        for edge in actions_from(row.state, TICKET_TRANSITIONS)
        if is_allowed(row, edge.act, actor=actor) and _in_time(row, edge, at)
    ]


def is_allowed(row: Ticket, act: Act, *, actor: Actor) -> bool:
    """Return whether the declaration of an act allows this actor to do it on the ticket.

    The ticket's state does not matter.
    """
    return policy.is_allowed(actor, act, policy.Subject(log_id=row.tenant_id, service_id=row.service_id))


def may_comment(row: Ticket, *, actor: Actor) -> bool:
    return row.state != TicketState.CLOSED and is_allowed(row, COMMENT, actor=actor)


def may_link(row: Ticket, *, actor: Actor) -> bool:
    """Return whether this actor may set the ticket's reference in another system.

    This is possible on closed tickets too.
    """
    return is_allowed(row, LINK_TICKET, actor=actor)


def may_ask(row: Ticket, *, actor: Actor) -> bool:
    """Return whether this actor may submit an access request for the ticket."""
    return row.is_live and Role.ENGINEER in actor.roles_on(tenant_id=row.tenant_id, service_id=row.service_id)


def ends_with(row: Ticket, *, actor: Actor, at: datetime) -> list[AccessRequest]:
    """Return the pending access requests and open windows that end if the ticket is closed or resolved."""
    rows = _under_way(row, actor).order_by("-submitted_at")
    return [found for found in rows if found.state_at(at) in UNDER_WAY]


def _under_way(row: Ticket, actor: Actor) -> QuerySet[Any]:
    """Return the access requests under a ticket that have not ended.

    An index has only these. With the tenant in the condition, SQLite would read all access requests under the ticket.
    """
    return _complete(AccessRequest.objects.visible_in_parts(actor).filter(ticket=row).not_ended())


def _complete(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.select_related("requested_by", "grant", "tenant", "service").prefetch_related("scope__resource")


def engineers(row: Ticket, find: str = "") -> QuerySet[Person]:
    """Return the engineers to whom the ticket can be assigned.

    With `find`, return those with this text in their name, or with this address.
    """
    people = Person.objects.get_queryset().in_queue(row.service_id, Role.ENGINEER).order_by("name")
    return people.filter(Q(name__icontains=find) | Q(email=find.lower())) if find else people


# --- Opening a ticket ---------------------------------------------------------------------------------------


def tenants(actor: Actor) -> QuerySet[Tenant]:
    """Return the tenants for which this actor may open a ticket."""
    rows = Tenant.objects.visible_to(actor).order_by("name")
    if actor.side is Side.CUSTOMER:
        return rows.filter(pk__in=sorted(pk for pk, roles in actor.tenant_roles.items() if roles & _OPENERS))
    return rows if services(actor).exists() else rows.none()


def services(actor: Actor) -> QuerySet[Service]:
    """Return the services for which this actor may open a ticket.

    A customer and staff can choose from all services, an engineer only from the services of their queues.
    """
    rows = Service.objects.visible_to(actor).order_by("name")
    if actor.side is Side.CUSTOMER or actor.is_staff:
        return rows
    return rows.filter(pk__in=sorted(pk for pk, roles in actor.queue_roles.items() if Role.ENGINEER in roles))


def tenant(tenant_id: object, *, actor: Actor) -> Tenant:
    return cast(Tenant, Tenant.objects.visible_to(actor).find(tenant_id))


def people_of(tenant: Tenant) -> QuerySet[Person]:
    """Return the tenant's people for whom the provider can record a ticket."""
    return Person.objects.active().humans().filter(memberships__tenant=tenant).distinct().order_by("name")


def person_named(tenant: Tenant, who: str) -> Person | None:
    """Return the person of this tenant with this id or complete address, for whom a ticket can be recorded."""
    if "@" in who:
        return people_of(tenant).filter(email=who.strip().lower()).first()
    found = as_id(who)
    return people_of(tenant).filter(pk=found).first() if found is not None else None


def service_named(which: str, *, actor: Actor) -> Service:
    """Return the service with this key or id. Raise Unacceptable if there is no such service."""
    rows = Service.objects.visible_to(actor)
    found = rows.filter(key=which).first()
    try:
        return found if found is not None else cast(Service, rows.find(which))
    except NotFound as error:
        raise Unacceptable(_("There is no such service."), field="service") from error


# --- What an access request can name ------------------------------------------------------------------------


def resources(tenant: Tenant, service: Service, *, is_practice: bool, actor: Actor) -> QuerySet[Any]:
    """Return the resources that an access request for this tenant and this service can name.

    A practice request can name only the practice resource, and a real access request never can.
    """
    rows = Resource.objects.visible_to(actor).filter(tenant=tenant, service=service, is_active=True)
    rows = rows.filter(is_practice=is_practice).select_related("service")
    return rows.order_by("name", "pk")


def demand_services(actor: Actor) -> QuerySet[Service]:
    """Return the services for which this engineer can submit an access request after a law-enforcement demand."""
    keys = sorted(pk for pk, roles in actor.queue_roles.items() if Role.ENGINEER in roles)
    return Service.objects.visible_to(actor).filter(pk__in=keys).order_by("name")


def pending_count(tenant: Tenant, *, is_practice: bool, actor: Actor, at: datetime) -> int:
    """Return how many of this engineer's access requests wait at this tenant. `limits.pending_max` says how many may.

    Practice requests are counted by themselves.
    """
    rows = AccessRequest.objects.filter(requested_by=actor.person, tenant=tenant, is_practice=is_practice)
    return rows.waiting(at).count()


def _in_time(row: Ticket, edge: Transition, at: datetime) -> bool:
    if edge.moves.timing is not Timing.BEFORE or row.ended_at is None:
        return True
    return at < row.ended_at + limits.REOPEN_FOR
