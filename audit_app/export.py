"""A log on its way out: JSON Lines and CSV, line by line, in constant memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from audit_app.models import AuditEntry

COLUMNS = (
    "index",
    "at",
    "event",
    "door",
    "actor",
    "actor_side",
    "actor_email",
    "subject_type",
    "subject_id",
    "access_request",
    "detail",
    "leaf_hash",
)
#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def json_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """One line an entry: the record as it is hashed, with its index and leaf hash beside it."""
    for entry in entries:
        record = json.loads(bytes(entry.canonical))
        line = {"index": entry.seq, "leaf_hash": bytes(entry.leaf_hash).hex(), "entry": record}
        # The line separators of Unicode would split a line for some readers; escaped they are one line still.
        yield json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n"


def csv_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """RFC 4180 with a header; cells that a spreadsheet would run are neutralised by a leading apostrophe."""
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    yield writer.writerow(COLUMNS)
    for entry in entries:
        yield writer.writerow([neutral(cell) for cell in _cells(entry)])


def neutral(cell: object) -> str:
    """The cell as text that no spreadsheet takes for a formula, and that stays on one line."""
    text = str(cell) if cell is not None else ""
    is_formula = text.startswith(_FORMULA)
    text = text.replace("\r", " ").replace("\n", " ")
    return f"'{text}" if is_formula else text


def _cells(entry: AuditEntry) -> list[Any]:
    record = json.loads(bytes(entry.canonical))
    actor = record["actor"]
    detail = json.dumps(record["detail"], ensure_ascii=False, sort_keys=True)
    return [
        entry.seq,
        record["at"],
        record["event"],
        record["door"],
        actor["name"],
        actor.get("side", ""),
        actor.get("email", ""),
        record["subject"]["type"],
        record["subject"]["id"],
        record["access_request"] or "",
        detail,
        bytes(entry.leaf_hash).hex(),
    ]


class _Echo:
    """A file for csv.writer that gives each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line
