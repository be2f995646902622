"""Adapts the forms of allauth's sign-in to this product."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm as LibraryChangeForm
from allauth.account.forms import ResetPasswordForm as LibraryResetForm
from allauth.core import context
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.models import Authenticator
from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import CodeAlreadyUsed, TooMany
from requests_app.doors.web._step_up import note_second_factor
from requests_app.doors.web.forms.security import code_field
from requests_app.identity import factors, guesses


class ResetPasswordForm(LibraryResetForm):
    """Sends the mail for a new password.

    A worker looks for the account later, so the answer does not show whether there is one.
    """

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if not guesses.at_reset(email, _ip()).count():
            raise forms.ValidationError(_("Too many mails were asked for. Try again in five minutes."))
        return email

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        email: str = self.cleaned_data["email"]
        request_id = getattr(request, "request_id", "")
        operations.ask_for_reset(email=email, actor=Actor.stranger(door="pages", request_id=request_id, ip=_ip()))
        return email


class ChangePasswordForm(LibraryChangeForm):
    """Asks for the present password, and counts it as a guess like any other password."""

    def clean_oldpassword(self) -> str:
        typed: str = self.cleaned_data["oldpassword"]
        try:
            is_right = guesses.is_right(self.user, lambda: self.user.check_password(typed), ip=_ip())
        except TooMany as refusal:
            raise forms.ValidationError(str(refusal.message)) from refusal
        if not is_right:
            raise get_adapter().validation_error("enter_current_password")
        return typed


class CodeForm(forms.Form):
    """Asks for a code after the password. The check counts as a guess, and uses up a right code."""

    code = code_field()

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)

    def clean_code(self) -> str:
        typed: str = self.cleaned_data["code"]
        try:
            is_right = guesses.is_right(
                self.user,
                lambda: factors.is_code(self.user, typed, at=clock.now()),
                ip=_ip(),
            )
        except (TooMany, CodeAlreadyUsed) as refusal:
            raise forms.ValidationError(str(refusal.message)) from refusal
        if not is_right:
            raise forms.ValidationError(
                _("This code is not right. The app shows a new code every 30 seconds. A recovery code works only once.")
            )
        return typed

    def save(self) -> None:
        """Tell the library that a second factor was given. Tell the product that this is a fresh proof of identity."""
        note_second_factor(context.request)
        used = Authenticator.objects.filter(user=self.user, last_used_at__isnull=False)
        latest = used.exclude(type=Authenticator.Type.WEBAUTHN).order_by("-last_used_at").first()
        post_authentication(context.request, latest)


def _ip() -> str:
    return str(context.request.META.get("REMOTE_ADDR", ""))
