"""A single line of an entries file: valid entries, and lines that only look like entries."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tests.offenders import collected
from tests.verify.writer import CUSTOMER, TENANT, canonical, entry, leaf
from verify import lockbox_verify as lv

GOOD = entry(
    0, 0, actor=CUSTOMER, detail={"comment": 'Ça va? “Ja” \U0001f600 \\ " \x7f\u2028', "n": -5, "list": [None, True]}
)


def text() -> str:
    return canonical(GOOD).decode()


def test_an_entry_is_read_as_it_was_written() -> None:
    assert lv.entry_of(canonical(GOOD)) == GOOD


def test_a_malformed_entry_is_refused() -> None:
    cases = [
        (text().replace(",", ", ", 1), "not canonical"),
        (text() + " ", "not canonical"),
        (" " + text(), "must be JSON"),
        (text().replace("é", "\\u00e9").replace("Ç", "\\u00c7"), "not canonical"),
        (text().replace('"n":-5', '"n":-5.0'), "all its numbers must be whole"),
        (text().replace('"n":-5', '"n":-5e0'), "all its numbers must be whole"),
        (text().replace('"n":-5', '"n":-0'), "not canonical"),
        (text().replace('"n":-5', '"n":NaN'), "all its numbers must be whole"),
        (text().replace('"n":-5', '"n":9007199254740992'), "all its numbers must be whole"),
        (text().replace('"n":-5', '"n":-5,"n":-5'), "not canonical"),
        (json.dumps(GOOD, ensure_ascii=False, separators=(",", ":")), "not canonical"),
        (text().replace("\\\\", "\\u005c"), "not canonical"),
        (text().replace('"list":[null,true]', '"list":["\\ud800"]'), "not canonical"),
        (text() + text(), "not canonical"),
        ("[" + text() + "]", "must be a JSON object"),
        ("[" * 100_000, "must be JSON"),
        ('{"a":' * 100_000, "must be JSON"),
        ("null", "must be a JSON object"),
        ("{}", "missing"),
        ("", "must be JSON"),
        (text().replace('"v":1', '"v":true'), "missing"),
        (text().replace('"v":1', '"v":"1"'), "missing"),
        (text().replace('"seq":0', '"seq":"0"'), "missing"),
        (text().replace('"seq":0', '"seq":false'), "missing"),
        (text().replace('"tenant"', '"tenanu"'), "missing"),
        (text().replace(".000000Z", ".000Z"), "missing"),
        (text().replace(".000000Z", ".000000+"), "missing"),
        (text().replace('"access_request":null', '"access_request":7'), "missing"),
        (text().replace('"access_request":null,', ""), "missing"),
    ]
    with collected() as case:
        for changed, why in cases:
            with case(changed, why), pytest.raises(lv.Bad, match=why):
                lv.entry_of(changed.encode())


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(lv.Bad, match="an entry must be JSON in UTF-8"):
        lv.entry_of(canonical(GOOD).replace("é".encode(), b"\xff") + b"\xff")


def test_a_later_version_of_the_format_is_unknown_and_not_false() -> None:
    with pytest.raises(lv.CannotTell, match="version 2"):
        lv.entry_of(canonical({**GOOD, "v": 2}))


def test_names_beyond_the_first_plane_are_sorted_as_rfc_8785_sorts_them() -> None:
    odd = {
        **GOOD,
        "detail": {"\U0001f600": 1, "\ufb33": 2, "a": {"\U0001f600": 1, "\uffff": [{"\U0001f600": "", "é": ""}]}},
    }
    line = rfc8785.dumps(odd)
    assert line != canonical(odd), "Python sorts by code point, which differs here"
    assert lv.entry_of(line) == odd
    with pytest.raises(lv.Bad, match="not canonical"):
        lv.entry_of(canonical(odd))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_canonical_json_is_what_the_reference_implementation_writes(value: Any) -> None:
    assert lv.canonical(value).encode() == rfc8785.dumps(value)


def check(lines: list[bytes], hashes: list[bytes] | None = None, first: int = 0, **expected: Any) -> lv.Checked:
    block = b"".join(line + b"\n" for line in lines)
    known = b"".join([leaf(line) for line in lines] if hashes is None else hashes)
    return lv.check_block(block, known, first, (), lv.Expected(TENANT, 0, **expected))


def lines_of(*entries: dict[str, Any]) -> list[bytes]:
    return [canonical(each) for each in entries]


def test_a_block_is_good_up_to_its_first_bad_line() -> None:
    lines = lines_of(*(entry(index, index) for index in range(6)))
    assert (check(lines).good, check(lines).bad) == (6, None)
    hashes = [leaf(line) for line in lines]
    lines[4] = lines[4].replace(b"pages", b"admin")
    lines[5] = b"rubbish"
    found = check(lines, hashes)
    assert (found.good, found.bad) == (4, (4, "the entry's hash is not the hash that the bundle lists for it", False))


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (entry(2, 9), "number 2, but must have 1"),
        (entry(0, 9), "number 0, but must have 1"),
        (entry(1, 4), "older than the entry before"),
        ({**entry(1, 9), "tenant": "a" * 36}, "belongs to another tenant"),
    ],
)
def test_an_entry_has_its_own_number(second: dict[str, Any], why: str) -> None:
    found = check(lines_of(entry(0, 5), second))
    assert found.good == 1
    assert found.bad is not None
    assert found.bad[0] == 1
    assert why in found.bad[1]


def test_entries_of_one_instant_are_in_order() -> None:
    assert check(lines_of(entry(0, 5), entry(1, 5))).bad is None


def test_a_block_that_ends_in_the_middle_of_a_line_is_bad_there() -> None:
    whole = b"".join(line + b"\n" for line in lines_of(entry(0, 0), entry(1, 1)))
    hashes = b"".join(leaf(line) for line in lines_of(entry(0, 0), entry(1, 1)))
    for cut in (whole[:-1], whole[:-9]):
        found = lv.check_block(cut, hashes, 0, (), lv.Expected(TENANT, 0))
        assert (found.good, found.bad) == (1, (1, "the file ends in the middle of this entry", False))
    assert lv.check_block(b"", hashes[:32], 2, (), lv.Expected(TENANT, 0)).bad == (0, "the entry is missing", False)
