"""The parameters of a log's page: filters and a place in the log. Other parameters are refused."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from audit_app.queries import Filter
from requests_app.domain.acts.installation import PLAN_CHANGED, SERVICE_CHANGED
from requests_app.domain.events import TITLES
from requests_app.domain.ids import IdField
from requests_app.doors.web.forms.selects import LongSelect
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Tenant
from requests_app.models.scoping import PRACTICE_PREFIX
from requests_app.queries import log as queries
from requests_app.queries.log_search import Search

_REFERENCE = re.compile(r"(?:(P-?)?AR-?)?([2-9A-HJ-NP-Z]{4})-?([2-9A-HJ-NP-Z]{4})", re.IGNORECASE)
#: The largest number that is accepted. No log is longer, and every database can store it.
LAST = 2**53
#: A day outside these years does not exist in every time zone.
_YEARS = range(1970, 9000)

_GROUPS = {
    "access_request": gettext_lazy("Access requests"),
    "grant": gettext_lazy("Access windows"),
    "content": gettext_lazy("Content"),
    "ticket": gettext_lazy("Tickets"),
    "lockbox": gettext_lazy("Settings of Lockbox and of the tenant"),
    "tenant": gettext_lazy("Settings of Lockbox and of the tenant"),
    "resource": gettext_lazy("Settings of Lockbox and of the tenant"),
    "notification_address": gettext_lazy("Settings of Lockbox and of the tenant"),
    "role": gettext_lazy("People and roles"),
    "person": gettext_lazy("People and roles"),
}
#: These events are in the provider's own log. No tenant's log has them.
_PROVIDERS = frozenset({PLAN_CHANGED, SERVICE_CHANGED})


def day_widget() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class DaysForm(StrictForm):
    """A form with the first and the last day of a period, `since` and `until`."""

    def clean_since(self) -> dt.date | None:
        return usable(self.cleaned_data["since"])

    def clean_until(self) -> dt.date | None:
        return usable(self.cleaned_data["until"])

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        since, until = values.get("since"), values.get("until")
        if since and until and until < since:
            self.add_error("until", _("The last day is before the first day."))
        return values

    def bounds(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """Return the beginning of the first day and the end of the last day, in the reader's time zone."""
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        return (
            start_of(since) if since else None,
            start_of(until + dt.timedelta(days=1)) if until else None,
        )


class LogFilter(DaysForm):
    """The filters of a log.

    `as_asked` returns them as text: for addresses, for the export, and for the entry about the export.
    """

    event = forms.ChoiceField(label=gettext_lazy("Event"), required=False, widget=LongSelect)
    person = forms.CharField(label=gettext_lazy("Person"), required=False, max_length=120)
    request = forms.CharField(label=gettext_lazy("Access request"), required=False, max_length=20)
    since = forms.DateField(label=gettext_lazy("From"), required=False, widget=day_widget(), input_formats=["%Y-%m-%d"])
    until = forms.DateField(label=gettext_lazy("To"), required=False, widget=day_widget(), input_formats=["%Y-%m-%d"])
    q = forms.CharField(label=gettext_lazy("Words"), required=False, max_length=120)

    filters = ("event", "person", "request", "since", "until", "q")

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tenant = tenant
        self.offer("event", _event_choices(get_language()))
        for name in ("person", "request", "q"):
            self.fields[name].widget.attrs.update({"type": "search", "autocomplete": "off"})
        self.fields["q"].widget.attrs["aria-describedby"] = "log-words-help"
        self.fields["request"].widget.attrs["placeholder"] = "AR-7K2M-Q4XD"

    def clean_request(self) -> str:
        text = self.cleaned_data["request"]
        match = _REFERENCE.fullmatch(text)
        if text and match is None:
            raise forms.ValidationError(_("A reference looks like AR-7K2M-Q4XD."))
        return f"{PRACTICE_PREFIX if match[1] else ''}AR-{match[2]}-{match[3]}".upper() if match else ""

    def as_asked(self) -> dict[str, str]:
        """Return the filters that are set, as text."""
        found = {name: self.cleaned_data.get(name) for name in self.filters}
        return {
            name: value.isoformat() if isinstance(value, dt.date) else value for name, value in found.items() if value
        }

    def search(self) -> Search | None:
        """Return the filters for the query.

        Return None if the tenant does not have the access request that a filter names.
        """
        values, (since, until) = self.cleaned_data, self.bounds()
        request_id = None
        if values["request"]:
            request_id = queries.access_request_id(self.tenant, values["request"])
            if request_id is None:
                return None
        wanted = Filter(
            event=values["event"],
            correlation_id=request_id,
            since=since,
            until=until,
        )
        return Search(wanted=wanted, words=values["q"], person=values["person"])


class LogPlace(LogFilter):
    """The filters, and one place in the log: older than `before`, newer than `after`, or at `entry`."""

    before = forms.IntegerField(required=False, min_value=0, max_value=LAST, widget=forms.HiddenInput)
    after = forms.IntegerField(required=False, min_value=0, max_value=LAST, widget=forms.HiddenInput)
    entry = forms.IntegerField(required=False, min_value=0, max_value=LAST, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        if sum(values.get(name) is not None for name in ("before", "after", "entry")) > 1:
            self.add_error(None, _("Send only one of the parameters “before”, “after” and “entry”."))
        return values

    def place(self) -> queries.LogCursor:
        values = self.cleaned_data
        before = values["entry"] + 1 if values["entry"] is not None else values["before"]
        return queries.LogCursor(before=before, after=values["after"])


class LogExport(LogFilter):
    """The filters, and the number of the last entry that the reader already has.

    The export begins after this entry. `download` is an id with which the page asks how far the export is.
    Other callers do not send it.
    """

    after = forms.IntegerField(
        label=gettext_lazy("Only entries after number"), required=False, min_value=0, max_value=LAST
    )
    download = IdField(required=False, widget=forms.HiddenInput)

    def as_asked(self) -> dict[str, str]:
        after = self.cleaned_data.get("after")
        return super().as_asked() | ({} if after is None else {"after": str(after)})


@lru_cache(maxsize=64)
def _event_choices(_language: str | None) -> list[tuple[str, str | list[tuple[str, str]]]]:
    """Return the choice of all events that a tenant's log can have, grouped by subject, in this language.

    There are hundreds of them, so they are translated once.
    """
    groups: dict[str, list[tuple[str, str]]] = {str(group): [] for group in _GROUPS.values()}
    for event, title in TITLES.items():
        if event not in _PROVIDERS:
            group = str(_GROUPS.get(event.partition(".")[0], _("Other")))
            groups.setdefault(group, []).append((event, str(title)))
    return [("", _("All events")), *groups.items()]


def usable(day: dt.date | None) -> dt.date | None:
    if day is not None and day.year not in _YEARS:
        raise forms.ValidationError(_("Choose a day between 1970 and 8999."))
    return day


def start_of(day: dt.date) -> dt.datetime:
    """Return the first instant of a day in the reader's time zone."""
    return timezone.make_aware(dt.datetime.combine(day, dt.time()))
