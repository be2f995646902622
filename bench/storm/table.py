"""Make the table of docs/reliability.md from the results of storms.

Usage: python -m bench.storm.table LABEL=RESULT.json ...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.storm.report import DOORS

_Of = Callable[[dict[str, Any]], str]


def _through(door: str) -> _Of:
    return lambda found: f"{found['by_door'][door]:,}"


_ROWS: dict[str, _Of] = {
    "database, seed, seconds": lambda found: f"{found['database']}, {found['seed']}, {found['seconds']:.0f}",
    "acknowledged acts": lambda found: f"{found['acknowledged']:,}",
    **{f"… {door}": _through(door) for door in DOORS},
    "entries in the logs": lambda found: f"{found['entries']:,}",
    "mails; the last ones left after": lambda found: f"{found['mails']:,}; {found['calm']:.0f} s",
    "faults": lambda found: str(found["faults"]),
    "violations of safety": lambda found: str(found["safety"]),
    "wrong answers": lambda found: str(found["wrong"]),
    "answered well outside of faults": lambda found: f"{found['availability']:.2%}",
    "an act, median and p99": lambda found: f"{found['median'] * 1000:.0f} ms, {found['p99'] * 1000:.0f} ms",
    "memory at most, at the end": lambda found: f"{found['peak'] / 1e6:.0f} MB, {found['memory'] / 1e6:.0f} MB",
}


def lines(results: dict[str, dict[str, Any]]) -> list[str]:
    rows = ["| | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    rows += [f"| {name} | " + " | ".join(of(found) for found in results.values()) + " |" for name, of in _ROWS.items()]
    kinds = sorted({kind for found in results.values() for kind in found["recoveries"]})
    for kind in kinds:
        cells = [_recovery(found["recoveries"].get(kind, [])) for found in results.values()]
        rows.append(f"| acts again: {kind} | " + " | ".join(cells) + " |")
    return rows


def _recovery(seconds: list[float]) -> str:
    if not seconds:
        return ""
    if float("inf") in seconds:
        return f"not before the end ({seconds.count(float('inf'))} of {len(seconds)})"
    return f"{max(seconds):.1f} s" + (f" (of {len(seconds)})" if len(seconds) > 1 else "")


if __name__ == "__main__":
    named = dict(word.partition("=")[::2] for word in sys.argv[1:])
    print("\n".join(lines({label: json.loads(Path(path).read_text()) for label, path in named.items()})))
