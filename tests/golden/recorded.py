"""The golden data: files with the lines that the tests expect. Write them again only on purpose:

GOLDEN=remake python -m pytest tests/golden tests/parity/test_doors.py
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from itertools import islice, zip_longest
from os.path import commonprefix
from pathlib import Path

DATA = Path(__file__).parent / "data"
IS_REMADE = os.environ.get("GOLDEN") == "remake"
#: How many lines are shown of each file that differs, and how many characters of each line.
MOST_SHOWN, WIDTH = 30, 400


def lines_of(name: str) -> list[str]:
    return (DATA / name).read_text(encoding="utf-8").split("\n")[:-1]


def differences(found: Mapping[str, Iterable[str]]) -> list[str]:
    """Compare these lines with the files, and return all differences. With GOLDEN=remake, write the files instead."""
    report: list[str] = []
    for name, lines in found.items():
        now = "\n".join(lines).split("\n")
        if IS_REMADE:
            (DATA / name).write_text("".join(f"{line}\n" for line in now), encoding="utf-8")
        elif (before := lines_of(name)) != now:
            changes = list(islice(_changes(name, before, now), 2 * MOST_SHOWN + 1))
            report += [*changes[: 2 * MOST_SHOWN], *(["…"] if len(changes) > 2 * MOST_SHOWN else []), ""]
    return report


def _changes(name: str, before: list[str], now: list[str]) -> Iterator[str]:
    """Yield, for each line that differs, its old and new text from shortly before the difference."""
    for kind, start, end, first, last in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for at, (old, new) in enumerate(zip_longest(before[start:end], now[first:last], fillvalue="")):
            begin = max(0, len(commonprefix([old, new])) - 100)
            shown = "…" if begin else ""
            yield f"{name}:{start + at + 1} was {shown}{old[begin : begin + WIDTH]}"
            yield f"{' ' * len(f'{name}:{start + at + 1}')} is  {shown}{new[begin : begin + WIDTH]}"
