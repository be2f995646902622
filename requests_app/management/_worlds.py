"""What the commands about `world.yaml` share: read the file, compare it with what is there, and show the difference."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from requests_app.domain.imports import KINDS, Fault, Line, Row, Source, Status
from requests_app.management._importing import ImportCommand, read_file
from requests_app.platform import world_files
from requests_app.queries import world
from requests_app.words import proposals

#: The words of the file for fields and values that have another name in the database.
_WORDS = {"is_active": "active", "is_staff": "staff", "is_covered": "covered", "True": "true", "False": "false"}


class WorldCommand(ImportCommand):
    """A command that reads a file. `missing` has what the file does not name, each with its name and its row."""

    file: world_files.WorldFile
    missing: list[tuple[str, Row]]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the file, in YAML")
        parser.add_argument("--prune", action="store_true", help="switch off what the file does not name")

    def read(self, path: Path, *, prunes: bool) -> Source:
        """Return the rows of the file. With `prunes`, add the rows that switch off what the file does not name."""
        data, size = read_file(path)
        self.file = world_files.loaded(data, file_name=path.name, size=size)
        source = self.file.source
        # A file with faults may name more than could be read.
        is_whole = not source.faults and not any(row.faults for row in source.rows)
        lists: dict[str, Any] = {"sections": self.file.sections, "complete": self.file.complete}
        self.missing = world.missing(source.rows, **lists) if is_whole else []
        return replace(source, rows=[*source.rows, *(row for _name, row in self.missing)]) if prunes else source

    def words(self, fault: Fault) -> str:
        if not fault.line:
            return _("what the file does not name: %(reason)s") % {"reason": fault.reason}
        line, column, key = self.file.place(fault)
        facts = {"line": line, "column": column, "key": key, "reason": fault.reason}
        if key:
            return _("line %(line)d, column %(column)d, %(key)s: %(reason)s") % facts
        return _("line %(line)d, column %(column)d: %(reason)s") % facts

    def show(self, lines: Iterable[Line]) -> None:
        """Print one line for each difference."""
        for line in lines:
            if line.status == Status.UNCHANGED:
                continue
            about = {"kind": line.kind_words, "name": line.name}
            if line.status == Status.CREATED:
                self.stdout.write(_("create the %(kind)s “%(name)s”") % about)
            for name, values in line.changes.items():
                value, before, after = (_WORDS.get(word, word) for word in (name, *values))
                changed = {**about, "value": value, "before": before, "after": after}
                words = _("change the %(kind)s “%(name)s”: %(value)s is “%(before)s” and becomes “%(after)s”")
                self.stdout.write(words % changed)
            if line.waits_for:
                waits = _("the %(kind)s “%(name)s” waits for the service “%(service)s”: apply the file again later")
                self.stdout.write(waits % {**about, "service": line.waits_for})
            for act, terms in line.held:
                self.stdout.write(_("propose to %(words)s") % {"words": proposals.words(act, terms)})

    def show_missing(self) -> None:
        for name, row in self.missing:
            self.stdout.write(_("not in the file: %(kind)s “%(name)s”") % {"kind": KINDS[row.kind].label, "name": name})
