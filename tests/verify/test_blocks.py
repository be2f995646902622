"""Blocks of lines: judged at once or line by line, in one process or in several, the verdict is the same.

Each forged log here is signed, so no hash gives it away, and only its lines can.
"""

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.verify.runs import is_good, judged, problems
from tests.verify.test_rules import HOUR, life
from tests.verify.writer import ENGINEER, Log, bundle, canonical, entry, instant, story
from verify import lockbox_verify as lv

ENTRIES = 240
check_block = lv.check_block


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lv, "POOL_FROM", 0)
    monkeypatch.setattr(lv, "BLOCK", 16 << 10)


@pytest.fixture
def line_by_line(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], dict[str, Any]]:
    """Return a function that judges a file with no block judged at once."""

    def judge(path: Path) -> dict[str, Any]:
        with monkeypatch.context() as patch:
            patch.setattr(lv, "rows_of", lambda _text: None)
            return judged(path)

    return judge


def lines_of(seed: int = 5, count: int = ENTRIES) -> list[bytes]:
    return [canonical(each) for each in story(random.Random(seed), count)]


def borders(lines: Sequence[bytes]) -> list[int]:
    """Return the indexes of the first line of each block, except the first block."""
    found: list[int] = []
    length = 0
    for index, line in enumerate(lines):
        length += len(line) + 1
        if length > lv.BLOCK * (len(found) + 1):
            found.append(index)
    assert len(found) > 3
    return found


def with_members(line: bytes, **members: Any) -> bytes:
    return canonical({**json.loads(line), **members})


def _older(lines: list[bytes], at: int) -> None:
    lines[at] = with_members(lines[at], at=instant(-1))


def _numbered(lines: list[bytes], at: int) -> None:
    lines[at] = with_members(lines[at], seq=at + 1)


def _missing(lines: list[bytes], at: int) -> None:
    del lines[at]


def _twice(lines: list[bytes], at: int) -> None:
    lines.insert(at, lines[at])


def _swapped(lines: list[bytes], at: int) -> None:
    lines[at - 1], lines[at] = lines[at], lines[at - 1]


def _of_another_tenant(lines: list[bytes], at: int) -> None:
    lines[at] = with_members(lines[at], tenant="f10459aa-1e02-48ec-84b4-b12bfa50de9c")


def _spaced(lines: list[bytes], at: int) -> None:
    lines[at] += b" "


def _unsorted(lines: list[bytes], at: int) -> None:
    lines[at] = json.dumps(json.loads(lines[at]), ensure_ascii=False, separators=(",", ":")).encode()[:-1] + b',"a":1}'


def _accessed(lines: list[bytes], at: int) -> None:
    record = json.loads(lines[at])
    stranger = entry(at, 0, "content.opened", actor=ENGINEER, request="r", subject="g", detail={"resource": "m"})
    lines[at] = canonical({**stranger, "at": record["at"]})


FORGERIES = (_older, _numbered, _missing, _twice, _swapped, _of_another_tenant, _spaced, _unsorted, _accessed)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda each: each.__name__.strip("_"))
def test_a_fault_at_each_border_is_found_as_line_by_line(
    forge: Callable[[list[bytes], int], None], tmp_path: Path, line_by_line: Callable[[Path], dict[str, Any]]
) -> None:
    """The fault is in the last line of a block, in the first line of the next one, or between the two."""
    good = lines_of()
    for border in borders(good):
        for at in (border - 1, border):
            lines = list(good)
            forge(lines, at)
            path = bundle(Log(lines)).zip(tmp_path / "a.zip")
            expected = line_by_line(path)
            assert expected["problems"], (forge.__name__, at)
            assert judged(path) == expected
            assert judged(path, jobs=2) == expected


def _broken_up(lines: list[bytes]) -> None:
    """One object takes two lines, and another line has two objects: as many objects as lines."""
    inner = canonical({"x": [1, 2]})
    lines[3:6] = [inner[:7], inner[8:], lines[3] + b"," + lines[4]]


