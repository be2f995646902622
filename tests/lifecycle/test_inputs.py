"""Inputs are checked against the limits in the declaration of an act. A refusal names the input."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from requests_app.domain import inputs
from requests_app.domain.acts.declaration import Field, Kind, Noun
from requests_app.domain.errors import Unacceptable

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ID = UUID(int=7)
#: The longest possible address: 254 characters (RFC 5321, section 4.5.3.1.3).
LONGEST = f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 63}.example"


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        (Field("x", at_most=5), " a  b ", "a b"),
        (Field("x", at_most=5), "a\nb", "a b"),
        (Field("x", at_least=0, at_most=5), "", ""),
        (Field("x", Kind.TEXT, at_most=5), " a\nb ", "a\nb"),
        (Field("x", Kind.TEXT, at_most=5), "a\tb c", "a\tb c"),
        (Field("x", Kind.TEXT, at_most=5), "a\r\nb", "a\nb"),
        (Field("x", Kind.TEXT, at_most=5, is_needed=False), None, None),
        (Field("x", Kind.EMAIL), " Ada@Contoso.example ", "ada@contoso.example"),
        (Field("x", Kind.EMAIL), LONGEST, LONGEST),
        (Field("x", Kind.NUMBER, at_least=1, at_most=3), 1, 1),
        (Field("x", Kind.NUMBER, at_least=1, at_most=3), 3, 3),
        (Field("x", Kind.CHOICE, choices=("a", "b")), "b", "b"),
        (Field("x", Kind.FLAG), False, False),
        (Field("x", Kind.INSTANT), NOON, NOON),
        (Field("x", Kind.ID, of=Noun.PERSON), str(ID), ID),
    ],
)
def test_a_value_is_read_in_its_stored_form(field: Field, value: Any, read: Any) -> None:
    assert inputs.read(field, value) == read


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Field("x", at_most=5), ""),
        (Field("x", at_most=5), "123456"),
        (Field("x", at_most=5), 12345),
        (Field("x", Kind.TEXT, at_most=5), None),
        (Field("x", Kind.EMAIL), "nobody"),
        (Field("x", Kind.EMAIL), ""),
        (Field("x", Kind.TEXT, at_most=5), "a\x1fb"),
        (Field("x", Kind.EMAIL), f"a{LONGEST}"),
        (Field("x", Kind.NUMBER, at_least=1, at_most=3), 0),
        (Field("x", Kind.NUMBER, at_least=1, at_most=3), 4),
        (Field("x", Kind.NUMBER, at_least=0, at_most=3), True),
        (Field("x", Kind.NUMBER, at_least=1, at_most=3), "2"),
        (Field("x", Kind.CHOICE, choices=("a", "b")), "c"),
        (Field("x", Kind.FLAG), "yes"),
        (Field("x", Kind.INSTANT), NOON.replace(tzinfo=None)),
        (Field("x", Kind.INSTANT), "noon"),
        (Field("x", Kind.ID, of=Noun.PERSON), "nobody"),
    ],
)
def test_a_value_outside_the_limits_is_refused_by_name(field: Field, value: Any) -> None:
    with pytest.raises(Unacceptable) as found:
        inputs.read(field, value)
    assert found.value.field == "x"
