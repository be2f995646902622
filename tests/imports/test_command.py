"""`manage.py import`: the same import on the server, with an exit status that a script can use."""

from __future__ import annotations

import json
import os
import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import OperationalError

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.management._logs import actor
from requests_app.models import Import, Proposal, Resource, Service
from requests_app.operations import _import_kinds, imports
from requests_app.platform import program
from tests.cast import Cast
from tests.imports.files import MAIL, NORTH, csv_of, source_of

pytestmark = pytest.mark.django_db


def run(path: Path | None, *flags: str) -> tuple[int, str, str]:
    """Run the command. Return its exit status and what it prints."""
    out, err = StringIO(), StringIO()
    try:
        call_command("import", *([str(path)] if path else []), *flags, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    return 0, out.getvalue(), err.getvalue()


def file_of(folder: Path, *lines: str) -> Path:
    path = folder / "resources.csv"
    path.write_bytes(csv_of(*lines))
    return path


def test_it_imports_a_file_and_again_changes_nothing(cast: Cast, tmp_path: Path) -> None:
    path = file_of(tmp_path, MAIL, NORTH)
    assert run(path) == (0, "created: 2\n", "")
    assert Resource.objects.filter(external_id__in=["m-1", "n-1"]).count() == 2
    added = AuditEntry.objects.filter(event="resource.added")
    assert set(added.values_list("door", "actor_kind", "actor_name")) == {("command", "system", "import")}
    before = AuditEntry.objects.count()
    assert run(path) == (0, "unchanged: 2\nThere was nothing to change.\n", "")
    assert AuditEntry.objects.count() == before


def test_a_dry_run_changes_nothing(cast: Cast, tmp_path: Path) -> None:
    status, out, err = run(file_of(tmp_path, MAIL), "--dry-run")
    assert (status, out, err) == (0, "created: 1\nNothing was changed: this was a check.\n", "")
    assert (Import.objects.count(), AuditEntry.objects.count()) == (0, 0)


@pytest.mark.parametrize("flags", [(), ("--dry-run",), ("--json",)])
def test_each_fault_is_named_and_the_exit_status_is_2(cast: Cast, tmp_path: Path, flags: tuple[str, ...]) -> None:
    path = file_of(tmp_path, MAIL, NORTH.replace("northwind/mail", "contoso/mail"), MAIL.replace("mailbox", "disk"))
    status, out, err = run(path, *flags)
    assert status == 2
    assert err.splitlines()[0] == (
        "line 3, column locator: The locator must begin with this tenant’s own root: northwind/…"
    )
    assert err.splitlines()[1].startswith("line 4, column kind: ")
    assert err.endswith("The file has 2 faults. Nothing was changed.")
    found: Any = json.loads(out)["faults"] if flags == ("--json",) else []
    assert [(fault["line"], fault["code"]) for fault in found] == (
        [(3, "outside_root"), (4, "contradicts")] if found else []
    )
    assert (Import.objects.count(), AuditEntry.objects.count()) == (0, 0)


def test_the_report_is_json_for_scripts(cast: Cast, tmp_path: Path) -> None:
    _status, out, _err = run(file_of(tmp_path, MAIL), "--json")
    found = json.loads(out)
    assert found["rows"] == [
        {"line": 2, "kind": "resource", "name": "legal@contoso.example", "status": "created", "faults": []}
    ]
    assert found["counts"]["created"] == 1


def test_it_finishes_an_import_that_was_interrupted(cast: Cast) -> None:
    row = operations.start_import(source_of(MAIL, NORTH), actor=actor("import"))
    assert row is not None
    operations.run_import(row.pk, actor=actor("import"), after=lambda _row: False)
    assert Resource.objects.filter(external_id__in=["m-1", "n-1"]).count() == 1
    assert run(None, "--resume") == (0, "created: 2\n", "")
    assert Resource.objects.filter(external_id__in=["m-1", "n-1"]).count() == 2
    assert run(None, "--resume") == (0, "No import was interrupted.\n", "")


@pytest.mark.parametrize("flags", [(), ("--resume", "--dry-run")])
def test_it_needs_one_file_or_resume(cast: Cast, tmp_path: Path, flags: tuple[str, ...]) -> None:
    assert run(None, *flags)[0] == 2
    assert run(file_of(tmp_path, MAIL), "--resume")[0] == 2
    assert run(tmp_path / "absent.csv")[0] == 2
    assert not Import.objects.exists()


def test_what_needs_two_people_is_not_proposed_by_a_command(cast: Cast, tmp_path: Path) -> None:
    """Nobody knows which human runs a command. So two humans of the staff must agree in the administration."""
    cast.sharepoint.is_covered = False
    cast.sharepoint.save()
    line = "contoso,,,,sharepoint-online,m-3,library,Plans,contoso/plans/x,"
    status, out, _err = run(file_of(tmp_path, line))
    assert (status, out.splitlines()[0]) == (0, "waiting for confirmation: 1")
    assert "two members of the staff" in out
    assert (Proposal.objects.count(), Resource.objects.filter(external_id="m-3").count()) == (0, 0)


def test_a_terminal_shows_how_many_rows_are_written(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert run(file_of(tmp_path, MAIL, NORTH)) == (0, "created: 2\n", "")
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "2/2" in shown, shown


def test_without_a_terminal_there_is_no_progress_bar(
    cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(file_of(tmp_path, MAIL, NORTH))
    assert capsys.readouterr().err == ""


def test_a_database_that_fails_on_the_way_is_not_called_nothing_changed(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part is written, and a worker writes the rest."""
    path = file_of(tmp_path, MAIL, NORTH)
    plain, calls = _import_kinds.write, [0]

    def failing(*words: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise OperationalError("database or disk is full")
        return plain(*words)

    with monkeypatch.context() as patched:
        patched.setattr(imports, "write", failing)
        status, _out, err = run(path)
    assert err.startswith("The database failed (database or disk is full). At least 1 of 2 rows are written.")
    assert err.endswith(f"Or run: {program.command('import --resume')}")
    assert status == 5
    assert Resource.objects.filter(external_id__in=["m-1", "n-1"]).count() == 1
    assert run(None, "--resume")[0] == 0
    assert Resource.objects.filter(external_id__in=["m-1", "n-1"]).count() == 2


def test_the_examples_run_in_an_empty_installation_in_the_order_of_the_document(db: None) -> None:
    document = (settings.BASE_DIR / "docs" / "importing.md").read_text()
    lines = re.findall(r"^\.venv/bin/python manage\.py ((?:apply|import) docs/.*)$", document, flags=re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["apply", "import", "import"]
    assert not Service.objects.exists()
    for line in lines:
        name, path, *flags = line.split()
        call_command(name, str(settings.BASE_DIR / path), *flags)
    assert Resource.objects.filter(tenant__slug__in=["adatum", "litware"]).count() == 4


def test_the_report_for_scripts_is_printed_row_by_row(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one text, the report about a large file full of faults would take hundreds of megabytes."""
    written: list[str] = []
    monkeypatch.setattr(OutputWrapper, "write", lambda _self, text="", *_words, **_more: written.append(text))
    lines = [MAIL.replace("legal", f"box-{n}").replace("m-1", f"b-{n}") for n in range(100)]
    run(file_of(tmp_path, *lines), "--dry-run", "--json")
    assert max(map(len, written)) < 300
    assert len(json.loads("".join(written))["rows"]) == 100
