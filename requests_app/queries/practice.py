"""Reads how far a tenant's practice has got, for the checklists of its administrator and of the provider's staff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast
from uuid import UUID

from django.db.models import QuerySet
from django.utils.text import get_text_list
from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor, Role
from requests_app.domain.states import State
from requests_app.models import AccessRequest, Person, Service, Tenant, Ticket
from requests_app.models.scoping import without_index
from requests_app.queries import answered
from requests_app.queries.installation import is_trial

#: How many names of people are read.
SHOWN = 5


class Turn(StrEnum):
    """Who must act next, so that a practice request gets an answer."""

    ENGINEER = "engineer"
    PROVIDER = "provider"
    CUSTOMER = "customer"


@dataclass(frozen=True, kw_only=True)
class Practice:
    """How far a tenant's practice has got.

    `is_answered` says whether the tenant's own approver has approved or denied a practice request, at any time. A
    tenant without Lockbox has no such stage: its practice request is answered when the provider has decided.
    `ticket_id` names the open practice ticket whose practice began last, and `access_request_id` its newest access
    request, if there is one. `turn` is set while somebody must act, and `waits_for` then has names of people who can.
    """

    is_answered: bool = False
    ticket_id: UUID | None = None
    access_request_id: UUID | None = None
    turn: Turn | None = None
    waits_for: tuple[str, ...] = ()

    @property
    def is_under_way(self) -> bool:
        return self.turn is not None


def state_of(tenant: Tenant, *, at: datetime) -> Practice:
    """Return the state of the tenant's practice. A practice request past its deadline no longer waits for anybody.

    In a trial, a real ticket counts, too: it is how somebody tries the product.
    """
    is_answered = answered.is_practised(tenant)
    # SQLite would take the index of the tenant, and read all of its tickets, to find the few for practice.
    ticket = _live().alias(of=without_index("tenant_id")).filter(of=tenant.pk).order_by("-opened_at", "-pk").first()
    if ticket is None:
        return Practice(is_answered=is_answered)
    newest = _newest(ticket)
    turn = _turn(newest, at)
    return Practice(
        is_answered=is_answered,
        ticket_id=ticket.pk,
        access_request_id=newest.pk if newest else None,
        turn=turn,
        waits_for=tuple(_people(turn, ticket, newest, at).values_list("name", flat=True)[:SHOWN]),
    )


def newest_tenant() -> Tenant | None:
    """Return the tenant whose open practice ticket began last."""
    ticket = _live().select_related("tenant").order_by("-opened_at", "-pk").first()
    return ticket.tenant if ticket else None


def next_in_trial(ticket: Ticket, *, actor: Actor, at: datetime) -> str:
    """Return the names of those who must act next on a ticket. Return "" outside a trial, and on one's own turn.

    In a trial, one person plays everybody, and must know whom to play next.
    """
    if not is_trial() or not ticket.is_live:
        return ""
    newest = _newest(ticket)
    people = list(_people(_turn(newest, at), ticket, newest, at)[:SHOWN])
    is_readers = any(person.pk == actor.person_id for person in people)
    return "" if is_readers else str(get_text_list([person.name for person in people], _("or")))


def _live() -> QuerySet[Ticket]:
    rows = Ticket.objects.live()
    return cast("QuerySet[Ticket]", rows if is_trial() else rows.filter(is_practice=True))


def _newest(ticket: Ticket) -> AccessRequest | None:
    """Return the newest access request of a ticket."""
    rows = AccessRequest.objects.filter(tenant=ticket.tenant_id, ticket=ticket, is_practice=ticket.is_practice)
    found = rows.select_related("grant", "requested_by").order_by("-submitted_at", "-pk").first()
    return cast("AccessRequest | None", found)


def services(tenant: Tenant) -> QuerySet[Service]:
    """Return the services for which somebody can start a practice request now, by name.

    A service that is switched off, or that has an open practice ticket of this tenant, is left out.
    """
    taken = Ticket.objects.live().filter(tenant=tenant, is_practice=True).values("service")
    return Service.objects.filter(is_active=True).exclude(pk__in=taken).order_by("name")


def _people(turn: Turn, ticket: Ticket, newest: AccessRequest | None, at: datetime) -> QuerySet[Person]:
    """Return the people who can act next. The one who asks never confirms."""
    people = Person.objects.get_queryset()
    if turn is Turn.CUSTOMER:
        return people.deciding_for(ticket.tenant_id, at).order_by("name")
    if turn is Turn.ENGINEER and ticket.assignee_id is not None:
        return people.filter(pk=ticket.assignee_id)
    role = Role.ENGINEER if turn is Turn.ENGINEER else Role.PROVIDER_APPROVER
    asks = {"human_id": newest.requested_by.human_id} if newest and turn is Turn.PROVIDER else {"pk": None}
    return people.in_queue(ticket.service_id, role).exclude(**asks).order_by("name")


def _turn(newest: AccessRequest | None, at: datetime) -> Turn:
    """Return who must act next. An engineer whose request was not approved in time can ask again."""
    state = newest.state_at(at) if newest else None
    if state is State.PENDING_PROVIDER:
        return Turn.PROVIDER
    if state is State.PENDING_CUSTOMER:
        return Turn.CUSTOMER
    return Turn.ENGINEER
