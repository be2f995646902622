"""Prints for a person at a terminal, for a pipe (with tabs, without colour), or as JSON.

Text from the server is always made safe for a terminal before it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lockbox_cli.text import as_json, safe


class Cell(NamedTuple):
    """A text to print. At a terminal it also has a style, a remark (`beside`), and a form for tables (`short`)."""

    text: str
    style: str = ""
    beside: str = ""
    short: str = ""


Shown = Cell | str
_GAP = 2


class Output:
    """Where commands print. With `as_json`, they print a document instead of words.

    `now` is the instant that all times in the output are compared with.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.now = datetime.now(UTC)
        self.is_terminal = sys.stdout.isatty()

    def document(self, data: Any) -> None:
        print(as_json(data), flush=True)

    def line(self, data: Any) -> None:
        """Print one line of JSON Lines and flush it. A program that reads the pipe then gets it immediately."""
        print(as_json(data, indent=None), flush=True)

    def table(self, names: Sequence[str], rows: Iterable[Sequence[Shown]], *, nothing: str) -> None:
        found = [[_cell(each) for each in row] for row in rows]
        if not self.is_terminal:
            for row in [[Cell(name) for name in names], *found]:
                print("\t".join(safe(cell.text) for cell in row))
        elif not found:
            self.say(nothing)
        else:
            self._laid_out(names, [[_text(cell, short=True) for cell in row] for row in found])

    def row(self, cells: Sequence[Shown]) -> None:
        """Print one row of a list that is not complete yet, and flush it."""
        found = [_cell(each) for each in cells]
        if self.is_terminal:
            _console().print(Text("  ").join(_text(cell, short=True) for cell in found if cell.text), soft_wrap=True)
        else:
            print("\t".join(safe(cell.text) for cell in found), flush=True)

    def _laid_out(self, names: Sequence[str], rows: list[list[Text]]) -> None:
        """Print the rows as a table, if every row fits on one line.

        Otherwise print two lines for each row, so that nothing is cut off.
        """
        console = _console()
        widths = [max(cell_len(name), *(row[at].cell_len for row in rows)) for at, name in enumerate(names)]
        if sum(widths) + _GAP * (len(widths) - 1) <= console.width:
            table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
            for name in names:
                table.add_column(name, no_wrap=True)
            for row in rows:
                table.add_row(*row)
            console.print(table)
            return
        for first, second, *rest, last in rows:
            console.print(Text(" " * _GAP).join(each for each in (first, second, last) if each.plain))
            remarks = [each for each in rest if each.plain not in ("", "–")]
            console.print(Padding(Text(" · ").join(remarks), (0, 0, 0, _GAP)))

    def facts(self, pairs: Iterable[tuple[str, Shown]], *, aside: bool = False) -> None:
        """Print names and values, one pair on each line.

        With `aside`, print them on standard error, for example before a question to the user.
        """
        found = [(name, _cell(value)) for name, value in pairs if _cell(value).text]
        stream = sys.stderr if aside else sys.stdout
        if not stream.isatty():
            for name, cell in found:
                print(f"{name}\t{safe(cell.text)}", file=stream)
            return
        table = Table.grid(padding=(0, 3, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold", max_width=76)
        for name, cell in found:
            table.add_row(name, _text(cell, lines=True))
        _console(stream).print(table)

    def say(self, words: str, style: str = "") -> None:
        """Print the result in words. Print nothing with `--json`, because the document contains the result."""
        if not self.as_json:
            _print(words, style, sys.stdout)

    def note(self, words: str, style: str = "") -> None:
        """Print a note that is not part of the result."""
        _print(words, style, sys.stderr)


def _cell(given: Shown) -> Cell:
    return given if isinstance(given, Cell) else Cell(given)


def _text(cell: Cell, *, lines: bool = False, short: bool = False) -> Text:
    if short and cell.short:
        return Text(safe(cell.short), style=cell.style)
    found = Text(safe(cell.text, lines=lines), style=cell.style)
    if cell.beside:
        found.append(f" {safe(cell.beside)}", style="not bold dim")
    return found


def _print(words: str, style: str, stream: TextIO) -> None:
    if stream.isatty():
        _console(stream).print(Text(safe(words, lines=True), style=style))
    else:
        print(safe(words), file=stream)


def _console(stream: TextIO | None = None) -> Console:
    return Console(file=stream or sys.stdout, markup=False, emoji=False, highlight=False)
