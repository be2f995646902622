"""Chooses in a form what has only one possible value: the only service, plan, tenant or person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy


class ChoosesTheOnly(forms.Form):
    """A form in which the only row that a field offers is chosen already.

    Only rows are chosen, and only in a field that must be filled in or that has `is_conditional`. A role, a level of
    access or a decision is never chosen, even if there is only one.
    """

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        given = super().get_initial_for_field(field, field_name)
        is_needed = field.required or getattr(field, "is_conditional", False)
        if given or field_name in self.initial or not is_needed:
            return given
        return only_of(field) or given


class RoleField(forms.ChoiceField):
    """A role, which the person must choose: no browser sends one from a form that nobody has touched."""

    def __init__(self, *, choices: Iterable[tuple[Any, Any]], **kwargs: Any) -> None:
        offered = [("", gettext_lazy("Choose a role")), *choices]
        super().__init__(label=gettext_lazy("Role"), choices=offered, **kwargs)


def only_of(field: forms.Field) -> Any:
    """Return the key of the only row that the field offers, or None. A field can have its own function `only`."""
    if not isinstance(field, forms.ModelChoiceField):
        return field.only() if hasattr(field, "only") else None
    rows = [] if field.queryset is None else list(field.queryset[:2])
    if len(rows) != 1:
        return None
    key = field.prepare_value(rows[0])
    return [key] if isinstance(field, forms.ModelMultipleChoiceField) else key
