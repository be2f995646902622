"""Proof that it is still the same person, on a page, and how long it counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from requests_app import clock, factors, guesses, limits
from requests_app.actors import Actor
from requests_app.models import Person
from requests_app.queries import review
from requests_app.web.middleware import STEPPED_UP, actor_in

#: Ways to prove it, as they stand in the session.
PASSWORD, PASSWORD_AND_CODE, SIGN_IN = "password", "password+code", "sign-in"


def remember(request: HttpRequest, *, at: datetime, way: str) -> None:
    """Keep in the session that this person has just proved who they are; `policy` says for how long it counts."""
    request.session[STEPPED_UP] = {"at": at.isoformat(), "way": way, "person": str(request.user.pk)}


def remember_sign_in(request: HttpRequest) -> None:
    """Who has no second factor has just given all the proof that there is, and sets one up with it."""
    person = cast(Person, request.user)
    if not person.has_second_factor:
        remember(request, at=clock.now(), way=SIGN_IN)


def is_fresh(request: HttpRequest, *, at: datetime) -> bool:
    since = actor_in(request).stepped_up_at
    return since is not None and since <= at < since + limits.STEP_UP_FOR


def to_step_up(request: HttpRequest) -> HttpResponse:
    """Ask for the proof, and come back to this page."""
    return redirect_to_login(request.get_full_path(), reverse("web:step_up"))


def is_this_person(request: HttpRequest, password: str, code: str) -> bool:
    """Whether the password, and the code where the person has an app, are theirs. Raises TooMany.

    The code is looked at, and by that used up, only after a right password.
    """
    person = cast(Person, request.user)

    def look() -> bool:
        if not person.check_password(password):
            return False
        return not person.has_second_factor or factors.is_code(person, code, at=clock.now())

    return guesses.is_right(person, look)


def local(target: Any) -> str:
    """A path of this very site, or nothing.

    Without a host that is allowed, everything with a host or a scheme is refused. Browsers drop tabs and line breaks
    from an address before they look at it.
    """
    if not isinstance(target, str) or not target.isprintable() or not target.startswith("/"):
        return ""
    return target if url_has_allowed_host_and_scheme(target, allowed_hosts=None) else ""


def as_proven(request: HttpRequest, password: str, *, tenant_id: UUID) -> Actor:
    """The actor, with the proof if the password is right; without it the operation refuses, and notes it in the log."""
    actor = actor_in(request)
    if password and is_proven(request, password, tenant_id=tenant_id, at=clock.now()):
        return actor.stepped_up(clock.now())
    return actor.stepped_up(None)


def is_proven(request: HttpRequest, password: str, *, tenant_id: UUID, at: datetime) -> bool:
    """Whether the password is this person's. Raises TooMany instead of looking at one wrong too many.

    Two counts, because each lacks something: the cache counts before it looks, but may be one process's own; the log's
    entries are everybody's, but come after the look.
    """
    wrong = review.wrong_passwords(actor_in(request), tenant_id=tenant_id, since=at - guesses.WRONG_WITHIN)
    return guesses.is_password(cast(Person, request.user), password, wrong=wrong)
