"""Reads an id from a text, for every interface, and makes ids that sort by time.

Only the usual form with hyphens is accepted, in upper or lower case, because Azure's tools write GUIDs in upper case.
Python also accepts braces, "urn:uuid:", and digits without hyphens. They are refused here, because otherwise one row
would have several addresses.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.urls.converters import UUIDConverter

_HEX = "[0-9a-fA-F]"
#: No row has this id.
NO_ID = UUID(int=0)
_USUAL = re.compile(rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}")


def as_id(text: object) -> UUID | None:
    """Return the id in a text. Return None if the text is not an id in the usual form; it may be a name."""
    if isinstance(text, UUID):
        return text
    found = str(text)
    return UUID(found) if _USUAL.fullmatch(found) else None


def id_by_time(at: datetime) -> UUID:
    """Return a new id that sorts by this instant (RFC 9562, version 7). 74 of its bits are random.

    New rows with such ids are beside each other in the index of the primary key. With ids that are random as a whole,
    each row changes another page of it, which the database writes twice.
    """
    milliseconds, random = int(at.timestamp() * 1000), int.from_bytes(os.urandom(16)) >> 54
    return UUID(int=milliseconds << 80 | 7 << 76 | random >> 62 << 64 | 2 << 62 | random & (1 << 62) - 1)


class IdField(forms.UUIDField):
    """A field for an id, in a form or in a filter."""

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        found = as_id(value)
        if found is None:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return found


# Django's own converter accepts only lower case. Every `<uuid:…>` in a route uses its pattern, so the pattern is
# replaced here. Django deprecates a second converter with this name, and a converter with a new name could be forgotten
# in a route.
UUIDConverter.regex = _USUAL.pattern
