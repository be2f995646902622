"""The documents agree with the code: commands, health, log events, words, the auditor's check."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from audit_app import export, queries
from audit_app.shard_positions import Shards
from lockbox_site import readiness
from requests_app.domain.actors import Role
from requests_app.domain.states import State
from tests.cast import Cast
from tests.docs.documents import blocks, code_spans, documents, prose
from tests.sources import ROOT, name_of, nodes_of, product_files

OPERATORS = ROOT / "docs" / "operators.md"
MONITORING = ROOT / "docs" / "monitoring.md"
OURS = ("requests_app", "audit_app", "lockbox_site")
_COMMAND = re.compile(r"(?:\S*python )?manage\.py ([a-z_]+)(.*)")


def rows(path: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    text = prose(path).partition(f"## {heading}\n")[2]
    lines = re.findall(r"^\|(.*)\|$", text.partition("\n## ")[0], flags=re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --- Commands ----------------------------------------------------------------------------------------------


def _ours() -> set[str]:
    return {name for name, app in get_commands().items() if app in OURS}


def wrong_commands(path: Path) -> list[str]:
    """Return the places where a document mentions a command or an option of `manage.py` that does not exist."""
    found = []
    for span in code_spans(path):
        match = _COMMAND.fullmatch(span)
        if match and not _is_right(match[1], match[2].split()):
            found.append(span)
    return found


def _is_right(name: str, words: list[str]) -> bool:
    app = get_commands().get(name)
    if app is None:
        return False
    command = app if not isinstance(app, str) else load_command_class(app, name)
    known = command.create_parser("manage.py", name)._option_string_actions
    return all(word.partition("=")[0] in known for word in words if word.startswith("-"))


def test_every_command_in_the_documents_exists() -> None:
    assert sum(1 for path in documents() for span in code_spans(path) if _COMMAND.fullmatch(span)) > 20
    assert {name_of(path): found for path in documents() if (found := wrong_commands(path))} == {}


@pytest.mark.parametrize("span", ["manage.py no_such", "manage.py sweep --no-such"])
def test_a_command_that_does_not_exist_is_found(span: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.documents._parted", lambda _: ([], f"Run `{span}`, then `manage.py sweep`."))
    assert wrong_commands(OPERATORS) == [span]


def test_every_command_of_ours_is_in_the_operators_table() -> None:
    shown = {match[1] for cells in rows(OPERATORS, "Commands") if (match := _COMMAND.fullmatch(names(cells[0])[0]))}
    assert sorted(_ours() - shown) == []
    assert sorted(shown - _ours()) == []


# --- Health and logs ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_check_of_readyz_is_documented() -> None:
    shown = [names(cells[0])[0] for cells in rows(OPERATORS, "Health")]
    assert shown == list(readiness.run_checks())


_LOGGERS = frozenset({"log", "_log", "logger", "security_log"})


def logged_events() -> set[str]:
    """Return the names of all events that the project writes into the server's log."""
    found = set()
    for path in product_files(".py"):
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                logger, level, first = node.func.value, node.func.attr, node.args[0]
                is_ours = isinstance(logger, ast.Name) and logger.id in _LOGGERS
                if is_ours and level in ("info", "warning", "error", "exception") and isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


def test_every_event_of_the_logs_is_documented() -> None:
    tables = [*rows(OPERATORS, "Logs"), *rows(MONITORING, "Events in the log")]
    shown = {name for cells in tables for name in names(cells[0])}
    events = logged_events()
    assert {"outbox.parked", "task_parked", "sign_in.failed"} <= events
    assert sorted(events - shown) == []
    assert sorted(shown - events) == []


# --- Words -------------------------------------------------------------------------------------------------


def test_every_role_has_its_word() -> None:
    shown = {
        match.lower() for match in re.findall(r"^\| \*\*([^*]+)\*\*", prose(ROOT / "docs/glossary.md"), re.MULTILINE)
    }
    # The requester is an engineer, and the system is an actor.
    wanted = {str(role).replace("_", " ") for role in Role} - {"requester", "system"}
    assert sorted(wanted - shown) == []


def test_each_word_is_there_once_and_in_order() -> None:
    shown = re.findall(r"^\| \*\*([^*]+)\*\*", prose(ROOT / "docs/glossary.md"), re.MULTILINE)
    assert shown == sorted(set(shown), key=str.lower)


def test_the_generated_life_cycle_shows_every_state() -> None:
    text = (ROOT / "docs" / "lifecycle.md").read_text()
    assert [state for state in State.values if state not in text] == []


# --- The auditor's check -----------------------------------------------------------------------------------


def _check(place: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the Python code of docs/customer-auditor.md on the export in `place`.

    Return how many entries the code has read.
    """
    [block] = [block for block in blocks("python") if block.document == "docs/customer-auditor.md"]
    monkeypatch.chdir(place)
    scope: dict[str, Any] = {}
    exec(compile(block.text, "customer-auditor.md", "exec"), scope)
    return int(scope["number"]) + 1


@pytest.mark.django_db
def test_an_export_is_checked_by_the_lines_that_auditors_are_given(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.opened()
    lines = list(export.json_lines(queries.in_order(cast.contoso.pk), Shards.of(cast.contoso.pk)))
    (tmp_path / "log.jsonl").write_text("".join(lines))
    assert _check(tmp_path, monkeypatch) == len(lines) > 2
    gap = [*lines[:1], *lines[2:]]
    changed = [lines[0].replace(cast.contoso.name, "Elsewhere").replace("ticket.opened", "ticket.closed"), *lines[1:]]
    for spoilt in (gap, changed):
        assert spoilt != lines
        (tmp_path / "log.jsonl").write_text("".join(spoilt))
        with pytest.raises(AssertionError):
            _check(tmp_path, monkeypatch)
