"""Reads what the provider has set up, for its staff: plans, its own people and their roles, and announced changes."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Side
from requests_app.domain.errors import NotFound
from requests_app.models import Person, Plan, Proposal, QueueAssignment


def plans(actor: Actor) -> QuerySet[Plan]:
    return cast(QuerySet[Plan], Plan.objects.visible_to(actor))


def plan(plan_id: object, *, actor: Actor) -> Plan:
    return cast(Plan, Plan.objects.visible_to(actor).find(plan_id))


def people(actor: Actor) -> QuerySet[Person]:
    """Return the provider's people, each with `shown_assignments`: their roles in queues.

    People whose accounts are switched off are included. For everybody but staff, the result is empty.
    """
    if not policy.is_staff(actor):
        return Person.objects.get_queryset().none()
    roles = QueueAssignment.objects.select_related("service").order_by("given_at", "pk")
    found = Person.objects.get_queryset().humans().filter(side=Side.PROVIDER)
    return found.prefetch_related(Prefetch("queue_assignments", queryset=roles, to_attr="shown_assignments"))


def person(person_id: UUID, *, actor: Actor) -> Person:
    found = people(actor).filter(pk=person_id).first()
    if found is None:
        raise NotFound
    return found


def in_queue(rows: QuerySet[Person], **which: object) -> QuerySet[Person]:
    """Filter people by a role, by a service, or by both."""
    return rows.filter(Exists(QueueAssignment.objects.filter(person=OuterRef("pk"), **which)))


def announced(actor: Actor) -> QuerySet[Proposal]:
    """Return the changes that staff proposed. For everybody but staff, the result is empty."""
    if not policy.is_staff(actor):
        return cast(QuerySet[Proposal], Proposal.objects.none())
    related = ("proposed_by", "proposed_through", "confirmed_by")
    return cast(QuerySet[Proposal], Proposal.objects.of_staff().select_related(*related))


def announced_change(proposal_id: object, *, actor: Actor) -> Proposal:
    return cast(Proposal, announced(actor).find(proposal_id))  # type: ignore[attr-defined]  # a ScopedQuerySet
