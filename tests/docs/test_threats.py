"""Each case of the threat model names a test that exists, or says that no test covers it yet."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache

from tests.sources import ROOT, text_of, tree_of

MODEL = ROOT / "docs" / "threat-model.md"
_CASE = re.compile(r"^### (\d+)\. (.+)$", flags=re.MULTILINE)
_TEST = re.compile(r"^\* `(tests/[\w/]+\.py)::(test_\w+)`$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Case:
    number: int
    title: str
    tests: tuple[tuple[str, str], ...]
    is_open: bool


def cases(text: str) -> list[Case]:
    starts = list(_CASE.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    found = []
    for match, end in zip(starts, ends, strict=True):
        # The next section of the document does not belong to its last case.
        body = text[match.end() : end].partition("\n## ")[0]
        tests = tuple((path, name) for path, name in _TEST.findall(body))
        found.append(Case(int(match[1]), match[2], tests, "*Not met yet:*" in body))
    return found


ALL = cases(text_of(MODEL))


@cache
def functions_of(path: str) -> frozenset[str]:
    """Return the names of a file's own functions. A function inside of another one is not a test."""
    if not (ROOT / path).exists():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree_of(ROOT / path).body if isinstance(node, functions))


def missing(case: Case) -> list[str]:
    return [f"{path}::{name}" for path, name in case.tests if name not in functions_of(path)]


def test_every_case_names_tests_that_exist_or_says_that_it_is_open() -> None:
    assert [case.number for case in ALL if not case.tests and not case.is_open] == []
    assert {case.number: gone for case in ALL if (gone := missing(case))} == {}


def test_no_case_is_left_out() -> None:
    # The numbers are those of the list of threats. The threats between them are about ways that are not built yet.
    assert [case.number for case in ALL] == [*range(1, 47), 57, 58, 48, 49, 54, 56, 59]


def test_each_case_of_deciding_is_tried_through_every_interface() -> None:
    """Either one test tries all interfaces, or one test tries the pages and another one the API."""
    through = {case.number: {path.split("/")[1] for path, _name in case.tests} for case in ALL[:16]}
    offenders = {
        number: doors for number, doors in through.items() if not ("parity" in doors or {"web", "api"} <= doors)
    }
    assert offenders == {}


def test_every_line_that_names_a_test_is_read() -> None:
    assert sum(len(case.tests) for case in ALL) == text_of(MODEL).count("* `tests/")


def test_a_test_that_is_not_there_is_noticed() -> None:
    [case] = cases("### 1. X\n\nProved by:\n\n* `tests/docs/test_threats.py::test_that_nobody_wrote`\n")
    assert missing(case) == ["tests/docs/test_threats.py::test_that_nobody_wrote"]
    [gone] = cases("### 1. X\n\n* `tests/docs/test_gone.py::test_a`\n")
    assert missing(gone) == ["tests/docs/test_gone.py::test_a"]
