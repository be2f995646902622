"""The forms for a person's own settings."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from django import forms
from django.utils.translation import gettext_lazy

from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Person


@cache
def zones() -> tuple[str, ...]:
    """Return the names of all time zones. They are cached, because they are read from the disk."""
    return tuple(sorted(available_timezones()))


class PreferencesForm(StrictForm):
    time_zone = forms.CharField(
        label=gettext_lazy("Your time zone"),
        help_text=gettext_lazy("Type part of a city’s name, such as Berlin, and choose from the list."),
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
