"""`manage.py lifecycle_docs`: write docs/lifecycle.md from the table; `--check` says whether it is up to date."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import translation

from requests_app.domain.lifecycle import TICKET_TRANSITIONS, TRANSITIONS, Transition
from requests_app.domain.states import Timing

_START = "[*]"
_WHEN = {Timing.ANY: "any time", Timing.BEFORE: "before the deadline", Timing.AFTER: "from the deadline on"}


class Command(BaseCommand):
    help = "Write docs/lifecycle.md from the table of moves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; exit with 1 if the file is out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "lifecycle.md"
        with translation.override("en"):
            text = "\n".join(_document()) + "\n"
        if not options["check"]:
            path.write_text(text)
            self.stdout.write(f"{path.relative_to(settings.BASE_DIR)} is written.")
        elif not path.exists() or path.read_text() != text:
            self.stderr.write("docs/lifecycle.md is out of date. Write it: python manage.py lifecycle_docs")
            sys.exit(1)


def _document() -> Iterator[str]:
    yield "# Life cycles"
    yield ""
    written_by = "`python manage.py lifecycle_docs`; not to be edited by hand."
    yield f"Generated from the acts in `requests_app/domain/acts/` by {written_by}"
    for title, table in (("Access request", TRANSITIONS), ("Ticket", TICKET_TRANSITIONS)):
        yield ""
        yield f"## {title}"
        yield ""
        yield "```mermaid"
        yield "stateDiagram-v2"
        yield from _edges(table)
        yield "```"
        yield ""
        yield "| action | from | to | who | when | entry |"
        yield "|---|---|---|---|---|---|"
        yield from map(_row, table.values())


def _edges(table: dict[str, Transition]) -> Iterator[str]:
    for edge in table.values():
        for source in sorted(edge.sources) or [_START]:
            for target in edge.targets:
                if source != target:
                    yield f"    {source} --> {target}: {edge.action}"
    left = {source for edge in table.values() for source in edge.sources}
    for state in sorted({target for edge in table.values() for target in edge.targets} - left):
        yield f"    {state} --> {_START}"


def _row(edge: Transition) -> str:
    sources = ", ".join(sorted(edge.sources)) or "–"
    who = ", ".join(sorted(role.replace("_", " ") for role in edge.roles))
    cells = (edge.action, sources, " or ".join(edge.targets), who, _WHEN[edge.timing], f"`{edge.event}`")
    return f"| {' | '.join(cells)} |"
