"""The fields for an act's inputs, made from the act's declaration."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.utils.text import capfirst

from requests_app.domain import limits
from requests_app.domain.acts.declaration import Act, Field, Kind
from requests_app.queries.choices import CHOICES


def fields_of(act: Act, tenant_id: UUID) -> dict[str, forms.Field]:
    """Return a form field for each input of the act.

    A field checks only whether a value is well formed. The operation decides whether the value is allowed.
    """
    return {each.name: _field(each, tenant_id) for each in act.inputs}


def _field(each: Field, tenant_id: UUID) -> forms.Field:
    common: dict[str, Any] = {"label": each.label or capfirst(each.name.replace("_", " ")), "required": each.is_needed}
    match each.kind:
        case Kind.TEXT:
            return forms.CharField(max_length=each.at_most, widget=forms.Textarea(attrs={"rows": 3}), **common)
        case Kind.EMAIL:
            return forms.EmailField(max_length=limits.EMAIL_MAX, **common)
        case Kind.NUMBER:
            return forms.IntegerField(min_value=each.at_least, max_value=each.at_most, **common)
        case Kind.CHOICE:
            return forms.ChoiceField(choices=[(choice, choice) for choice in each.choices], **common)
        case Kind.FLAG:
            return forms.BooleanField(**{**common, "required": False})
        case Kind.INSTANT:
            return forms.DateTimeField(**common)
        case Kind.ID:
            assert each.of is not None
            rows = CHOICES[each.of](each, tenant_id)
            return forms.ChoiceField(choices=[(str(row.pk), str(row)) for row in rows], **common)
        case Kind.LINE | Kind.NAME:
            return forms.CharField(max_length=each.at_most, **common)
