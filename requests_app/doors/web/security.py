"""How a person signs in: they set up, list and remove their second factors, and end their sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from requests_app import operations
from requests_app.domain import clock, policy
from requests_app.domain.acts.own_account import REMOVE_TOTP, SET_UP_TOTP
from requests_app.domain.errors import NotFound, Unacceptable
from requests_app.doors.web._known_password import act_of
from requests_app.doors.web._step_up import (
    adding_factor,
    is_fresh,
    local,
    proven,
    setting_up,
    step_up_form,
    to_confirm,
    to_step_up,
)
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.security import SessionForm, SetUpForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.gate import lacks_second_factor
from requests_app.doors.web.middleware import actor_in
from requests_app.identity import factors, sessions
from requests_app.models import Passkey, Person
from requests_app.models.row_security import own_account
from requests_app.platform import totp, webauthn
from requests_app.platform.sealing import Unreadable
from requests_app.platform.secret_answers import secret_answer
from requests_app.queries.installation import is_trial

_PAGE_METHODS = ["GET", "HEAD", "POST"]
_PENDING = "totp_pending"


@login_required
@require_safe
def security(request: HttpRequest) -> HttpResponse:
    person = cast(Person, request.user)
    with own_account():
        passkeys = list(Passkey.objects.filter(person=person).live())
    last_used = factors.passkeys_last_used(person)
    context = {
        "now": instant(request),
        "person": person,
        "passkeys": [(row, last_used.get(str(row.pk))) for row in passkeys],
        "own_site": settings.PASSKEY_RP_ID,
        "site_has_name": webauthn.site_has_name(),
        "needs_factor": policy.needs_second_factor(actor_in(request)),
        "app_last_used": factors.app_last_used(person),
        "codes_left": factors.codes_left(person),
        "sessions": sessions.of(person, this=request.session.session_key),
    }
    return render(request, "security/security.html", context)


# --- The authenticator app ----------------------------------------------------------------------------------


@login_required
@sensitive_post_parameters("code")
@require_http_methods(_PAGE_METHODS)
def set_up(request: HttpRequest) -> HttpResponse:
    """On GET, show the secret. On POST with a code from the app, add the app and show the recovery codes once."""
    person = cast(Person, request.user)
    if person.totp_set_up_at is not None:
        return redirect("web:security")
    if not policy.is_fresh(setting_up(request), instant(request)):
        return to_step_up(request)
    secret, status = _pending_secret(request), 200
    form = SetUpForm(initial={"next": local(request.GET.get("next"))})
    if request.method == "POST":
        form, status = SetUpForm(request.POST), Unacceptable.status
        form.require_known()
        step = totp.step_of(secret, form.cleaned_data["code"], at=clock.now()) if form.is_valid() else None
        if step is not None:
            return _taken(request, secret, step, onward=local(form.cleaned_data["next"]))
        if form.is_valid():
            form.add_error(
                "code", _("This code does not match this secret. Check that the time on your phone is correct.")
            )
    address = factors.address_of(person, secret)
    context = {
        "form": form,
        "secret": secret,
        "address": address,
        "picture": factors.picture_of(address),
        "is_first": not person.has_second_factor,
        "site_has_name": webauthn.site_has_name(),
        "has_password": person.has_usable_password() and not person.signs_in_elsewhere(),
    }
    return secret_answer(own_page(request, "security/set_up.html", context, status=status))


def _taken(request: HttpRequest, secret: str, step: int, *, onward: str) -> HttpResponse:
    was_first, needs_codes = lacks_second_factor(request), gets_codes(cast(Person, request.user))
    app, codes = factors.keeps_totp(secret, step=step), factors.KeepsRecoveryCodes()

    def keep(person: Person) -> None:
        app(person)
        if needs_codes:
            codes(person)

    with own_account(), adding_factor(request, is_passkey=False):
        operations.set_up_totp(actor=setting_up(request), keep=keep)
    request.session.pop(_PENDING, None)
    onward = onward or ("/" if was_first else reverse("web:security"))
    if needs_codes:
        return codes_page(request, codes.codes, onward=onward, made=str(SET_UP_TOTP.done))
    messages.success(request, str(SET_UP_TOTP.done))
    return redirect(onward)


def gets_codes(person: Person) -> bool:
    """Return whether a new second factor also brings recovery codes, on a page that shows them once.

    In a trial, people go straight on. They can make codes later, on the page of their sign-in.
    """
    return factors.codes_left(person) is None and not is_trial()


def codes_page(request: HttpRequest, codes: list[str], *, onward: str, made: str = "") -> HttpResponse:
    context = {"codes": codes, "to_copy": "\n".join(codes), "onward": onward, "made": made}
    return secret_answer(own_page(request, "security/codes.html", context))


@login_required
@require_http_methods(_PAGE_METHODS)
def remove_app(request: HttpRequest) -> HttpResponse:
    """On GET, explain the act. On POST, remove the app."""

    def act() -> HttpResponse:
        operations.remove_totp(actor=actor_in(request), keep=_drops_app)
        messages.success(request, str(REMOVE_TOTP.done))
        return redirect("web:security")

    return _confirmed(request, "security/remove_app.html", act)


@login_required
@require_http_methods(_PAGE_METHODS)
def new_codes(request: HttpRequest) -> HttpResponse:
    """On GET, explain the act. On POST, make new recovery codes and show them once."""

    def act() -> HttpResponse:
        codes = factors.KeepsRecoveryCodes()
        operations.make_recovery_codes(actor=actor_in(request), keep=codes)
        return codes_page(request, codes.codes, onward=reverse("web:security"))

    context = {"has_codes": factors.codes_left(cast(Person, request.user)) is not None}
    return _confirmed(request, "security/new_codes.html", act, context)


def _confirmed(
    request: HttpRequest, template: str, act: Callable[[], HttpResponse], context: dict[str, Any] | None = None
) -> HttpResponse:
    if not is_fresh(request, at=instant(request)):
        return to_step_up(request)
    if request.method == "POST":
        require_nothing(request.POST)
        with own_account():
            return act()
    return own_page(request, template, context or {})


def _drops_app(person: Person) -> None:
    factors.drops_totp(person)
    if not person.has_second_factor:
        # Recovery codes replace a second factor, but the person has no second factor any more.
        factors.drops_recovery_codes(person)


def _pending_secret(request: HttpRequest) -> str:
    """Return the secret of the app that is being set up.

    The session stores the secret encrypted. So the secret does not change when the page is loaded again.
    """
    try:
        return factors.opened(request.session.get(_PENDING, ""))
    except Unreadable:
        secret = totp.new_secret()
        request.session[_PENDING] = factors.seal(secret)
        return secret


# --- The person's sessions ----------------------------------------------------------------------------------


@login_required
@require_POST
def end_session(request: HttpRequest) -> HttpResponse:
    """End one session by its id, or, with "others", all sessions except this one.

    No proof is needed, because nobody gains access.
    """
    form = SessionForm(request.POST)
    form.require_known()
    form.require_valid()
    person, which = cast(Person, request.user), form.cleaned_data["session"]
    if which == "others":
        count = sessions.end_others(person, this=request.session.session_key)
        words = ngettext("%(n)d other session was ended.", "%(n)d other sessions were ended.", count)
        messages.success(request, words % {"n": count})
    elif not which.isdecimal() or not sessions.end(person, int(which)):
        raise NotFound
    else:
        messages.success(request, _("The session was ended."))
    return redirect("web:security")


# --- Step-up ------------------------------------------------------------------------------------------------


@login_required
@sensitive_post_parameters("password", "code")
@require_http_methods(_PAGE_METHODS)
def step_up(request: HttpRequest) -> HttpResponse:
    """Ask for the proof that it is still the same person, and redirect to `next`."""
    form, status = step_up_form(request, initial={"next": local(request.GET.get("next"))}), 200
    if request.method == "POST":
        act = act_of(request, [("next", request.POST.get("next", ""))])
        form = step_up_form(request, request.POST, act=act)
        form.require_known()
        status = proven(request, form)
        if not status:
            return redirect(local(form.cleaned_data["next"]) or "/")
    return own_page(request, "security/step_up.html", {"form": form, **to_confirm(request)}, status=status)


def own_page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    if lacks_second_factor(request):
        # The links of the menu would lead back to this page.
        context["nav_items"] = []
    return render(request, template, {"now": instant(request), **context}, status=status)


urlpatterns = [
    path("security/", security, name="security"),
    path("security/set-up/", set_up, name="security_set_up"),
    path("security/app/remove/", remove_app, name="security_remove_app"),
    path("security/recovery-codes/", new_codes, name="security_new_codes"),
    path("security/sessions/end/", end_session, name="security_end_session"),
    path("step-up/", step_up, name="step_up"),
]
