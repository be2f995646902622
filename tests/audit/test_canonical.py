"""For every record, the product's fast encoder writes the same canonical bytes as the library."""

import datetime as dt
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit_app import canonical
from tests.offenders import collected

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(), st.characters(codec="utf-8")
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6))
def test_every_record_has_the_bytes_of_rfc_8785(record: dict[str, Any]) -> None:
    assert canonical.encode(record) == rfc8785.dumps(record)


def test_names_beyond_ascii_are_sorted_by_utf_16() -> None:
    """RFC 8785, section 3.2.3: a surrogate pair sorts before U+FB33, although its code point is greater."""
    assert canonical.encode({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


def test_a_record_without_canonical_bytes_is_refused() -> None:
    cases: list[Any] = [2**53, -(2**53), float("nan"), float("inf"), object(), b"bytes", {1: 2}]
    with collected() as case:
        for value in cases:
            with case(value), pytest.raises((rfc8785.CanonicalizationError, TypeError)):
                canonical.encode({"value": value})


ENTRY: dict[str, Any] = {
    "tenant": uuid4(),
    "seq": 7,
    "at": dt.datetime(2026, 11, 25, tzinfo=dt.UTC),
    "event": "content.opened",
    "door": "pages",
    "actor": {"kind": "person", "name": "Priya"},
    "subject_type": "grant",
    "subject_id": "9",
    "access_request": None,
    "detail": {},
}


@given(
    st.fixed_dictionaries(
        {
            "tenant": st.uuids(),
            "seq": st.integers(0, 2**53 - 1),
            "at": st.datetimes(timezones=st.timezones()),
            **dict.fromkeys(("event", "door", "subject_type", "subject_id"), st.text()),
            **dict.fromkeys(("actor", "detail"), st.dictionaries(st.text(max_size=8), VALUES, max_size=6)),
            "access_request": st.none() | st.uuids(),
        }
    )
)
def test_an_entry_has_the_bytes_of_its_whole_record(parts: dict[str, Any]) -> None:
    assert canonical.entry(**parts) == rfc8785.dumps(_record(parts))


def _record(parts: dict[str, Any]) -> dict[str, Any]:
    request: UUID | None = parts["access_request"]
    return {
        "v": canonical.VERSION,
        "tenant": str(parts["tenant"]),
        "seq": parts["seq"],
        "at": canonical.instant(parts["at"]),
        **{name: parts[name] for name in ("event", "door", "actor", "detail")},
        "subject": {"type": parts["subject_type"], "id": parts["subject_id"]},
        "access_request": str(request) if request else None,
    }


def test_values_that_python_calls_equal_have_different_bytes() -> None:
    """Nothing that is remembered of one entry may show in the next one."""
    pairs: list[tuple[Any, Any]] = [(1, True), (0, False), ("1", 1), (None, "null"), ([], {}), ("a", ["a"])]
    for pair in pairs:
        for value in pair:
            parts = {**ENTRY, "detail": {"value": value}, "actor": {**ENTRY["actor"], "value": value}}
            assert json.loads(canonical.entry(**parts)) == _record(parts)
            assert canonical.entry(**parts) == rfc8785.dumps(_record(parts))


def test_an_entry_without_canonical_bytes_is_refused() -> None:
    circle: dict[str, Any] = {}
    circle["itself"] = circle
    values: list[Any] = [2**53, float("nan"), object(), b"bytes", {1: 2}, "\ud800", circle]
    cases: list[dict[str, Any]] = [{name: {"value": value}} for name in ("actor", "detail") for value in values]
    cases += [
        {name: value} for name in ("event", "door", "subject_type", "subject_id") for value in (1, None, "\udfff")
    ]
    errors = (rfc8785.CanonicalizationError, TypeError, UnicodeEncodeError, RecursionError)
    with collected() as case:
        for changed in cases:
            with case(*changed.items()), pytest.raises(errors):
                canonical.entry(**{**ENTRY, **changed})
