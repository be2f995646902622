"""What this product changes in the forms of allauth's sign-in."""

from typing import Any

from allauth.core import context
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.models import Authenticator
from django import forms
from django.utils.translation import gettext as _

from requests_app import clock, factors, guesses
from requests_app.errors import TooMany
from requests_app.web.forms.security import code_field


class CodeForm(forms.Form):
    """The code after the password. It is used up when it is looked at, and so is a guess."""

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
                ip=context.request.META.get("REMOTE_ADDR", ""),
            )
        except TooMany as refusal:
            raise forms.ValidationError(str(refusal.message)) from refusal
        if not is_right:
            raise forms.ValidationError(
                _("This code is not right, or was used already. The app shows a new one every 30 seconds.")
            )
        return typed

    def save(self) -> None:
        """Let the library note that the second factor was given."""
        used = Authenticator.objects.filter(user=self.user, last_used_at__isnull=False)
        latest = used.exclude(type=Authenticator.Type.WEBAUTHN).order_by("-last_used_at").first()
        post_authentication(context.request, latest)
