"""Which fields of a form are secret: what was typed into them is never shown again, and never stored with a form.

A field is secret if it has a password widget, or if `secret` marks it. What may be stored is decided by name, before
the form is built. So no form may use the name of a secret field for a field that is not secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from django import forms

_Field = TypeVar("_Field", bound=forms.Field)

#: Never stored with a waiting form, because both are made again: the text to sign is valid for one time only.
_NEVER = frozenset({"csrfmiddlewaretoken", "manifest"})


def secret(field: _Field) -> _Field:
    """Mark a field as secret: its value proves who somebody is, or opens something."""
    field.is_secret = True  # type: ignore[attr-defined]  # read by is_marked()
    return field


def is_marked(field: forms.Field) -> bool:
    return isinstance(field.widget, forms.PasswordInput) or getattr(field, "is_secret", False)


def all_forms(base: type[forms.BaseForm] = forms.BaseForm) -> Iterator[type[forms.BaseForm]]:
    """Yield every form class, those of the libraries too."""
    for form in base.__subclasses__():
        yield form
        yield from all_forms(form)


def is_secret(name: str) -> bool:
    """Whether any form has a secret field of this name. A form of a set puts its own prefix before the name."""
    name = name.rpartition("-")[2]
    fields = (getattr(form, "base_fields", {}).get(name) for form in all_forms())
    return any(field is not None and is_marked(field) for field in fields)


def may_wait(name: str, value: str) -> bool:
    """Whether what was sent may wait for a proof or a sign-in, and be sent again.

    A secret that was left empty may wait too: without it the field would be missing, which means that it was left out.
    """
    return name not in _NEVER and not (value and is_secret(name))


def sentences_in(fields: list[tuple[str, str]]) -> list[str]:
    """Return the texts that somebody typed and may want to read again: more than one word, and not secret."""
    return [value for name, value in fields if ("\n" in value or " " in value.strip()) and may_wait(name, value)]


def are_left_out(fields: list[tuple[str, str]]) -> bool:
    """Whether any of these was typed but may not be stored."""
    return any(name not in _NEVER and not may_wait(name, value) for name, value in fields)
