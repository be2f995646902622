"""The form for evidence of the whole log, or of some days."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit_app import checkpoint_history
from requests_app.domain.ids import IdField
from requests_app.doors.web.forms.log import LAST, DaysForm, day_widget
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Tenant


class DownloadForm(StrictForm):
    """The form with the download button. `kept` is the size of a checkpoint that the reader already has.

    The progress of the download is reported under the id `download`.
    """

    download = IdField(widget=forms.HiddenInput)
    kept = forms.IntegerField(
        label=gettext_lazy("Number of entries in the checkpoint that you saved"),
        help_text=gettext_lazy(
            "If you saved a checkpoint, enter the number on its second line. The file will then also contain the "
            "proof that the log has only grown since that checkpoint."
        ),
        required=False,
        min_value=0,
        max_value=LAST,
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tenant = tenant

    def clean_kept(self) -> int | None:
        size: int | None = self.cleaned_data["kept"]
        if size and not checkpoint_history.is_known(self.tenant.pk, size):
            raise forms.ValidationError(_("This log has no checkpoint with this number of entries."))
        return size


class PeriodForm(DaysForm, DownloadForm):
    field_order = ("download", "since", "until")

    since = forms.DateField(label=gettext_lazy("From"), required=False, widget=day_widget(), input_formats=["%Y-%m-%d"])
    until = forms.DateField(
        label=gettext_lazy("To (includes this day)"),
        required=False,
        widget=day_widget(),
        input_formats=["%Y-%m-%d"],
    )
