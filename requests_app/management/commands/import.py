"""`manage.py import FILE`: import tenants and resources from a CSV file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from requests_app.domain.errors import DomainError
from requests_app.domain.imports import FaultyFile, Source
from requests_app.management._ending import refused
from requests_app.management._importing import FAULTY, ImportCommand, read_file
from requests_app.platform import csv_files
from requests_app.queries import imports as queries


class Command(ImportCommand):
    help = "Import tenants and resources from a CSV file. If one line has a fault, nothing is imported."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the CSV file, in UTF-8")
        parser.add_argument("--dry-run", action="store_true", help="only check the file; nothing is changed")
        parser.add_argument("--resume", action="store_true", help="finish the imports that were interrupted")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["file"]
        if (path is None) is not options["resume"] or (options["resume"] and options["dry_run"]):
            raise CommandError(_("Name one file, or use --resume without a file."), returncode=FAULTY)
        try:
            if path is None:
                self._resume(as_json=options["json"])
            else:
                self.import_rows(self._source(path), is_dry=options["dry_run"], as_json=options["json"])
        except FaultyFile as faulty:
            self.refuse(faulty.faults, [], as_json=options["json"])
        except DomainError as refusal:
            raise refused(refusal) from refusal

    def _resume(self, *, as_json: bool) -> None:
        rows = list(queries.unfinished())
        for row in rows:
            self.run_import(row, as_json=as_json)
        if not rows and not as_json:
            self.stdout.write(_("No import was interrupted."))

    def _source(self, path: Path) -> Source:
        data, size = read_file(path)
        return csv_files.source(data, file_name=path.name, size=size)
