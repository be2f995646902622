"""The golden data: files of lines that a test compares, and that are made anew on purpose alone.

GOLDEN=remake python -m pytest tests/golden
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

DATA = Path(__file__).parent / "data"
IS_REMADE = os.environ.get("GOLDEN") == "remake"
#: Lines of a difference that are shown for each file.
MOST_SHOWN = 60


def lines_of(name: str) -> list[str]:
    return (DATA / name).read_text(encoding="utf-8").split("\n")[:-1]


def differences(found: dict[str, Iterable[str]]) -> list[str]:
    """Compare each file with what was found, to the letter, or write it anew; return all differences."""
    report: list[str] = []
    for name, lines in found.items():
        text = "".join(f"{line}\n" for line in lines)
        path = DATA / name
        if IS_REMADE:
            path.write_text(text, encoding="utf-8")
            continue
        before = path.read_text(encoding="utf-8")
        if text != before:
            changed = difflib.unified_diff(before.split("\n"), text.split("\n"), f"before/{name}", f"now/{name}", n=0)
            shown = [each.rstrip("\n")[:1000] for each in islice(changed, MOST_SHOWN + 1)]
            report += [*shown[:MOST_SHOWN], *(["…"] if len(shown) > MOST_SHOWN else []), ""]
    return report
