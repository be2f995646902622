"""`manage.py openapi`: write docs/openapi.json from the code. `--check` compares it with the code."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import translation

from requests_app.doors.api import reader
from requests_app.management._documents import document

DOCUMENT = Path("docs") / "openapi.json"


class Command(BaseCommand):
    help = "Write docs/openapi.json from the code."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        path = document(DOCUMENT.name)
        if not options["check"]:
            path.write_text(text())
            self.stdout.write(f"{DOCUMENT} is written.")
        elif not path.exists() or path.read_text() != text():
            self.stderr.write(f"{DOCUMENT} is out of date. Write it: python manage.py openapi")
            sys.exit(1)


def text() -> str:
    """Return the document as it is committed. Its order is the order of the code, so a diff is easy to read."""
    with translation.override("en"):
        return json.dumps(reader.document(), indent=1, ensure_ascii=False) + "\n"
