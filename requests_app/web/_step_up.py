"""Proof that it is still the same person, on a page, and how long it counts."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from requests_app import challenges, clock, factors, limits, operations, proofs, webauthn
from requests_app.challenges import Purpose
from requests_app.errors import DomainError, PasskeyRefused, StepUpRequired, TooMany, Unacceptable, WrongProof
from requests_app.models import Passkey, Person
from requests_app.models.row_security import own_account
from requests_app.web.forms.security import StepUpForm
from requests_app.web.middleware import STEPPED_UP, actor_in

#: Ways to prove it, as they stand in the session.
PASSWORD, PASSWORD_AND_CODE, PASSKEY, SIGN_IN = "password", "password+code", "passkey", "sign-in"


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


def step_up_form(request: HttpRequest, data: Any = None, **kwargs: Any) -> StepUpForm:
    return StepUpForm(data, has_code=cast(Person, request.user).has_second_factor, **kwargs)


def proven(request: HttpRequest, form: StepUpForm) -> int:
    """0 where what was sent proves who it is, which is then remembered; or the status of what the form now says."""
    if not form.is_valid():
        return Unacceptable.status
    person, given = cast(Person, request.user), form.cleaned_data
    try:
        if form.is_signed:
            ip = request.META.get("REMOTE_ADDR", "")
            proofs.is_this_persons_passkey(person, given["assertion"], purpose=Purpose.STEP_UP, ip=ip)
            way = PASSKEY
        elif is_this_person(request, given["password"], given.get("code", "")):
            way = PASSWORD_AND_CODE if person.has_second_factor else PASSWORD
        else:
            note_failure(request)
            form.add_error(None, form.wrong)
            return StepUpRequired.status
    except (PasskeyRefused, TooMany) as refusal:
        note_failure(request, refusal)
        form.refuse(refusal)
        return refusal.status
    remember(request, at=clock.now(), way=way)
    return 0


def to_confirm(request: HttpRequest) -> dict[str, Any]:
    """What the page that asks shows beside the form: what a passkey is asked, and whether there is a code to type."""
    person = cast(Person, request.user)
    with own_account():
        keys = [bytes(row.credential_id) for row in Passkey.objects.filter(person=person).live().of_this_site()]
    if not keys:
        return {}
    challenge = challenges.issue(Purpose.STEP_UP, person.pk, at=clock.now())
    options = webauthn.assertion_options(party=webauthn.own_party(), challenge=challenge, known=keys)
    return {"options": json.dumps(options), "has_no_code": not factors.has_code(person)}


def local(target: Any) -> str:
    """A path of this very site, or nothing.

    Without a host that is allowed, everything with a host or a scheme is refused. Browsers drop tabs and line breaks
    from an address before they look at it.
    """
    if not isinstance(target, str) or not target.isprintable() or not target.startswith("/"):
        return ""
    return target if url_has_allowed_host_and_scheme(target, allowed_hosts=None) else ""
