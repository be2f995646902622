"""The formats in which other systems get the log, by name. Each writes one line for each entry, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from audit_app import export
from audit_app.models import AuditEntry
from audit_app.siem import cef, ocsf, office365
from audit_app.siem.source import Source

__all__ = ["FORMATS", "Format", "Source"]


@dataclass(frozen=True)
class Format:
    """One format. `ending` is the file name's ending.

    If a format has no header, an export can be continued: the next export is appended to the same file.
    """

    content_type: str
    ending: str
    lines: Callable[[Iterable[AuditEntry], Source], Iterator[str]]
    has_header: bool = False


_JSON_LINES = "application/jsonl; charset=utf-8"

FORMATS = {
    "csv": Format(
        "text/csv; charset=utf-8", "csv", lambda rows, source: export.csv_lines(rows, source.shards), has_header=True
    ),
    "jsonl": Format(_JSON_LINES, "jsonl", lambda rows, source: export.json_lines(rows, source.shards)),
    "ocsf": Format(_JSON_LINES, "ocsf.jsonl", ocsf.lines),
    "o365": Format(_JSON_LINES, "o365.jsonl", office365.lines),
    "cef": Format("text/plain; charset=utf-8", "cef", cef.lines),
}
