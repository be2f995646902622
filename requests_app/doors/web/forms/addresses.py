"""The form for a new email address of a person's own account."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from requests_app.doors.web.forms.strict import StrictForm


class AddressForm(StrictForm):
    email = forms.EmailField(
        label=_("New address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        error_messages={"required": _("Enter an email address."), "invalid": _("Enter an email address.")},
    )
