"""Reads how far a tenant's practice has got, for the checklists of its administrator and of the provider's staff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from requests_app.domain.states import State
from requests_app.models import AccessRequest, Decision, Service, Tenant, Ticket


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
    request, if there is one. `turn` is set while somebody must act.
    """

    is_answered: bool = False
    ticket_id: UUID | None = None
    access_request_id: UUID | None = None
    turn: Turn | None = None

    @property
    def is_under_way(self) -> bool:
        return self.turn is not None


def state_of(tenant: Tenant, *, at: datetime) -> Practice:
    """Return the state of the tenant's practice. A practice request past its deadline no longer waits for anybody."""
    answered = _is_answered(tenant)
    ticket = Ticket.objects.live().filter(tenant=tenant, is_practice=True).order_by("-opened_at", "-pk").first()
    if ticket is None:
        return Practice(is_answered=answered)
    rows = AccessRequest.objects.filter(tenant=tenant, ticket=ticket, is_practice=True)
    newest = rows.select_related("grant").order_by("-submitted_at", "-pk").first()
    return Practice(
        is_answered=answered,
        ticket_id=ticket.pk,
        access_request_id=newest.pk if newest else None,
        turn=_turn(newest, at),
    )


def is_answered_anywhere() -> bool:
    """Return whether a practice request of any tenant has been answered."""
    # The look-up goes from tenant to tenant, because the index over practice requests begins with the tenant.
    found = _answered(_ASKED | _ALONE).filter(tenant=OuterRef("pk"))
    return bool(Tenant.objects.filter(Exists(found)).exists())


def services(tenant: Tenant) -> QuerySet[Service]:
    """Return the services for which somebody can start a practice request now, by name.

    A service that is switched off, or that has an open practice ticket of this tenant, is left out.
    """
    taken = Ticket.objects.live().filter(tenant=tenant, is_practice=True).values("service")
    return Service.objects.filter(is_active=True).exclude(pk__in=taken).order_by("name")


#: The last decision on a practice request: the customer's, or the provider's where the customer is not asked.
_ASKED = Q(stage=Decision.Stage.CUSTOMER)
_ALONE = Q(stage=Decision.Stage.PROVIDER, access_request__needs_customer_approval=False)


def _is_answered(tenant: Tenant) -> bool:
    last = _ASKED if tenant.lockbox_on else _ASKED | _ALONE
    return bool(_answered(last).filter(tenant=tenant).exists())


def _answered(last: Q) -> QuerySet[AccessRequest]:
    """Return the practice requests that have such a last decision."""
    decisions = Decision.objects.filter(last, access_request=OuterRef("pk"))
    return AccessRequest.objects.filter(Exists(decisions), is_practice=True)


def _turn(newest: AccessRequest | None, at: datetime) -> Turn | None:
    """Return who must act next. An engineer whose request was not approved in time can ask again."""
    state = newest.state_at(at) if newest else None
    if state is State.PENDING_PROVIDER:
        return Turn.PROVIDER
    if state is State.PENDING_CUSTOMER:
        return Turn.CUSTOMER
    return Turn.ENGINEER
