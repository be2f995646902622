"""The verifier gets random data. Its verdict is "bad" or "can't tell".

It is never "good", and there is no traceback.
"""

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.verify.runs import judged, receipt
from tests.verify.test_rules import life
from tests.verify.writer import Log, Written, bundle, story
from verify import lockbox_verify as lv

LOG = Log.of(story(random.Random(9), 40), older=(3, 17))
REQUEST = str(json.loads(LOG.lines[1])["access_request"])
KINDS = {
    "log": bundle(LOG),
    "period": bundle(LOG, kind="period", span=(3, 31)),
    "access_request": bundle(LOG, kind="access_request", request=REQUEST),
}
QUICK = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


#: The same values without fractions, because entries have no fractions.
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text("aZ0é日", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)
EVENTS = lv.DECISIONS | lv._REPLAYED | lv._OF_THE_LOG


def _deep(depth: int) -> Any:
    made: Any = "x"
    for _ in range(depth):
        made = [made]
    return made


#: Nested more than people write, more than a verifier should follow, and nearly as much as Python's JSON can.
DEEP = [_deep(30), _deep(300), _deep(900)]


def survives(write: Callable[[Path], Path], *, good: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = judged(write(Path(folder)), keys=[LOG.vkey()])
        "\n".join(lv.in_words(data)).encode()
        json.dumps(data, indent=2)
    assert data["exit"] in ((0, 1, 2) if good else (1, 2))


@QUICK
@given(raw=st.binary(max_size=300))
def test_any_bytes_as_a_file(raw: bytes) -> None:
    survives(lambda folder: _put(folder / "a.zip", raw))


@QUICK
@given(raw=st.binary(max_size=200))
def test_any_bytes_after_the_first_line_of_a_receipt(raw: bytes) -> None:
    survives(lambda folder: _put(folder / "a", lv.RECEIPT.encode() + b"\n" + raw))


@QUICK
@given(st.data())
def test_a_receipt_with_a_piece_replaced(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw = receipt(LOG, 7, Path(folder)).read_bytes()
    changed = _replaced(data, raw)
    survives(lambda folder: _put(folder / "a", changed), good=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(st.data())
def test_a_bundle_with_a_piece_of_a_file_replaced(kind: str, data: st.DataObject) -> None:
    """The manifest is updated too, so that the random data reaches the parser of each file."""
    files = dict(KINDS[kind].files)
    name = data.draw(st.sampled_from(sorted(files)))
    files[name] = _replaced(data, files[name])
    # Text for people or an older checkpoint can change. A part that is checked must not be accepted with other bytes.
    good = (
        name in ("README.txt", "timeline.html", "consistency-0.jsonl", "keys.json")
        or files[name] == KINDS[kind].files[name]
    )
    survives(lambda folder: Written(files, KINDS[kind].manifest).zip(folder / "a.zip"), good=good or kind == "log")


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(st.data())
def test_a_manifest_with_a_member_replaced(kind: str, data: st.DataObject) -> None:
    listed = json.loads(json.dumps(KINDS[kind].listed()))
    place: Any = listed
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not place[key] or not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(_JSON)
    survives(lambda folder: KINDS[kind].folder(folder / "a", listed), good=True)


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(st.data())
def test_a_zip_with_a_piece_replaced(kind: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw = KINDS[kind].zip(Path(folder) / "a.zip").read_bytes()
    changed = _replaced(data, raw)
    # Some dates and flags in the directory of a ZIP do not affect the verdict.
    survives(lambda folder: _put(folder / "a.zip", changed), good=True)


@pytest.mark.slow
@QUICK
@given(st.data())
def test_a_line_of_json_replaced(data: st.DataObject) -> None:
    files = dict(KINDS["period"].files)
    name = data.draw(st.sampled_from(["proofs-0.jsonl", "consistency-0.jsonl", "keys.json", "entries-0.jsonl"]))
    lines = files[name].splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    lines[place] = json.dumps(
        data.draw(_JSON | st.fixed_dictionaries({"index": _JSON, "hashes": _JSON, "log": _JSON}))
    ).encode()
    files[name] = b"".join(line + b"\n" for line in lines)
    # If you name a key, the keys in the bundle can have any content.
    survives(lambda folder: Written(files, KINDS["period"].manifest).zip(folder / "a.zip"), good=name == "keys.json")


@pytest.mark.slow
@settings(QUICK, max_examples=300)
@given(st.data())
def test_entries_with_members_of_any_shape(data: st.DataObject) -> None:
    """The entries are signed and canonical, so the later checks (rules and decisions) read them too."""
    entries = json.loads(json.dumps(life()))
    for _ in range(data.draw(st.integers(1, 3))):
        chosen = data.draw(st.sampled_from(entries))
        place = data.draw(st.sampled_from([chosen["detail"], chosen["detail"], chosen["actor"], chosen["subject"]]))
        of = data.draw(st.sampled_from(entries))["detail"]
        key = data.draw(st.sampled_from(sorted({*place, *of})))
        value = data.draw(_VALUE | st.sampled_from([of.get(key), *DEEP, {"id": key}]))
        place[key] = value
    for _ in range(data.draw(st.integers(0, 2))):
        # One step of an access request too many, or a step of another one.
        copied = json.loads(json.dumps(data.draw(st.sampled_from(entries))))
        copied["event"] = data.draw(st.sampled_from(sorted(EVENTS | {copied["event"]})))
        place = data.draw(st.integers(0, len(entries)))
        entries.insert(place, {**copied, "at": entries[min(place, len(entries) - 1)]["at"]})
    for seq, each in enumerate(entries):
        each["seq"] = seq
    log = Log.of(entries, signers=LOG.signers)
    request = next((each["access_request"] for each in entries if each["access_request"]), None)
    kind = data.draw(st.sampled_from(["log", "period", "access_request"]))
    written = bundle(log, kind=kind, request=request if kind == "access_request" else None)
    survives(lambda folder: written.zip(folder / "a.zip"), good=True)


@QUICK
@given(raw=st.binary(max_size=120), words=st.text(max_size=120))
def test_parsers_raise_only_what_they_say(raw: bytes, words: str) -> None:
    for parse in (lv.note_of, lv.checkpoint_of):
        with pytest.raises(ValueError):  # noqa: PT011  # any fault
            parse(raw)
    with pytest.raises(ValueError):  # noqa: PT011  # any fault
        lv.key_of(words)
    with pytest.raises((lv.Bad, lv.CannotTell)):
        lv.entry_of(raw)
    assert all(char.isprintable() for char in lv.shown(words))


def _replaced(data: st.DataObject, raw: bytes) -> bytes:
    start = data.draw(st.integers(0, len(raw)))
    return raw[:start] + data.draw(st.binary(max_size=12)) + raw[start + data.draw(st.integers(0, 40)) :]


def _put(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path
