"""`manage.py lifecycle_docs`: write docs/lifecycle.md and docs/acts.md from the declarations.

`--check` only reports whether these documents are up to date.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import translation

from requests_app.domain.acts import ACTS
from requests_app.domain.acts.declaration import Act, Comment, Noun, StepUp
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, TRANSITIONS, Transition
from requests_app.domain.states import Timing
from requests_app.management._documents import document

_START = "[*]"
_WHEN = {Timing.ANY: "any time", Timing.BEFORE: "before the deadline", Timing.AFTER: "from the deadline on"}


class Command(BaseCommand):
    help = "Write docs/lifecycle.md and docs/acts.md from the declarations of the acts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        is_old = [self._write(name, lines, options["check"]) for name, lines in _DOCUMENTS.items()]
        if any(is_old):
            sys.exit(1)

    def _write(self, name: str, lines: Callable[[], Iterator[str]], is_check: bool) -> bool:
        """Write one document. With `is_check`, only return whether the document is out of date."""
        path = document(name)
        with translation.override("en"):
            text = "\n".join(lines()) + "\n"
        if not is_check:
            path.write_text(text)
            self.stdout.write(f"docs/{name} is written.")
            return False
        if path.exists() and path.read_text() == text:
            return False
        self.stderr.write(f"docs/{name} is out of date. Write it: python manage.py lifecycle_docs")
        return True


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
        for source in sorted(edge.moves.sources) or [_START]:
            for target in edge.moves.targets:
                if source != target:
                    yield f"    {source} --> {target}: {edge.act.name}"
    left = {source for edge in table.values() for source in edge.moves.sources}
    for state in sorted({target for edge in table.values() for target in edge.moves.targets} - left):
        yield f"    {state} --> {_START}"


def _row(edge: Transition) -> str:
    sources = ", ".join(sorted(edge.moves.sources)) or "–"
    who = ", ".join(sorted(role.replace("_", " ") for role in edge.act.roles))
    cells = (edge.act.name, sources, " or ".join(edge.moves.targets), who, _WHEN[edge.moves.timing], f"`{edge.event}`")
    return f"| {' | '.join(cells)} |"


# --- The table of the acts -------------------------------------------------------------------------------------

_HEAD = ("act", "who", "scope of a token", "proof", "comment", "second person", "interfaces", "entries", "tells")
_PROOF = {StepUp.NEVER: "–", StepUp.ALWAYS: "always", StepUp.DEPENDS: "sometimes"}
_COMMENT = {Comment.NONE: "–", Comment.OPTIONAL: "optional", Comment.NEEDED: "needed"}


def _matrix() -> Iterator[str]:
    yield "# Acts"
    yield ""
    written_by = "`python manage.py lifecycle_docs`; not to be edited by hand."
    yield f"Generated from the declarations in `requests_app/domain/acts/` by {written_by}"
    yield "An act is one thing that a person or a machine can do, on one kind of thing."
    yield ""
    yield '* "Who" lists the roles. One of them is needed on that row. An operation can refuse more people.'
    yield '* "No client" means that only people can do the act. A client of the API is always refused.'
    yield "* Proof is a password and a second factor, not older than five minutes."
    yield '* "Second person" is somebody else who must agree first, or a part in the row that excludes a person.'
    for noun in Noun:
        acts = [act for act in ACTS.values() if act.noun is noun]
        if not acts:
            continue
        yield ""
        yield f"## {noun.replace('_', ' ').capitalize()}"
        yield ""
        yield f"| {' | '.join(_HEAD)} |"
        yield "|" + "---|" * len(_HEAD)
        yield from (f"| {' | '.join(_cells(act))} |" for act in acts)


def _cells(act: Act) -> tuple[str, ...]:
    scope = "any" if act.any_token else f"`{act.scope}`" if act.scope is not None else "–"
    return (
        f"`{act.name}`",
        _listed(_who(act)),
        scope,
        _PROOF[act.step_up],
        _COMMENT[act.comment],
        _listed(_second(act)),
        _listed(sorted(act.doors)),
        _listed(f"`{event}`" for event in act.events),
        _listed(f"`{tell.topic}` to {', '.join(_plain(name) for name in tell.to)}" for tell in act.tells),
    )


def _who(act: Act) -> Iterator[str]:
    if act.is_public:
        yield "anybody"
    yield from sorted(_plain(role) for role in act.roles)
    yield from (f"{_plain(role)} (of the provider's own)" for role in sorted(act.provider_roles))
    if act.is_holders:
        yield "the owner"
    if act.humans_only:
        yield "no client"


def _second(act: Act) -> Iterator[str]:
    if any(not proposal.by_staff for proposal in act.proposes):
        yield "of the tenant"
    if any(proposal.by_staff for proposal in act.proposes):
        yield "of the staff"
    yield from (f"not the {party}" for party in act.separate_from)


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "–"


def _plain(name: str) -> str:
    return name.replace("_", " ")


_DOCUMENTS: dict[str, Callable[[], Iterator[str]]] = {"lifecycle.md": _document, "acts.md": _matrix}
