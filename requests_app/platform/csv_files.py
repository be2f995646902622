"""Reads CSV files that spreadsheets and scripts write. Every fault of a file is reported with its line."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app.domain.imports import BYTES_MAX, CSV_COLUMNS, FAULTS_MAX, LINES_MAX, Fault, Source, rows_of

#: How files begin that people send in place of a CSV file.
_OTHERS: dict[bytes, Promise] = {
    b"PK\x03\x04": _("a ZIP archive or an Excel workbook"),
    b"\xd0\xcf\x11\xe0": _("an old Excel workbook"),
    b"\x1f\x8b": _("a gzip archive"),
    b"%PDF": _("a PDF file"),
    b"\xff\xfe": _("a text in UTF-16"),
    b"\xfe\xff": _("a text in UTF-16"),
}
_SEPARATORS = (",", ";", "\t")


@dataclass
class Table:
    """The lines of a file: each with its number and its cells by column. `faults` are about the file's form.

    A file can have a fault in every few bytes. So at most FAULTS_MAX of them are kept, and the others are counted.
    """

    lines: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, line: int, column: str, code: str, **facts: object) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(Fault(line, column, code, facts))
        elif len(self.faults) == FAULTS_MAX:
            self.faults.append(Fault(line, "", "more_faults", {"number": 1}))
        else:
            self.faults[-1].facts["number"] += 1


def source(data: bytes, *, file_name: str, size: int = 0) -> Source:
    """Return the rows of an import from a CSV file, and the faults of the file and of its values.

    `size` is the size of the file, if only its beginning was read because it is too large.
    """
    table = read(data, columns=CSV_COLUMNS, needed=("tenant",), size=size)
    return Source(rows_of(table.lines), table.faults, file_name, hashlib.sha256(data).hexdigest())


def read(data: bytes, *, columns: Sequence[str], needed: Sequence[str], size: int = 0) -> Table:
    """Return the table in these bytes. The separator can be a comma, a semicolon or a tab (Excel uses all three)."""
    table = Table()
    size = max(size, len(data))
    if size > BYTES_MAX:
        megabyte = 1024 * 1024
        table.fault(1, "", "too_large", size=-(-size // megabyte), most=BYTES_MAX // megabyte)
        return table
    text = _text(data, table)
    if text is None:
        return table
    separator = _separator(text)
    header: list[str] | None = None
    for number, (line, cells) in enumerate(_records(text, separator, table)):
        # Every record counts, also a faulty or an empty one: each of them takes time. The first one is the header.
        if number > LINES_MAX:
            return Table(faults=[Fault(line, "", "too_many_lines", {"most": LINES_MAX})])
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _header(line, cells, table, columns=columns, needed=needed)
            if table.faults:
                return table
        elif len(cells) != len(header):
            table.fault(line, "", "cells", cells=len(cells), columns=len(header))
        else:
            table.lines.append((line, dict(zip(header, cells, strict=True))))
    if not table.lines and not table.faults:
        table.fault(1, "", "empty")
    return table


def _text(data: bytes, table: Table) -> str | None:
    for beginning, what in _OTHERS.items():
        if data.startswith(beginning):
            table.fault(1, "", "not_text", what=what)
            return None
    if b"\0" in data:
        table.fault(_line_at(data, data.index(b"\0")), "", "nul")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        table.fault(_line_at(data, error.start), "", "not_utf8")
        return None


def _line_at(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _separator(text: str) -> str:
    """Return the separator that the first line has most often."""
    first = text.lstrip("\r\n").partition("\n")[0]
    return max(_SEPARATORS, key=first.count)


def _records(text: str, separator: str, table: Table) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the number of its first line. A record can have line breaks between quotation marks."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # What follows can't be told apart from the text between the wrong quotation marks.
            table.fault(line, "", "bad_quotes")
            return
        yield line, cells
        line = reader.line_num + 1


def _header(line: int, cells: list[str], table: Table, *, columns: Sequence[str], needed: Sequence[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    seen: set[str] = set()
    for name in header:
        if name not in columns:
            table.fault(line, name[:60], "unknown_column", known=", ".join(columns))
        elif name in seen:
            table.fault(line, name, "column_twice")
        seen.add(name)
    for name in needed:
        if name not in seen:
            table.fault(line, name, "column_missing")
    return header
