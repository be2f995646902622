"""The forms for a person's own settings."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy

from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Person


class PreferencesForm(StrictForm):
    time_zone = forms.CharField(
        label=gettext_lazy("Your time zone"),
        help_text=gettext_lazy("Type a city, such as Berlin, or part of its name, and choose from the list."),
        max_length=64,
        widget=forms.TextInput(attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false"}),
    )
    theme = forms.ChoiceField(
        label=gettext_lazy("Appearance"),
        choices=Person.Theme.choices,
        widget=forms.RadioSelect,
    )


class ThemeForm(StrictForm):
    theme = forms.CharField()
    next = forms.CharField(required=False, max_length=2000)
