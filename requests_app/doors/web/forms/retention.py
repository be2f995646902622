"""The form in which a tenant's administrator sets how long the log is stored."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Tenant

FOR_GOOD = "for-good"
#: The offered numbers of days. The present number is offered too, if it is not in this list.
DAYS = (90, 180, 365, 2 * 365, 3 * 365, 5 * 365, 7 * 365, 10 * 365)


def days_words(days: int) -> str:
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


def _choice_words(days: int) -> str:
    """Return the number of days in words, with the years in brackets if the years are whole.

    Nobody recognises 7 years in 2555 days.
    """
    years, rest = divmod(days, 365)
    if rest or not years:
        return days_words(days)
    return f"{days_words(days)} ({ngettext('%(n)d year', '%(n)d years', years) % {'n': years}})"


class RetentionForm(StrictForm):
    days = forms.TypedChoiceField(
        label=gettext_lazy("How long to store each entry"),
        coerce=lambda days: None if days == FOR_GOOD else int(days),
        error_messages={"invalid_choice": gettext_lazy("Choose one of the offered lengths.")},
    )
    understood = forms.BooleanField(
        label=gettext_lazy("I understand that nobody can restore removed entries."),
        required=False,
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"days": tenant.log_retention_days or FOR_GOOD})
        super().__init__(*args, **kwargs)
        days = sorted({*DAYS, *([tenant.log_retention_days] if tenant.log_retention_days else [])})
        choices = [(FOR_GOOD, _("permanently")), *((each, _choice_words(each)) for each in days)]
        self.offer("days", choices)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if values.get("days") is not None and not values.get("understood"):
            self.add_error("understood", _("Confirm that you understand this."))
        return values
