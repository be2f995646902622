"""The buttons on the page of one signal stream."""

from __future__ import annotations

from django import forms

from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import SignalStream


class StreamActForm(StrictForm):
    status = forms.ChoiceField(choices=SignalStream.Status.choices)
