"""The form that starts a practice request."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Service, Tenant
from requests_app.queries import practice as queries


class PracticeForm(StrictForm):
    service = forms.ModelChoiceField(
        queryset=Service.objects.none(), label=_("Service"), empty_label=_("Choose a service")
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["service"].queryset = queries.services(tenant)  # type: ignore[attr-defined]  # a ModelChoiceField
