"""Exports a log as JSON Lines or as CSV, line by line, with constant memory."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from audit_app import canonical
from audit_app.exported_entries import ExportedEntry, parse, read
from audit_app.models import AuditEntry
from audit_app.shard_positions import Shards

COLUMNS = (
    "seq",
    "index",
    "at",
    "event",
    "door",
    "actor",
    "actor_side",
    "actor_email",
    "actor_for",
    "subject_type",
    "subject_id",
    "access_request",
    "detail",
    "leaf_hash",
    "origin",
    "signed",
    "signed_by",
    "device_bound",
    "deputy_for",
    "practice",
)
#: A spreadsheet treats a cell that begins with one of these characters as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def json_lines(entries: Iterable[AuditEntry], shards: Shards) -> Iterator[str]:
    """Yield one JSON line for each entry: the record that is hashed, its position in the tree, and its leaf hash.

    If an entry's bytes are damaged, so that they are not JSON, the line has them in Base64.
    """
    for entry in entries:
        position, body = shards.position(entry.seq), bytes(entry.canonical)
        line: dict[str, Any] = {"seq": entry.seq, "index": position.index, "leaf_hash": bytes(entry.leaf_hash).hex()}
        line["origin"] = position.origin
        try:
            line["entry"] = parse(body)
        except ValueError:
            line |= {"entry": None, "bytes": base64.b64encode(body).decode()}
        # Some readers split lines at Unicode's line separators, so these are escaped.
        yield json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n"


def csv_lines(entries: Iterable[AuditEntry], shards: Shards) -> Iterator[str]:
    """Yield CSV (RFC 4180) with a header line.

    A cell that a spreadsheet would read as a formula begins with an apostrophe.
    """
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    yield writer.writerow(COLUMNS)
    for row in entries:
        yield writer.writerow([neutral(cell) for cell in _cells(row, shards)])


def neutral(cell: object) -> str:
    """Return the cell as text on one line that no spreadsheet reads as a formula."""
    text = str(cell) if cell is not None else ""
    is_formula = text.startswith(_FORMULA)
    # splitlines() knows every line break, also those of Unicode, which some readers use too.
    text = " ".join(f"{text}.".splitlines())[:-1].encode(errors="backslashreplace").decode()
    return f"'{text}" if is_formula else text


def _cells(row: AuditEntry, shards: Shards) -> list[Any]:
    entry = read(row, shards)
    return [
        entry.seq,
        entry.position.index,
        canonical.instant(entry.at),
        entry.event,
        entry.door,
        entry.actor["name"],
        entry.actor["side"],
        entry.actor["email"],
        entry.in_name_of.get("email") or entry.in_name_of.get("name", ""),
        entry.subject_type,
        entry.subject_id,
        entry.access_request,
        json.dumps(entry.detail, ensure_ascii=False, sort_keys=True),
        entry.leaf_hash,
        entry.position.origin,
        *_signed(entry),
        entry.deputy_for,
        "yes" if entry.is_practice else "",
    ]


def _signed(entry: ExportedEntry) -> list[str]:
    """Return the columns about a decision's signature. They are empty for entries that are not decisions."""
    found = entry.signature
    if found is None:
        return ["", "", ""]
    bound = {True: "yes", False: "no", None: ""}[found.is_device_bound]
    return ["yes" if found.is_signed else "no", found.passkey, bound]


class _Echo:
    """A file for csv.writer that returns each line to the caller and stores nothing."""

    def write(self, line: str) -> str:
        return line
