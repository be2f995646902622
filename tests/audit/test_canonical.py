"""For every record, the product's fast encoder writes the same canonical bytes as the library."""

from typing import Any

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
