"""The forms in which people prove who they are."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from requests_app.doors.web._secrets import secret
from requests_app.doors.web.forms.strict import StrictForm


def password_field(**more: Any) -> forms.CharField:
    return forms.CharField(
        **{"label": _("Your password"), **more},
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": _("Enter your password.")},
    )


class CodeInput(forms.TextInput):
    """A field that never shows its value again: each code works once, so the next page asks for a new code."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        return super().get_context(name, None, attrs)


def code_field(**more: Any) -> forms.CharField:
    field = forms.CharField(
        **{
            "label": _("Code"),
            "help_text": _("The six digits that your authenticator app shows now, or one of your recovery codes."),
            **more,
        },
        max_length=32,
        widget=CodeInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false", "class": "code"}
        ),
        error_messages={"required": _("Enter the code.")},
    )
    return secret(field)


def assertion_field(**more: Any) -> forms.JSONField:
    """Return the field for a passkey's answer."""
    return secret(forms.JSONField(widget=forms.HiddenInput, **more))


class SetUpForm(StrictForm):
    code = code_field(help_text="")
    next = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)


class PasskeyForm(StrictForm):
    """A name for the new passkey, and the answer that the device gave when it made the passkey."""

    name = forms.CharField(
        label=_("Name of the passkey"),
        max_length=60,
        help_text=_("The log shows this name."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": _("Give the passkey a name.")},
    )
    credential = secret(
        forms.JSONField(
            widget=forms.HiddenInput,
            error_messages={
                "required": _("No passkey was made. Press the button, and let your device check that it is you."),
                "invalid": _("The answer of your passkey could not be read. Try again."),
            },
        )
    )
    next = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)


class SessionForm(StrictForm):
    session = forms.CharField(max_length=18)


class ProofForm(forms.Form):
    """The base of forms that ask for a proof.

    If the person has just typed the right password, these forms ask only for the code.
    """

    is_password_known = False

    @property
    def asked(self) -> list[forms.BoundField]:
        """The fields that the page shows."""
        return [field for field in self.visible_fields() if not (self.is_password_known and field.name == "password")]


class StepUpForm(ProofForm, StrictForm):
    """The form of a proof: a passkey's answer, or the password with a code if the person has a second factor.

    `act` is the digest of the act that needs the proof.
    """

    password = password_field()
    code = code_field()
    assertion = assertion_field(required=False)
    next = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)

    def __init__(self, *args: Any, has_code: bool, is_password_known: bool = False, act: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.act, self.is_password_known = act, is_password_known
        self.wrong = _("The password or the code is not right.") if has_code else _("This is not your password.")
        if is_password_known:
            self.wrong = _("The code is not right.")
        # A value that is not JSON counts too: it is refused as an answer, and the form asks for no password.
        self.is_signed = bool(self.data.get(self.add_prefix("assertion")))
        self.fields["password"].required = not self.is_signed and not is_password_known
        self.fields["code"].required = not self.is_signed
        if not has_code:
            del self.fields["code"]
        if self.prefix:
            # The page sends the waiting form back to its own address, so it needs no `next`.
            del self.fields["next"]
