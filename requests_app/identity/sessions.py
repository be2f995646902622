"""The sessions in which people are signed in, as the sign-in library stores them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from requests_app.domain import clock
from requests_app.models import OneTimeCode, Person


@dataclass(frozen=True)
class Session:
    """A session, for display on a page, with an `id` that is safe to show.

    The session's key is never on a page, because anybody who has the key is signed in.
    """

    id: int
    is_this: bool
    ip: str
    browser: str
    since: datetime


def note(request: HttpRequest) -> None:
    """Store that the request's new session has begun, so that the person sees it and can end it.

    Call this after a sign-in that does not go through the sign-in library's own page.
    """
    UserSession.objects.create_from_request(request)


def of(person: Person, *, this: str | None) -> list[Session]:
    """Return the person's live sessions, the newest first. `this` is the key of the caller's own session.

    Sessions that have ended, because of their age or a new password, are deleted.
    """
    rows = UserSession.objects.purge_and_list(person)
    found = [Session(row.pk, row.session_key == this, str(row.ip), row.user_agent, row.created_at) for row in rows]
    return sorted(found, key=lambda each: each.since, reverse=True)


def end(person: Person, session_id: int) -> bool:
    """End one session of this person. Return False if it does not exist."""
    row = UserSession.objects.filter(user=person, pk=session_id).first()
    if row is None:
        return False
    row.end()
    end_elsewhere(person)
    return True


def end_others(person: Person, *, this: str | None) -> int:
    """End all sessions of this person except the one with the key `this`. Return how many ended."""
    rows = list(UserSession.objects.filter(user=person).exclude(session_key=this))
    for row in rows:
        row.end()
    if rows:
        end_elsewhere(person)
    return len(rows)


def end_elsewhere(person: Person) -> None:
    """End the person's sessions at applications and web tools, and the renewal of the tokens there.

    Such a session does not say in which browser the person signed in here, so all of them end.
    """
    OneTimeCode.objects.end_all_of(person.pk, at=clock.now())


@receiver(user_logged_out, dispatch_uid="sessions.end_elsewhere")
def _signed_out(user: Person | None, **_more: object) -> None:
    if user is not None:
        end_elsewhere(user)
