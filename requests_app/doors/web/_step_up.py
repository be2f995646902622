"""The step-up on pages: a person proves that they are still the same person, and the session remembers the proof."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    CodeAlreadyUsed,
    DomainError,
    PasskeyRefused,
    StepUpRequired,
    TooMany,
    Unacceptable,
    WrongProof,
)
from requests_app.doors.web import _known_password
from requests_app.doors.web.forms.security import ProofForm, StepUpForm
from requests_app.doors.web.middleware import (
    LINK,
    LINK_TO_SINGLE_SIGN_ON,
    NEW_SECOND_FACTOR,
    ONLY_TO_ADD_SECOND_FACTOR,
    PASSKEY,
    PASSWORD,
    PASSWORD_AND_CODE,
    PASSWORD_SIGN_IN,
    SIGN_IN,
    SINGLE_SIGN_ON,
    STEPPED_UP,
    actor_in,
    last_proof,
)
from requests_app.identity import challenges, factors, verification
from requests_app.identity.challenges import Purpose
from requests_app.models import Passkey, Person
from requests_app.models.row_security import own_account
from requests_app.platform import webauthn
from requests_app.queries import signing, single_sign_on


def approval_words(request: HttpRequest, *, tenant_id: UUID, at: datetime) -> str:
    """Return what the next page asks this person for. This depends on their second factors and their last proof."""
    actor = actor_in(request)
    if signing.passkeys(actor, tenant_id):
        return _("You confirm on the next page. If you approve, have your passkey ready.")
    if is_fresh(request, at=at):
        return _("You confirm on the next page.")
    if factors.has_code(cast(Person, request.user)):
        return _(
            "You confirm on the next page. To approve, you need your password and a code from your authenticator app."
        )
    return _("You confirm on the next page. To approve, you need to prove that it is you.")


def remember(request: HttpRequest, *, at: datetime, way: str) -> None:
    """Store in the session that this person has just proved who they are.

    `policy` decides how long the proof counts.
    """
    request.session[STEPPED_UP] = {"at": at.isoformat(), "way": way, "person": str(request.user.pk)}


def note_second_factor(request: HttpRequest) -> None:
    """Note for `remember_sign_in` that the present sign-in included the person's second factor.

    The note is on the request, not in the session, so it counts only for this sign-in.
    """
    request.second_factor_at = clock.now()  # type: ignore[attr-defined]  # read by remember_sign_in()


def remember_sign_in(request: HttpRequest, *, by_link: bool = False) -> None:
    """Remember a sign-in with a password. A sign-in that included a second factor counts as a full proof.

    If the person has no second factor, the sign-in only allows them to set up their first second factor. `by_link` says
    that a link has just made the account, with a password that its reader chose: see `adding_factor`.
    """
    at = getattr(request, "second_factor_at", None)
    if at is not None:
        remember(request, at=at, way=SIGN_IN)
    elif not cast(Person, request.user).has_second_factor:
        remember(request, at=clock.now(), way=LINK if by_link else PASSWORD_SIGN_IN)


def remember_single_sign_on(request: HttpRequest, *, by_link: bool = False) -> None:
    """Remember a sign-in at an identity provider, if the person has no second factor here.

    Such a person can give no other proof. What the identity provider claims about its own second factor (`amr`) is not
    a proof: see docs/single-sign-on.md. `by_link` says that they have just accepted an invitation in this way.
    """
    if not cast(Person, request.user).has_second_factor:
        remember(request, at=clock.now(), way=LINK_TO_SINGLE_SIGN_ON if by_link else SINGLE_SIGN_ON)


@contextmanager
def adding_factor(request: HttpRequest, *, is_passkey: bool) -> Iterator[None]:
    """Start the five minutes of the proof if the block adds the first second factor of an account that a link made.

    The rule: a new second factor is a proof only if the link of an invitation, or the set-up link, signed in this
    session less than five minutes ago. The person who used the link chose the password, too, so they could confirm with
    both on the next page anyway. If they came through single sign-on, they have no password, so only a passkey counts.

    After any other sign-in, a new second factor proves nothing: otherwise a thief who knows a password could add a
    passkey and then act. After a full proof, that proof still counts until its own five minutes end. Adding does not
    prolong it, because a stolen session could then remain proven by adding again and again.
    """
    # This must be read before the block: as soon as there is a second factor, a proof by one factor is gone.
    way, _at = last_proof(request)
    yield
    if way == LINK or (is_passkey and way == LINK_TO_SINGLE_SIGN_ON):
        remember(request, at=clock.now(), way=NEW_SECOND_FACTOR)


def is_fresh(request: HttpRequest, *, at: datetime) -> bool:
    return policy.is_fresh(actor_in(request), at)


def setting_up(request: HttpRequest) -> Actor:
    """Return the actor who sets up a second factor.

    For their first second factor, a sign-in with a password is enough proof.
    """
    way, at = last_proof(request)
    return actor_in(request).stepped_up(at) if way in ONLY_TO_ADD_SECOND_FACTOR else actor_in(request)


def to_step_up(request: HttpRequest) -> HttpResponse:
    """Redirect to the page that asks for the proof. After the proof, that page leads back to this page."""
    return redirect_to_login(request.get_full_path(), reverse("web:step_up"))


def is_this_person(request: HttpRequest, password: str, code: str, *, is_password_known: bool = False) -> bool:
    """Return whether the password and the code prove this person. Raise TooManyGuesses or CodeAlreadyUsed.

    With `is_password_known`, the password can be empty.
    """
    person, ip = cast(Person, request.user), request.META.get("REMOTE_ADDR", "")
    return verification.is_this_person(person, password, code, ip=ip, is_password_known=is_password_known)


def note_failure(request: HttpRequest, refusal: DomainError | None = None) -> None:
    """Record that the proof failed, in the log of each of the person's tenants, or in the provider's log."""
    with own_account():
        operations.note_failed_proof(refusal=refusal or WrongProof(), actor=actor_in(request))


def step_up_form(request: HttpRequest, data: Any = None, *, act: str = "", **kwargs: Any) -> StepUpForm:
    """Return the form that asks for the proof. `act` is the digest of the act (`_known_password.act_of`)."""
    is_known = _known_password.is_known(request, act, at=clock.now()) if data is not None else False
    return StepUpForm(
        data, has_code=cast(Person, request.user).has_second_factor, is_password_known=is_known, act=act, **kwargs
    )


def proven(request: HttpRequest, form: StepUpForm) -> int:
    """Check the proof in the form. If the proof is right, remember it and return 0.

    Otherwise add the error to the form, and return the HTTP status of the page that shows the form again.
    """
    if not form.is_valid():
        return Unacceptable.status
    person, given = cast(Person, request.user), form.cleaned_data
    try:
        if form.is_signed:
            ip = request.META.get("REMOTE_ADDR", "")
            verification.is_this_persons_passkey(person, given["assertion"], purpose=Purpose.STEP_UP, ip=ip)
            way = PASSKEY
        elif is_this_person(
            request, given["password"], given.get("code", ""), is_password_known=form.is_password_known
        ):
            way = PASSWORD_AND_CODE if person.has_second_factor else PASSWORD
        else:
            note_failure(request)
            form.add_error(None, form.wrong)
            return StepUpRequired.status
    except CodeAlreadyUsed as mistake:
        return next_code_is_missing(request, form, mistake, act=form.act)
    except (PasskeyRefused, TooMany) as refusal:
        note_failure(request, refusal)
        form.refuse(refusal)
        return refusal.status
    _known_password.forget(request)
    remember(request, at=clock.now(), way=way)
    return 0


def next_code_is_missing(request: HttpRequest, form: ProofForm, mistake: CodeAlreadyUsed, *, act: str) -> int:
    """Change the form so that it asks only for the next code, because the password was right. Return the HTTP status.

    A code that was used twice is not a refusal, so the log gets no entry.
    """
    if not form.is_password_known:
        # The minute begins with the password, and does not begin again with each code.
        _known_password.remember(request, act, at=clock.now())
        form.is_password_known = True
    form.add_error("code", str(mistake))
    return mistake.status


def to_confirm(request: HttpRequest) -> dict[str, Any]:
    """Return the options for asking for a passkey, and `has_no_code`. Without a passkey, leave both out.

    `has_no_code` is True if the person has no app and no recovery codes. `proves_elsewhere` is True if the person's
    tenant lets a new sign-in at its identity provider count as the proof.
    """
    person = cast(Person, request.user)
    with own_account():
        keys = [bytes(row.credential_id) for row in Passkey.objects.filter(person=person).live().of_this_site()]
    elsewhere = {"proves_elsewhere": True} if single_sign_on.proof_connection(person) is not None else {}
    if not keys:
        return elsewhere
    challenge = challenges.issue(Purpose.STEP_UP, person.pk, at=clock.now())
    options = webauthn.assertion_options(party=webauthn.own_party(), challenge=challenge, known=keys)
    return {"options": json.dumps(options), "has_no_code": not factors.has_code(person), **elsewhere}


def local(target: Any) -> str:
    """Return the target if it is a path of this site, and otherwise "".

    Every address with a host or a scheme is refused, because Django's check gets no allowed hosts. Tabs and
    line breaks are refused too, because a browser removes them from an address before it reads the address.
    """
    if not isinstance(target, str) or not target.isprintable() or not target.startswith("/"):
        return ""
    return target if url_has_allowed_host_and_scheme(target, allowed_hosts=None) else ""
