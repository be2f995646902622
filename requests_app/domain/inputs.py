"""Reads the inputs of acts, and checks the limits that the declaration sets. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from requests_app.domain import limits, texts
from requests_app.domain.acts.declaration import Field, Kind
from requests_app.domain.errors import Unacceptable
from requests_app.domain.ids import as_id


def read(each: Field, value: object) -> Any:
    """Return the value as it is stored. If it is not allowed, raise Unacceptable with the name of the input."""
    if value is None and not each.is_needed:
        return None
    return _READERS[each.kind](each, value)


def _line(each: Field, value: object) -> str:
    return " ".join(_text(each, value).split())


def _name(each: Field, value: object) -> str:
    return texts.require_name(value, field=each.name, at_least=each.at_least, at_most=each.at_most)


def _text(each: Field, value: object) -> str:
    return limits.require_text(value, field=each.name, at_least=each.at_least, at_most=each.at_most)


def _email(each: Field, value: object) -> str:
    email = value.strip().lower() if isinstance(value, str) else ""
    try:
        validate_email(email)
    except ValidationError:
        email = ""
    if not 0 < len(email) <= limits.EMAIL_MAX:
        raise Unacceptable(_("Enter an email address."), field=each.name)
    return email


def _number(each: Field, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not each.at_least <= value <= each.at_most:
        bounds = {"least": each.at_least, "most": each.at_most}
        raise Unacceptable(_("Choose a number from %(least)d to %(most)d.") % bounds, field=each.name)
    return value


def _choice(each: Field, value: object) -> str:
    if value not in each.choices:
        raise Unacceptable(
            _("Choose one of these: %(choices)s.") % {"choices": ", ".join(each.choices)}, field=each.name
        )
    return str(value)


def _flag(each: Field, value: object) -> bool:
    if not isinstance(value, bool):
        raise Unacceptable(_("Choose yes or no."), field=each.name)
    return value


def _instant(each: Field, value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise Unacceptable(_("Enter a date and a time."), field=each.name)
    return value


def _id(each: Field, value: object) -> Any:
    found = as_id(value)
    if found is None:
        raise Unacceptable(_("Choose one of the offered values."), field=each.name)
    return found


_READERS = {
    Kind.LINE: _line,
    Kind.NAME: _name,
    Kind.TEXT: _text,
    Kind.EMAIL: _email,
    Kind.NUMBER: _number,
    Kind.CHOICE: _choice,
    Kind.FLAG: _flag,
    Kind.INSTANT: _instant,
    Kind.ID: _id,
}
