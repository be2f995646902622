"""What evidence may be asked for: of the whole log, or of some days."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.web.forms.log import day_widget, start_of, usable
from requests_app.web.forms.strict import StrictForm


class DownloadForm(StrictForm):
    """The button alone; `download` is the name under which the page asks how far it is."""

    download = forms.UUIDField(widget=forms.HiddenInput)


class PeriodForm(DownloadForm):
    since = forms.DateField(label=gettext_lazy("From"), required=False, widget=day_widget(), input_formats=["%Y-%m-%d"])
    until = forms.DateField(
        label=gettext_lazy("To, this day included"),
        required=False,
        widget=day_widget(),
        input_formats=["%Y-%m-%d"],
    )

    def clean_since(self) -> dt.date | None:
        return usable(self.cleaned_data["since"])

    def clean_until(self) -> dt.date | None:
        return usable(self.cleaned_data["until"])

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        since, until = values.get("since"), values.get("until")
        if since and until and until < since:
            self.add_error("until", _("This day is before the first one."))
        return values

    def bounds(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """From the first instant of the first day to that of the day after the last, in the reader's zone."""
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        return (
            start_of(since) if since else None,
            start_of(until + dt.timedelta(days=1)) if until else None,
        )
