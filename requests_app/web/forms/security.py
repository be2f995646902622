"""What somebody types to prove who they are."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from requests_app.web.forms.strict import StrictForm


def password_field(**more: Any) -> forms.CharField:
    return forms.CharField(
        **{"label": _("Your password"), **more},
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": _("Enter your password.")},
    )


def code_field(**more: Any) -> forms.CharField:
    return forms.CharField(
        **{
            "label": _("Code"),
            "help_text": _("The six digits that your authenticator app shows now, or one of your recovery codes."),
            **more,
        },
        max_length=32,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false", "class": "code"}
        ),
        error_messages={"required": _("Enter the code.")},
    )


class SetUpForm(StrictForm):
    code = code_field(help_text=_("The six digits that the app shows now."))
    next = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)


class PasskeyForm(StrictForm):
    """A name for the key, and what the device answered when it made it."""

    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        help_text=_("So that you know it again, such as “Laptop” or “Key on my key ring”. It stands in the log, too."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": _("Give the passkey a name.")},
    )
    credential = forms.JSONField(
        widget=forms.HiddenInput,
        error_messages={
            "required": _("No passkey was made. Press the button, and let your device check that it is you."),
            "invalid": _("What your passkey answered could not be read."),
        },
    )
    next = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)


class SessionForm(StrictForm):
    session = forms.CharField(max_length=18)


class StepUpForm(StrictForm):
    """The proof that there is: a passkey’s answer; or the password, and a code where there is a second factor."""

    password = password_field()
    code = code_field()
    assertion = forms.JSONField(required=False, widget=forms.HiddenInput)
    next = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)

    def __init__(self, *args: Any, has_code: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wrong = _("The password or the code is not right.") if has_code else _("This is not your password.")
        # A value that is no JSON is something, too: it is refused as an answer, and no password is asked for.
        self.is_signed = bool(self.data.get(self.add_prefix("assertion")))
        self.fields["password"].required = self.fields["code"].required = not self.is_signed
        if not has_code:
            del self.fields["code"]
        if self.prefix:
            # What was held goes back to where it came from.
            del self.fields["next"]
