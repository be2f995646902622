"""Sign-in with a passkey, in place of the password or in addition to it."""

from __future__ import annotations

import json
from typing import Any, cast

import structlog
from allauth.account.forms import LoginForm
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.mfa.base.views import AuthenticateView
from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django.views.generic.base import ContextMixin

from lockbox_site.forms import CodeForm
from requests_app.domain import clock
from requests_app.domain.errors import PasskeyRefused, TooMany, TooManyGuesses
from requests_app.doors.web._step_up import local, note_second_factor
from requests_app.doors.web.errors import refusal as page_of
from requests_app.doors.web.forms.security import assertion_field
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.identity import challenges, factors, guesses, verification
from requests_app.identity.challenges import Purpose
from requests_app.models import Passkey, Person
from requests_app.platform import webauthn

security_log = structlog.get_logger("security")


class AnswerForm(StrictForm):
    assertion = assertion_field()
    next = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Return the options for the browser (GET), or sign in the owner of the passkey that answered (POST).

    The options are the same for everybody.
    """
    if request.method != "POST":
        challenge = challenges.issue(Purpose.SIGN_IN, at=clock.now())
        return JsonResponse(webauthn.assertion_options(party=webauthn.own_party(), challenge=challenge))
    if request.user.is_authenticated:
        return redirect(settings.LOGIN_REDIRECT_URL)
    ip = request.META.get("REMOTE_ADDR", "")
    attempt = guesses.at_passkey(ip)
    if not attempt.count():
        security_log.warning("sign_in.limited", ip=ip)
        return page_of(request, cast(TooManyGuesses, attempt.refusal))
    form = AnswerForm(request.POST)
    form.require_known()
    onward = local(request.POST.get("next"))
    try:
        row = verification.passkey_of(
            form.cleaned_data["assertion"] if form.is_valid() else None, purpose=Purpose.SIGN_IN
        )
    except PasskeyRefused as refused:
        security_log.warning("sign_in.failed", ip=ip, code=refused.code)
        return _refused(request, onward)
    attempt.give_back()
    person = row.person
    security_log.info("sign_in.passkey", user_id=str(person.pk), passkey=str(row.pk))
    _note(request, person, passwordless=True)
    return cast(HttpResponse, perform_login(request, Login(user=person, redirect_url=onward or None)))


def _refused(request: HttpRequest, onward: str) -> HttpResponse:
    """Show the page again. The message is the same for every failure, so that nobody learns which passkeys exist."""
    context = {"form": LoginForm(request=request), "redirect_field_value": onward, "passkey_refused": True}
    return render(request, "account/login.html", context, status=PasskeyRefused.status)


def _note(request: HttpRequest, person: Person, **more: bool) -> None:
    """Record that a second factor was given or is not needed, and that the person has just proved who they are."""
    note_second_factor(request)
    record_authentication(request, person, "mfa", type="webauthn", **more)


# --- After the password -------------------------------------------------------------------------------------


class PasskeyAfterPasswordForm(forms.Form):
    """Asks for a passkey after the password. Like a code, a wrong passkey counts as a guess."""

    assertion = assertion_field(error_messages={"invalid": PasskeyRefused.default, "required": PasskeyRefused.default})

    def __init__(self, *args: Any, user: Person, request: HttpRequest, **kwargs: Any) -> None:
        self.user, self.request = user, request
        super().__init__(*args, **kwargs)

    def clean_assertion(self) -> object:
        answer = self.cleaned_data["assertion"]
        try:
            ip = self.request.META.get("REMOTE_ADDR", "")
            verification.is_this_persons_passkey(self.user, answer, purpose=Purpose.SECOND_FACTOR, ip=ip)
        except (PasskeyRefused, TooMany) as refused:
            raise forms.ValidationError(str(refused.message)) from refused
        return answer

    def save(self) -> None:
        _note(self.request, self.user)


class SecondFactorView(AuthenticateView):
    """Asks for a code or a passkey after the password. The product checks it, and not the library."""

    def _build_forms(self) -> forms.Form | None:
        user, data = self.stage.login.user, self.request.POST if self.request.method == "POST" else None
        is_signed = data is not None and "assertion" in data
        self.auth_form = CodeForm(user=user, data=None if is_signed else data)
        self.webauthn_form = PasskeyAfterPasswordForm(user=user, request=self.request, data=data if is_signed else None)
        return self.webauthn_form if is_signed else self.auth_form if data is not None else None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person = cast(Person, self.stage.login.user)
        found = ContextMixin.get_context_data(self, **kwargs)
        found |= {"form": self.auth_form, "passkey_form": self.webauthn_form, "has_code": factors.has_code(person)}
        keys = [bytes(row.credential_id) for row in Passkey.objects.filter(person=person).live().of_this_site()]
        if keys:
            challenge = challenges.issue(Purpose.SECOND_FACTOR, person.pk, at=clock.now())
            options = webauthn.assertion_options(party=webauthn.own_party(), challenge=challenge, known=keys)
            found["options"] = json.dumps(options)
        return found


second_factor = SecondFactorView.as_view()
