"""Reads an id from text, for every interface: the usual form with hyphens, in upper or lower case, and no other form.

Azure's tools write GUIDs in upper case. Python also accepts braces, "urn:uuid:" and digits without hyphens; these would
give one row several names.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.urls.converters import UUIDConverter


def as_id(text: object) -> UUID | None:
    """Return the id in a text of the usual form; None for any other text, which may be a name."""
    if isinstance(text, UUID):
        return text
    try:
        found = UUID(str(text))
    except ValueError:
        return None
    return found if str(found) == str(text).lower() else None


class IdField(forms.UUIDField):
    """A form field or filter for an id."""

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        found = as_id(value)
        if found is None:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return found


# Django's own converter takes lower case only. Its pattern is the one place that every `<uuid:…>` of a route goes by;
# another converter of the same name is deprecated, and one of another name would be forgotten in some route.
UUIDConverter.regex = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
