"""What the commands about imports share: run an import, and print its report and its faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from requests_app import operations
from requests_app.domain.errors import DomainError, OutcomeUnknown, StoreUnavailable
from requests_app.domain.imports import BYTES_MAX, STATUS_WORDS, Fault, Line, Source, Status, number_of
from requests_app.management._ending import NOT_KNOWN
from requests_app.management._logs import actor
from requests_app.models import Import
from requests_app.platform import program
from requests_app.queries import imports as queries

ACTOR = actor("import")
FAULTY = 2


class ImportCommand(BaseCommand):
    def import_rows(self, source: Source, *, is_dry: bool, as_json: bool) -> None:
        report = operations.check_import(source, actor=ACTOR)
        if report.faults:
            self.refuse(report.faults, report.lines, as_json=as_json)
        if is_dry:
            self.print_report(
                report.lines, report.counts, as_json=as_json, ending=_("Nothing was changed: this was a check.")
            )
            return
        row = operations.start_import(source, actor=ACTOR)
        if row is None:
            self.print_report(report.lines, report.counts, as_json=as_json, ending=_("There was nothing to change."))
        else:
            self.run_import(row, as_json=as_json)

    def run_import(self, row: Import, *, as_json: bool) -> None:
        written = [row.rows_done]

        def after(now: Import) -> bool:
            written[0] = now.rows_done
            return show(now)

        with _progress(row) as show:
            try:
                row = operations.run_import(row.pk, actor=ACTOR, after=after)
            except (StoreUnavailable, OutcomeUnknown) as failure:
                raise _interrupted(row, failure, written=written[0]) from failure
        lines = list(queries.lines_of(row))
        ending = ""
        if row.held.filter(outcome="").exists():
            ending = _(
                "Some changes need two members of the staff. One of them opens this import in the administration and "
                "proposes the changes, and another one confirms them."
            )
        elif any(line.status == Status.WAITING for line in lines):
            ending = _("Some rows wait for a change that is proposed. Apply the file again when it has taken effect.")
        faults = [fault for line in lines for fault in line.faults]
        self.print_report(lines, row.counts, as_json=as_json, ending=ending)
        if faults:
            self.name_faults(faults)
            raise CommandError(_("Some rows no longer fitted, and were not written."), returncode=FAULTY)

    def refuse(self, faults: Iterable[Fault], lines: Iterable[Line], *, as_json: bool) -> None:
        faults = list(faults)
        if as_json:
            self.print_json(lines, {}, faults)
        self.name_faults(faults)
        n = number_of(faults)
        words = ngettext(
            "The file has %(n)d fault. Nothing was changed.", "The file has %(n)d faults. Nothing was changed.", n
        )
        raise CommandError(words % {"n": n}, returncode=FAULTY)

    def name_faults(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self.stderr.write(self.words(fault))

    def words(self, fault: Fault) -> str:
        where = _("line %(line)d, column %(column)s: %(reason)s") if fault.column else _("line %(line)d: %(reason)s")
        return where % {"line": fault.line, "column": fault.column, "reason": fault.reason}

    def print_report(self, lines: Iterable[Line], counts: dict[str, int], *, as_json: bool, ending: str) -> None:
        if as_json:
            self.print_json(lines, counts, [])
            return
        for status in Status:
            if counts.get(status):
                self.stdout.write(f"{STATUS_WORDS[status]}: {counts[status]}")
        if ending:
            self.stdout.write(ending)

    def print_json(self, lines: Iterable[Line], counts: dict[str, int], faults: Iterable[Fault]) -> None:
        """Print the report row by row. As one text, that of a file full of faults would take hundreds of megabytes."""
        head = json.dumps({"counts": counts, "faults": [_fault(fault) for fault in faults]}, ensure_ascii=False)
        self.stdout.write(f'{head[:-1]}, "rows": [', ending="")
        comma = ""
        for line in lines:
            self.stdout.write(f"{comma}\n {json.dumps(_row(line), ensure_ascii=False)}", ending="")
            comma = ","
        self.stdout.write("]}")


def _interrupted(row: Import, failure: DomainError, *, written: int) -> CommandError:
    """Return what to say when the database fails after the import was stored: it continues without this command."""
    words = _(
        "The database failed (%(why)s). At least %(n)d of %(all)d rows are written. The rest is stored: a worker "
        "writes it when the database works again. Or run: %(command)s"
    ) % {
        "why": " ".join(str(failure.__cause__ or failure).split()).rstrip("."),
        "n": written,
        "all": row.rows,
        "command": program.command("import --resume"),
    }
    return CommandError(words, returncode=NOT_KNOWN)


def read_file(path: Path) -> tuple[bytes, int]:
    """Return the file, or its beginning if it is too large, and its size."""
    try:
        with path.open("rb") as file:
            # One byte more than allowed is enough to see that the file is too large.
            size, data = path.stat().st_size, file.read(BYTES_MAX + 1)
    except OSError as error:
        words = _("%(path)s can't be read: %(why)s.") % {"path": path, "why": error.strerror or error}
        raise CommandError(words, returncode=FAULTY) from error
    return data, size


def _row(line: Line) -> dict[str, Any]:
    return {
        "line": line.line,
        "kind": line.kind,
        "name": line.name,
        "status": line.status,
        "faults": [_fault(fault) for fault in line.faults],
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {"line": fault.line, "column": fault.column, "code": fault.code, "reason": fault.reason}


@contextmanager
def _progress(row: Import) -> Iterator[Callable[[Import], bool]]:
    """Show how many rows are written, if standard error is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _row: True
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(_("rows"), total=row.rows, completed=row.rows_done)

        def after(now: Import) -> bool:
            bar.update(task, completed=now.rows_done)
            return True

        yield after
