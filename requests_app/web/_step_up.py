"""Proof that it is still the same person, on a page."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from django.http import HttpRequest

from requests_app import clock, guesses
from requests_app.actors import Actor
from requests_app.models import Person
from requests_app.queries import review
from requests_app.web.middleware import actor_in


def as_proven(request: HttpRequest, password: str, *, tenant_id: UUID) -> Actor:
    """The actor, with the proof if the password is right; without it the operation refuses, and notes it in the log."""
    actor = actor_in(request)
    if password and is_proven(request, password, tenant_id=tenant_id, at=clock.now()):
        return actor.stepped_up(clock.now())
    return actor


def is_proven(request: HttpRequest, password: str, *, tenant_id: UUID, at: datetime) -> bool:
    """Whether the password is this person's. Raises TooMany instead of looking at one wrong too many.

    Two counts, because each lacks something: the cache counts before it looks, but may be one process's own; the log's
    entries are everybody's, but come after the look.
    """
    wrong = review.wrong_passwords(actor_in(request), tenant_id=tenant_id, since=at - guesses.WRONG_WITHIN)
    return guesses.is_password(cast(Person, request.user), password, wrong=wrong)
