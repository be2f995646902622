"""Proof that it is still the same person, on a page, and how long it counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from requests_app import clock, limits, operations, proofs
from requests_app.errors import DomainError, WrongProof
from requests_app.models import Person
from requests_app.models.row_security import own_account
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
    """Raises TooMany."""
    return proofs.is_this_person(cast(Person, request.user), password, code, ip=request.META.get("REMOTE_ADDR", ""))


def note_failure(request: HttpRequest, refusal: DomainError | None = None) -> None:
    """Write down that the proof failed, where the person's tenants see it."""
    with own_account():
        operations.note_failed_proof(refusal=refusal or WrongProof(), actor=actor_in(request))


def local(target: Any) -> str:
    """A path of this very site, or nothing.

    Without a host that is allowed, everything with a host or a scheme is refused. Browsers drop tabs and line breaks
    from an address before they look at it.
    """
    if not isinstance(target, str) or not target.isprintable() or not target.startswith("/"):
        return ""
    return target if url_has_allowed_host_and_scheme(target, allowed_hosts=None) else ""