def _shared(lines: list[bytes]) -> None:
    """Two lines become one list of entries in the detail of the first, and their neighbour has two."""
    first, second = with_members(lines[3], detail={"x": [json.loads(lines[4]), json.loads(lines[5])]}), lines[6]
    middle = first.index(b"},{", first.index(b'"x":['))
    lines[3:6] = [first[: middle + 1], first[middle + 2 :], second + b"," + second]


def _duplicate_name(lines: list[bytes]) -> None:
    lines[7] = lines[7].replace(b'"door":', b'"door":"x","door":', 1)


def _fraction(lines: list[bytes]) -> None:
    lines[7] = with_members(lines[7], detail={"n": 0.5})


def _large_number(lines: list[bytes]) -> None:
    lines[7] = with_members(lines[7], detail={"n": 1 << 53})


def _true_for_one(lines: list[bytes]) -> None:
    lines[7] = with_members(lines[7], v=True)


def _escape(lines: list[bytes]) -> None:
    lines[7] = with_members(lines[7], detail={"t": "A"}).replace(b'"A"', b'"\\u0041"')


def _surrogate(lines: list[bytes]) -> None:
    lines[7] = with_members(lines[7], detail={"t": "A"}).replace(b'"A"', b'"\\ud800"')


def _no_text(lines: list[bytes]) -> None:
    lines[7] = b"\xff" + lines[7]


def _list(lines: list[bytes]) -> None:
    lines[7] = b"[" + lines[7] + b"]"


def _no_line(lines: list[bytes]) -> None:
    lines[7] = b""


def _deep(lines: list[bytes]) -> None:
    lines[7] = with_members(lines[7], detail={"t": "A"}).replace(b'"A"', b"[" * 100_000 + b"]" * 100_000)


def _no_member(lines: list[bytes]) -> None:
    lines[7] = canonical({name: each for name, each in json.loads(lines[7]).items() if name != "actor"})


def _odd_time(lines: list[bytes]) -> None:
    lines[7] = with_members(lines[7], at="2025-06-15T15:06:40.0000001Z")


def _later_version(lines: list[bytes]) -> None:
    lines[7] = with_members(lines[7], v=2)


ODD = (
    _broken_up, _shared, _duplicate_name, _fraction, _large_number, _true_for_one, _escape, _surrogate, _no_text,
    _list, _no_line, _deep, _no_member, _odd_time, _later_version,
)  # fmt: skip


@pytest.mark.parametrize("forge", ODD, ids=lambda each: each.__name__.strip("_"))
def test_lines_that_are_no_entries_are_found_as_line_by_line(
    forge: Callable[[list[bytes]], None], tmp_path: Path, line_by_line: Callable[[Path], dict[str, Any]]
) -> None:
    lines = lines_of(count=40)
    forge(lines)
    path = bundle(Log(lines)).zip(tmp_path / "a.zip")
    expected = line_by_line(path)
    assert expected["exit"] != 0
    assert judged(path) == judged(path, jobs=2) == expected


@pytest.mark.parametrize("text", ["plain", "Näir 日本 “”", "beyond 😀", '\u2028\x7f\\"/'])
def test_good_lines_are_good_in_every_mode(
    text: str, tmp_path: Path, line_by_line: Callable[[Path], dict[str, Any]]
) -> None:
    entries = story(random.Random(7), 60)
    for each in entries:
        if each["event"] == "ticket.opened":
            each["detail"]["title"] = text
    path = bundle(Log.of(entries)).zip(tmp_path / "a.zip")
    expected = line_by_line(path)
    assert is_good(expected)
    assert judged(path) == judged(path, jobs=2) == expected


# --- Lines of a known form -------------------------------------------------------------------------------

