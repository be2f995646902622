"""Which fields of a form are secret. A page never shows a secret again, and no secret is stored with a form.

A field is secret if it has a password widget, or if `secret` marks it. When a sent form is stored, its class is not
known yet, so only the field's name decides. So no form may use the name of a secret field for another field.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TypeVar

from django import forms

_Field = TypeVar("_Field", bound=forms.Field)

#: These are never stored with a waiting form. Both are made again: the text to sign is valid only once.
_NEVER = frozenset({"csrfmiddlewaretoken", "manifest"})


def secret(field: _Field) -> _Field:
    """Mark a field as secret: its value proves who somebody is, or gives access to something."""
    field.is_secret = True  # type: ignore[attr-defined]  # read by is_marked()
    return field


def is_marked(field: forms.Field) -> bool:
    return isinstance(field.widget, forms.PasswordInput) or getattr(field, "is_secret", False)


def all_forms(base: type[forms.BaseForm] = forms.BaseForm) -> Iterator[type[forms.BaseForm]]:
    """Yield every form class, including the form classes of libraries."""
    for form in base.__subclasses__():
        yield form
        yield from all_forms(form)


def is_secret(name: str) -> bool:
    """Return whether any form has a secret field with this name. The prefix of a form in a form set is ignored."""
    name = name.rpartition("-")[2]
    fields = (getattr(form, "base_fields", {}).get(name) for form in all_forms())
    return any(field is not None and is_marked(field) for field in fields)


@cache
def secret_names() -> str:
    """Return the names of all secret fields, for the script that must not store them (static/js/unsent.js)."""
    fields = ((name, field) for form in all_forms() for name, field in getattr(form, "base_fields", {}).items())
    return " ".join(sorted({name for name, field in fields if is_marked(field)}))


def may_wait(name: str, value: str) -> bool:
    """Return whether this value can be stored until the person has confirmed or signed in.

    An empty secret is stored too. Otherwise the field would be missing, as if the sender had left it out.
    """
    return name not in _NEVER and not (value and is_secret(name))


def sentences_in(fields: list[tuple[str, str]]) -> list[str]:
    """Return the texts that a person may want to see again: texts of several words that are not secret."""
    return [value for name, value in fields if ("\n" in value or " " in value.strip()) and may_wait(name, value)]


def are_left_out(fields: list[tuple[str, str]]) -> bool:
    """Return whether any of these values was typed but is not stored."""
    return any(name not in _NEVER and not may_wait(name, value) for name, value in fields)
