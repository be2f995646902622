"""The form with which the first staff member makes an account."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy

from requests_app.domain import limits
from requests_app.doors.web.forms.preferences import PreferencesForm
from requests_app.doors.web.forms.tenant import AcceptForm


class FirstStaffForm(AcceptForm):
    email = forms.EmailField(
        label=gettext_lazy("Your email address"),
        help_text=gettext_lazy("You sign in with this address, and get mails at it."),
        max_length=limits.EMAIL_MAX,
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
    )
    time_zone = PreferencesForm.base_fields["time_zone"]
    field_order = ("name", "email", "time_zone", "password")