DETAIL: dict[str, Any] = {"a": "x", "b": 12, "c": True, "d": None, "e": [1, "y"], "f": {"g": "\n“z”\\", "h": -7}}
#: What replaces a part of a good line, and makes it another line with the same or a similar outline.
CHANGES = [
    ('"b":12', '"b":012'), ('"b":12', '"b":-12'), ('"b":12', '"b":-0'), ('"b":12', '"b":1.5'), ('"b":12', '"b":1e5'),
    ('"b":12', '"b":12345678901234567'), ('"b":12', '"b":9007199254740993'), ('"b":12', '"b":9007199254740991'),
    ('"b":12', '"b":123456789012345'), ('"b":12', '"b": 12'), ('"b":12', '"b":1 2'), ('"b":12', '"b":"12"'),
    ('"b":12', '"b":--12'), ('"b":12', '"b":+12'), ('"b":12', '"b":12-'), ('"b":12', '"b":'), ('"b":12', '"b":0'),
    ('"a":"x","b":12', '"b":"x","a":12'), ('"a":"x"', '"b":"x"'), ('"a":"x"', '"":"x"'), ('"a":"x"', '"\\n":"x"'),
    ('"a":"x"', '"a":"x","a":"x"'), ('"a":"x"', '"a":"x\\"'), ('"a":"x"', '"a":"\\"x"'), ('"a":"x"', '"a":"x\\\\"'),
    ('"a":"x"', '"a":"\\u0078"'), ('"a":"x"', '"a":"\\/"'), ('"a":"x"', '"a":"\\u001F"'), ('"a":"x"', '"a":"\\u001f"'),
    ('"a":"x"', '"a":"\\u000a"'), ('"a":"x"', '"a":"\\u0009"'), ('"a":"x"', '"a":"\\u000b"'), ('"a":"x"', '"a":"\t"'),
    ('"a":"x"', '"a":"\x01"'), ('"a":"x"', '"a":"\\u0001"'), ('"a":"x"', '"a":"\x7f\u2028"'), ('"a":"x"', '"a":x"'),
    ('"a":"x"', '"a":"😀"'), ('"a":"x"', '"😀":"x"'), ('"a":"x"', '"a":"x","a😀":"x"'), ('"a":"x"', '"a":"\\ud83d"'),
    ('"c":true', '"c":false'), ('"c":true', '"c":tr0ue'), ('"c":true', '"c":0true'), ('"c":true', '"c":NaN'),
    ('"e":[1,"y"]', '"e":[1,"y",]'), ('"e":[1,"y"]', '"e":["y",1]'), ('"e":[1,"y"]', '"e":{1:"y"}'),
    ('"e":[1,"y"]', '"e":[1:"y"]'), ('"e":[1,"y"]', '"e":["y":1]'), ('"h":-7}', '"h":-7'), ('"h":-7}', '"h":-7}}'),
    ('"seq":3', '"seq":03'), ('"seq":3', '"seq":"3"'), ('"seq":3', '"seq":true'), ('"v":1', '"v":1.0'),
    ('"v":1', '"v":2'), ('"v":1', '"v":true'), ('"v":1', '"v":"1"'), ('"at":"2025', '"at":"\\n2025'),
    ('"access_request":null', '"access_request":"r"'), ('"access_request":null', '"access_request":1'),
    ('"access_request":null', '"access_request":[]'), ('"id":"x"', '"id":null'), ('"id":"x"', '"id":7'),
    ('"id":"x"', '"id":"\\n"'), ('"id":"x"', '"di":"x"'), ('"type":"ticket"', '"type":"\\u0000"'),
    ('"tenant":', '"tenanT":'), ('{"access', '{ "access'), ('{"access', '"access'), ('{"access', '[{"access'),
]  # fmt: skip


def of_form(**members: Any) -> str:
    return canonical({**entry(3, 0, detail=DETAIL), **members}).decode()


def judged_alone(line: str) -> lv.Row | None:
    """Return the row of a line that is parsed and written again, or None."""
    try:
        found = lv.entry_of(line.encode(errors="surrogatepass"))
    except (lv.Bad, lv.CannotTell, RecursionError):
        return None
    members = (found[name] for name in ("tenant", "at", "event", "access_request"))
    return str(found["v"]), str(found["seq"]), *members, lv._subject(found), *lv._look(found["detail"])


