"""The sessions in which a person is signed in, as the sign-in library stores them, for the doors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession

from requests_app.models import Person


@dataclass(frozen=True)
class Session:
    """`id` names it on the page. Its key, with which one would be signed in, is never on the page."""

    id: int
    is_this: bool
    ip: str
    browser: str
    since: datetime


def of(person: Person, *, this: str | None) -> list[Session]:
    """Return the live sessions, newest first. Those that ended by age or by a new password are deleted here."""
    rows = UserSession.objects.purge_and_list(person)
    found = [Session(row.pk, row.session_key == this, str(row.ip), row.user_agent, row.created_at) for row in rows]
    return sorted(found, key=lambda each: each.since, reverse=True)


def end(person: Person, session_id: int) -> bool:
    """End one session of this person; return False if it does not exist."""
    row = UserSession.objects.filter(user=person, pk=session_id).first()
    if row is None:
        return False
    row.end()
    return True


def end_others(person: Person, *, this: str | None) -> int:
    """End all sessions of this person but the one with this key; return how many."""
    rows = list(UserSession.objects.filter(user=person).exclude(session_key=this))
    for row in rows:
        row.end()
    return len(rows)
