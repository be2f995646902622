"""The form with which the first staff member makes an account."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy

from requests_app.domain import limits
from requests_app.doors.web.forms.tenant import AcceptForm


class FirstStaffForm(AcceptForm):
    email = forms.EmailField(
        label=gettext_lazy("Your email address"),
        max_length=limits.EMAIL_MAX,
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
    )
    time_zone = forms.CharField(
        label=gettext_lazy("Your time zone"),
        help_text=gettext_lazy("A city, such as Berlin."),
        max_length=64,
        required=False,
        # A script proposes the browser's zone.
        widget=forms.TextInput(
            attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false", "data-own-zone": True}
        ),
    )
    field_order = ("name", "email", "time_zone", "password")

    def clean_time_zone(self) -> str:
        return self.cleaned_data["time_zone"].strip() or "UTC"