@pytest.fixture(params=["divided", "matched"])
def good(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A line whose form is known. Its text has escaped characters, or the form has a pattern."""
    monkeypatch.setattr(lv, "_forms", {})
    monkeypatch.setattr(lv, "_patterns", {})
    is_matched = request.param == "matched"
    found = of_form(detail={**DETAIL, "f": {"g": "“z”", "h": -7}}) if is_matched else of_form()
    assert lv.rows_of(f"{found}\n" * 2)
    assert len(lv._patterns) == is_matched
    return found


def is_believed(line: str, good: str) -> bool:
    """Return whether a line is good without being judged alone, after good lines whose form is known."""
    raw, before = line.encode(), 20
    rows = lv.rows_of(f"{good}\n" * before + f"{line}\n") if raw == raw.translate(None, lv._CONTROLS) else None
    if rows is None or rows[-1][0] != "1" or not lv._INSTANT.fullmatch(rows[-1][3]):
        return False
    known = [(*row[:-2], row[-2] if row[-2] in lv._ACTIONS else "", row[-1]) for row in rows]
    assert known == [judged_alone(good)] * before + [judged_alone(line)], line
    return True


def test_a_line_of_a_known_form_is_good_only_if_it_is_good_alone(good: str) -> None:
    assert {good.count(old) for old, _new in CHANGES} == {1}
    believed = [new for old, new in CHANGES if is_believed(good.replace(old, new), good)]
    assert '"b":-12' in believed
    assert '"a":"\\u001f"' in believed
    assert len(believed) < len(CHANGES) / 2


def test_any_change_of_characters_is_believed_only_if_the_line_is_good_alone(good: str) -> None:
    dice, signs = random.Random(8), '"\\,:{}[]0123456789-+.eE nutrfalsebx\n\x01“'
    good_ones = 0
    for _ in range(6_000):
        line = list(good)
        for _change in range(dice.randrange(1, 4)):
            at = dice.randrange(len(line))
            line[at : at + dice.randrange(3)] = [dice.choice(signs) for _ in range(dice.randrange(3))]
        changed = "".join(line)
        if "\n" not in changed:
            good_ones += is_believed(changed, good)
    assert good_ones > 100


def test_a_text_with_a_line_break_is_never_a_part_of_two_lines(good: str) -> None:
    """A pattern would match both lines as one."""
    broken = good.replace('"a":"x"', '"a":"x\ny"')
    assert lv.rows_of(f"{good}\n{broken}\n") is None
    assert lv.rows_of(f"{good}\n" * 40 + f"{broken}\n") is None


def test_lines_between_those_of_a_pattern_stay_in_their_places(good: str) -> None:
    other = of_form(event="ticket.closed", detail={"a": "\n"})
    lines = [good] * 50
    lines[17] = lines[33] = other
    rows = lv.rows_of("\n".join([*lines, ""]))
    assert rows is not None
    assert [place for place, row in enumerate(rows) if row[4] == "ticket.closed"] == [17, 33]


def test_lines_of_frequent_forms_are_not_divided(good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    divided = lv.divided

    def counting(text: str) -> list[lv.Row] | None:
        counts.append(text.count("\n"))
        return divided(text)

    monkeypatch.setattr(lv, "divided", counting)
    assert len(lv.rows_of(f"{good}\n" * 50) or ()) == 50
    assert counts == ([] if lv._patterns else [50])


def test_few_patterns_are_made_and_only_of_short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lv, "_forms", {})
    monkeypatch.setattr(lv, "_patterns", {})
    long = of_form(detail={"n": "x" * lv.LONGEST_PATTERN})
    assert lv.rows_of(f"{long}\n" * 2)
    assert not lv._patterns
    for number in range(2 * lv.MAX_PATTERNS):
        assert lv.rows_of(f"{of_form(detail={f'n{number}': 1})}\n" * 2)
    assert len(lv._patterns) == lv.MAX_PATTERNS


def test_two_members_with_other_escaped_characters_are_not_the_same() -> None:
    lines = [of_form(subject={"id": text, "type": "grant"}) for text in ("a", "\n", "\t", "\\")]
    assert lv.rows_of("\n".join([*lines, ""])) is None
    assert lv.rows_of(f"{of_form(door=chr(10))}\n") is not None


def test_names_with_other_escaped_characters_can_have_another_order() -> None:
    good = of_form(detail={"\x01": 1, "\x01a": 2})
    unsorted = good.replace('{"\\u0001":1,"\\u0001a":2}', '{"\\n":1,"\\ta":2}')
    assert unsorted != good
    assert judged_alone(good)
    assert judged_alone(unsorted) is None
    assert lv.rows_of(f"{good}\n{unsorted}\n") is None


def test_only_the_first_line_of_each_form_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lv, "_forms", {})
    monkeypatch.setattr(lv, "_patterns", {})
    parsed: list[str] = []
    real = lv._parsed_row

    def counting(line: str) -> lv.Row | None:
        parsed.append(line)
        return real(line)

    monkeypatch.setattr(lv, "_parsed_row", counting)
    text = b"\n".join([*lines_of(count=2_000), b""]).decode()
    assert len(lv.rows_of(text) or ()) == 2_000
    assert len(parsed) == len(lv._forms) < 40


def test_few_forms_are_stored_and_only_of_short_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line_by_line: Callable[[Path], dict[str, Any]]
) -> None:
    lines = lines_of()
    for limits in ({"MAX_FORMS": 3}, {"LONGEST_LINE": 400}):
        for forge in (None, _unsorted, _duplicate_name):
            some = list(lines)
            if forge:
                forge(some, *([100] if forge is _unsorted else []))
            path = bundle(Log(some)).zip(tmp_path / "a.zip")
            expected = line_by_line(path)
            with monkeypatch.context() as patch:
                patch.setattr(lv, "_forms", {})
                patch.setattr(lv, "_patterns", {})
                for name, value in limits.items():
                    patch.setattr(lv, name, value)
                assert judged(path) == expected
                assert len(lv._forms) <= 3 or "MAX_FORMS" not in limits
                assert all(len(outline) < 400 for outline, _names in lv._forms)


# --- Equal accesses --------------------------------------------------------------------------------------


def looks(*steps: tuple[str, int]) -> list[dict[str, Any]]:
    """Return a life with these accesses: the resource, and how many minutes after the start."""
    before = life()[:3]
    grant, resource = before[2]["detail"]["grant"], before[0]["detail"]["resources"][0]["id"]
    look = {"actor": ENGINEER, "request": before[2]["access_request"], "subject": grant}
    return before + [
        entry(3 + place, at * 60_000_000, "content.opened", **look, detail={"resource": of or resource, "n": place})
        for place, (of, at) in enumerate(steps)
    ]


@pytest.mark.parametrize(
    ("steps", "bad"),
    [
        ([("", 3), ("", 4), ("", 5)], None),
        ([("", 3), ("", 61), ("", 62), ("", 63)], 5),
        ([("", 3), ("other", 4), ("", 62)], 4),
        ([("other", 3), ("", 4), ("", 62)], 3),
        ([("", 3), ("", 62), ("other", 62)], 4),
        ([("other", 3), ("other", 62)], 3),
    ],
)
def test_equal_accesses_are_judged_as_one_by_one(
    steps: list[tuple[str, int]], bad: int | None, tmp_path: Path, line_by_line: Callable[[Path], dict[str, Any]]
) -> None:
    assert HOUR == 60 * 60_000_000, "the window is open from minute 2 to minute 62"
    path = bundle(Log.of(looks(*steps))).zip(tmp_path / "a.zip")
    expected, data = line_by_line(path), judged(path)
    assert [index for index, _why in problems(data)] == ([] if bad is None else [bad])
    assert data["problems"] == expected["problems"]
    assert bad is not None or data == expected


def test_equal_accesses_travel_as_one_fact() -> None:
    lines = [canonical(each).decode() for each in looks(*[("", 3)] * 50, ("other", 3), *[("", 3)] * 50)]
    rows = lv.rows_of("\n".join([*lines, ""]))
    assert rows is not None
    facts = lv.facts_of(rows, [line.encode() for line in lines], 0, lv.DECISIONS | lv._REPLAYED)
    assert [1 + len(fact.again) for fact in facts] == [1, 1, 1, 100, 1]


def test_no_line_of_a_good_log_is_judged_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bundle(Log(lines_of(), older=(17, 100))).zip(tmp_path / "a.zip")
    monkeypatch.setattr(lv, "entry_of", None)
    assert is_good(judged(path))


# --- Processes -------------------------------------------------------------------------------------------


def _killed(block: bytes, hashes: bytes, first: int, *rest: Any) -> Any:
    if first > 50:
        os.kill(os.getpid(), signal.SIGKILL)
    return check_block(block, hashes, first, *rest)


def _out_of_memory(block: bytes, hashes: bytes, first: int, *rest: Any) -> Any:
    if first > 50:
        raise MemoryError
    return check_block(block, hashes, first, *rest)


@pytest.mark.parametrize("fault", [_killed, _out_of_memory])
def test_a_process_that_fails_is_never_a_good_verdict(
    fault: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle(Log(lines_of())).zip(tmp_path / "a.zip")
    monkeypatch.setattr(lv, "check_block", fault)
    data = judged(path, jobs=2)
    assert (data["exit"], data["problems"]) == (2, [])
    assert any("--jobs 1" in gap for gap in data["gaps"])


@pytest.fixture
def opened_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that this process opens."""
    found, open_here = [], lv.Bundle.open

    def opening(self: lv.Bundle, name: str) -> lv.Member:
        found.append(name)
        return open_here(self, name)

    monkeypatch.setattr(lv.Bundle, "open", opening)
    return found


def with_timeline(path: Path, page: bytes, listed: bytes) -> Path:
    written = bundle(Log(lines_of()))
    manifest = bundle(Log(lines_of()))
    written.files["timeline.html"], manifest.files["timeline.html"] = page, listed
    return written.zip(path, manifest.listed())


def test_another_process_reads_the_timeline(tmp_path: Path, opened_here: list[str]) -> None:
    path = with_timeline(tmp_path / "a.zip", b"<p>a page", b"<p>a page")
    assert is_good(judged(path, jobs=2))
    assert "timeline.html" not in opened_here
    assert judged(path) == judged(path, jobs=2)


@pytest.mark.parametrize("page", [b"<p>a lie.", b"<p>a longer page"])
def test_a_changed_timeline_is_found_with_several_processes(page: bytes, tmp_path: Path) -> None:
    path = with_timeline(tmp_path / "a.zip", page, b"<p>a page")
    expected = judged(path)
    assert expected["exit"] == 1
    assert judged(path, jobs=2) == expected


def _fails(*_args: Any) -> bool:
    raise MemoryError


def test_what_another_process_could_not_read_is_read_here(
    tmp_path: Path, opened_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lv, "is_as_listed", _fails)
    path = with_timeline(tmp_path / "a.zip", b"<p>a page", b"<p>a page")
    assert is_good(judged(path, jobs=2))
    assert "timeline.html" in opened_here


def _none(*_args: Any, **_more: Any) -> Any:
    raise ImportError("this platform lacks a functioning sem_open implementation")


def _no_room(*_args: Any, **_more: Any) -> Any:
    raise OSError(38, "Function not implemented")


@pytest.mark.parametrize("fault", [_none, _no_room])
def test_without_other_processes_the_verdict_is_the_same(
    fault: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle(Log(lines_of())).zip(tmp_path / "a.zip")
    expected = judged(path)
    monkeypatch.setattr(lv.concurrent.futures, "ProcessPoolExecutor", fault)
    assert judged(path, jobs=2) == expected
    assert is_good(expected)


@pytest.fixture
def _spawns(monkeypatch: pytest.MonkeyPatch) -> None:
    real = multiprocessing.get_context
    monkeypatch.setattr(lv.multiprocessing, "get_context", lambda _method: real("spawn"))


@pytest.mark.usefixtures("_spawns")
def test_processes_that_begin_anew_come_to_the_same_verdict(tmp_path: Path) -> None:
    """As on Windows and macOS, where a process is no copy of its parent. It has other sizes of blocks, but not here."""
    lines = lines_of()
    for forge in (None, _older):
        if forge:
            forge(lines, borders(lines)[1])
        path = bundle(Log(lines)).zip(tmp_path / "a.zip")
        assert judged(path, jobs=2) == judged(path)
