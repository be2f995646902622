"""Keeps the row of each guard: which version it has, and when it was last heard of."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from requests_app.domain.actors import Actor
from requests_app.models import Guard


def note_guard(number: UUID, *, version: str, actor: Actor, at: datetime) -> None:
    """Record that this guard follows the feed now. The caller does this at most every `limits.SIGN_GRAIN`.

    A guard beyond the most that a client can have is not recorded. It may follow, but its reports are refused.
    """
    assert actor.machine is not None
    which = {"client_id": actor.machine.client_id, "number": number}
    if Guard.objects.filter(**which).update(version=version, feed_at=at):
        return
    if not Guard.objects.are_too_many(actor.machine.client_id, at):
        row = Guard(**which, version=version, first_at=at, feed_at=at)
        Guard.objects.bulk_create([row], ignore_conflicts=True)
