"""The document about OWASP ASVS 5.0 lists every requirement once, and each test that it names exists."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from tests.docs.test_threats import functions_of
from tests.sources import ROOT, text_of

MAP = ROOT / "docs" / "asvs.md"
#: The level of each requirement, by section: "1.4": "222" are 1.4.1, 1.4.2 and 1.4.3, all of level 2.
LEVELS = """
1.1 22, 1.2 1111122223, 1.3 112222222223, 1.4 222, 1.5 123,
2.1 122, 2.2 112, 2.3 12223, 2.4 23,
3.1 3, 3.2 113, 3.3 12223, 3.4 11222233, 3.5 11122333, 3.6 3, 3.7 22333,
4.1 12233, 4.2 23333, 4.3 22, 4.4 1222,
5.1 2, 5.2 112333, 5.3 113, 5.4 222,
6.1 122, 6.2 111111112222, 6.3 11223333, 6.4 112233, 6.5 22222333, 6.6 2223, 6.7 33, 6.8 2222,
7.1 222, 7.2 1111, 7.3 22, 7.4 11222, 7.5 223, 7.6 22,
8.1 1233, 8.2 1123, 8.3 133, 8.4 23,
9.1 111, 9.2 1222,
10.1 22, 10.2 223, 10.3 22223, 10.4 1111122222233333, 10.5 22222, 10.6 22, 10.7 222,
11.1 2233, 11.2 22233, 11.3 11233, 11.4 1222, 11.5 23, 11.6 23, 11.7 33,
12.1 12233, 12.2 11, 12.3 22223,
13.1 2333, 13.2 222223, 13.3 2233, 13.4 1222233,
14.1 22, 14.2 12223333, 14.3 122,
15.1 12233, 15.2 12233, 15.3 1222222, 15.4 3333,
16.1 2, 16.2 22222, 16.3 2222, 16.4 222, 16.5 2223,
17.1 23, 17.2 22223333, 17.3 22
"""
OF_LEVEL_3 = {"2.3.5", "6.3.6", "7.5.3", "8.3.2", "15.4.2", "16.5.4"}
STATES = {"proved", "holds", "operator", "not here", "not met yet", "not met"}
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@dataclass(frozen=True)
class Row:
    number: str
    asked: str
    state: str
    proof: str


def rows(text: str) -> list[Row]:
    lines = re.findall(r"^\| (\d+\.\d+\.\d+) \| (.+?) \| (.+?) \| (.+) \|$", text, flags=re.MULTILINE)
    return [Row(*line) for line in lines]


def levels() -> dict[str, int]:
    found: dict[str, int] = {}
    for part in LEVELS.split(","):
        section, digits = part.split()
        found |= {f"{section}.{place}": int(digit) for place, digit in enumerate(digits, start=1)}
    return found


def faults(row: Row) -> list[str]:
    tests = _TEST.findall(row.proof)
    missing = [f"{path}::{name}" for path, name in tests if name not in functions_of(path)]
    if row.state not in STATES:
        return [*missing, f"{row.state} is no state"]
    if row.state == "proved" and (not tests or _TEST.sub("", row.proof).strip(" ,")):
        return [*missing, "proved is proved by tests"]
    if row.state != "proved" and not row.proof.strip().endswith("."):
        return [*missing, "a reason is a sentence"]
    return missing


def test_the_standard_has_as_many_of_each_level() -> None:
    assert Counter(levels().values()) == {1: 70, 2: 183, 3: 92}


def test_each_requirement_is_in_the_table_once() -> None:
    wanted = [number for number, level in levels().items() if level < 3 or number in OF_LEVEL_3]
    assert [row.number for row in rows(text_of(MAP))] == wanted


def test_each_is_proved_by_tests_that_exist_or_has_its_reason() -> None:
    found = {row.number: wrong for row in rows(text_of(MAP)) if (wrong := faults(row))}
    assert found == {}


def test_the_sum_at_the_head_is_the_sum() -> None:
    counted = Counter(row.state for row in rows(text_of(MAP)))
    order = ("proved", "holds", "operator", "not here", "not met yet", "not met")
    words = ", ".join(f"{counted[state]} {state}" for state in order if counted[state])
    assert f"Of them: {words}.\n" in text_of(MAP)


def test_a_missing_test_and_an_unknown_state_are_noticed() -> None:
    [row, other] = rows(
        "| 1.1.1 | x | proved | `tests/docs/test_asvs.py::test_that_nobody_wrote` |\n| 1.1.2 | x | maybe | So. |\n"
    )
    assert faults(row) == ["tests/docs/test_asvs.py::test_that_nobody_wrote"]
    assert faults(other) == ["maybe is no state"]
    assert faults(Row("1.1.1", "x", "proved", "It is so.")) == ["proved is proved by tests"]
