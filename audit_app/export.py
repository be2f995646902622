"""A log on its way out: JSON Lines and CSV, line by line, in constant memory."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from audit_app import canonical
from audit_app.models import AuditEntry
from audit_app.places import Places
from audit_app.said import Said, parse, read

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
)
#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def json_lines(entries: Iterable[AuditEntry], places: Places) -> Iterator[str]:
    """One line an entry: the record as it is hashed, with its place in the tree and its leaf hash beside it.

    Bytes that are no JSON, which somebody must have damaged, are given as they are, in Base64.
    """
    for entry in entries:
        place, body = places.place(entry.seq), bytes(entry.canonical)
        line: dict[str, Any] = {"seq": entry.seq, "index": place.index, "leaf_hash": bytes(entry.leaf_hash).hex()}
        line["origin"] = place.origin
        try:
            line["entry"] = parse(body)
        except ValueError:
            line |= {"entry": None, "bytes": base64.b64encode(body).decode()}
        # The line separators of Unicode would split a line for some readers; escaped they are one line still.
        yield json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n"


def csv_lines(entries: Iterable[AuditEntry], places: Places) -> Iterator[str]:
    """RFC 4180 with a header; cells that a spreadsheet would run are neutralised by a leading apostrophe."""
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    yield writer.writerow(COLUMNS)
    for entry in entries:
        yield writer.writerow([neutral(cell) for cell in _cells(entry, places)])


def neutral(cell: object) -> str:
    """The cell as text that no spreadsheet takes for a formula, and that stays on one line."""
    text = str(cell) if cell is not None else ""
    is_formula = text.startswith(_FORMULA)
    # splitlines() knows every line break there is; those of Unicode divide a line for some readers.
    text = " ".join(f"{text}.".splitlines())[:-1].encode(errors="backslashreplace").decode()
    return f"'{text}" if is_formula else text


def _cells(entry: AuditEntry, places: Places) -> list[Any]:
    said = read(entry, places)
    return [
        said.seq,
        said.place.index,
        canonical.instant(said.at),
        said.event,
        said.door,
        said.actor["name"],
        said.actor["side"],
        said.actor["email"],
        said.whose.get("email") or said.whose.get("name", ""),
        said.subject_type,
        said.subject_id,
        said.access_request,
        json.dumps(said.detail, ensure_ascii=False, sort_keys=True),
        said.leaf_hash,
        said.place.origin,
        *_signed(said),
        said.deputy_for,
    ]


def _signed(said: Said) -> list[str]:
    """Empty for what is no decision."""
    found = said.signature
    if found is None:
        return ["", "", ""]
    bound = {True: "yes", False: "no", None: ""}[found.is_device_bound]
    return ["yes" if found.is_signed else "no", found.passkey, bound]


class _Echo:
    """A file for csv.writer that gives each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line
