"""Reads the roles of the provider's people that took effect at one instant."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from requests_app.domain.actors import Role
from requests_app.models import Person, QueueAssignment


def has(person_id: UUID, role: str, *, since: datetime) -> bool:
    """Return whether the person still has this role, in a queue in which it took effect at this instant."""
    if role == Role.STAFF:
        return Person.objects.active().filter(pk=person_id, is_staff=True).exists()
    return bool(queues(person_id, role, since=since))


def queues(person_id: UUID, role: str, *, since: datetime) -> list[str]:
    """Return the names of these queues."""
    rows = QueueAssignment.objects.filter(person=person_id, role=role, given_at=since)
    return list(rows.order_by("service__name").values_list("service__name", flat=True))
