"""The forms for the witnesses of a tenant's log, and for how recent their cosignatures must be."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Tenant
from requests_app.words.times import duration_words

NO_RULE = "none"
#: The offered numbers of hours. The present number is offered too, if it is not in this list.
HOURS = (1, 2, 4, 8, 12, 24, 48, 168)
_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "class": "mono"}


class WitnessForm(StrictForm):
    vkey = forms.CharField(
        label=gettext_lazy("Key of the witness"),
        help_text=gettext_lazy("One line, as the witness prints it: name+id+key."),
        max_length=400,
        widget=forms.TextInput(attrs=_PLAIN),
    )
    url = forms.CharField(
        label=gettext_lazy("Address of the witness"),
        help_text=gettext_lazy(
            "This server asks the witness for cosignatures at this address, so it must be able to reach the "
            "address. For example: https://witness.example.com/."
        ),
        max_length=300,
        widget=forms.TextInput(attrs={**_PLAIN, "inputmode": "url"}),
    )


class RuleForm(StrictForm):
    hours = forms.TypedChoiceField(
        label=gettext_lazy("How recently must a witness have cosigned the log?"),
        coerce=lambda hours: None if hours == NO_RULE else int(hours),
        error_messages={"invalid_choice": gettext_lazy("Choose one of the offered lengths.")},
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"hours": tenant.cosigned_within or NO_RULE})
        super().__init__(*args, **kwargs)
        hours = sorted({*HOURS, *([tenant.cosigned_within] if tenant.cosigned_within else [])})
        choices = [
            (NO_RULE, _("not needed: a window opens even if no witness has cosigned the log")),
            *((each, _("within the last %(time)s") % {"time": duration_words(each * 3600)}) for each in hours),
        ]
        self.offer("hours", choices)
