"""`manage.py export_log` writes every entry once, in order. Each run continues where the last run ended."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, transaction

from audit_app import recorder
from audit_app.models import AuditEntry
from requests_app.domain import clock
from requests_app.management import _pull
from requests_app.management._pull import Cursor, CursorInUse
from tests import ground
from tests.audit.test_log import _tamper, an_entry
from tests.audit.test_siem import ocsf_faults, office365_faults
from tests.cast import Cast, events_in, gather
from tests.offenders import collected

pytestmark = pytest.mark.django_db


def grown(cast: Cast, count: int) -> None:
    with transaction.atomic():
        recorder.record([an_entry(cast.contoso.pk) for _ in range(count)], at=clock.now())


def pulled(*words: Any, stdout: Any = None) -> list[dict[str, Any]]:
    out = stdout or io.StringIO()
    call_command("export_log", "contoso", *map(str, words), stdout=out, stderr=io.StringIO())
    return [json.loads(line) for line in out.getvalue().splitlines()]


def seqs(lines: list[dict[str, Any]]) -> list[int]:
    return [line["seq"] for line in lines]


def refused(*words: Any) -> tuple[int, str]:
    """Run the command, which must be refused. Return its exit status and message.

    Nothing may be printed or recorded.
    """
    before, out = AuditEntry.objects.count(), io.StringIO()
    with pytest.raises(CommandError) as refusal:
        call_command("export_log", *map(str, words), stdout=out, stderr=io.StringIO())
    assert out.getvalue() == ""
    assert AuditEntry.objects.count() == before
    return refusal.value.returncode, str(refusal.value)


# --- What it writes ----------------------------------------------------------------------------------------


def test_the_whole_log_with_its_own_entry_at_the_end(cast: Cast) -> None:
    grown(cast, 3)
    lines = pulled()
    assert seqs(lines) == [0, 1, 2, 3]
    entry = lines[-1]["entry"]
    assert (entry["event"], entry["door"], entry["detail"]) == (
        "log.exported",
        "command",
        {"format": "jsonl", "filters": {}},
    )
    assert (entry["actor"]["kind"], entry["actor"]["name"]) == ("system", "export-log")


def test_a_tenant_is_named_by_its_id_too(cast: Cast) -> None:
    out = io.StringIO()
    call_command("export_log", str(cast.contoso.pk), stdout=out)
    assert len(out.getvalue().splitlines()) == 1
    assert "log.exported" not in events_in(cast.fabrikam)


def test_each_format_is_as_the_others_want_it(cast: Cast) -> None:
    cast.opened()
    assert [fault for line in pulled("--format", "ocsf") for fault in ocsf_faults(line)] == []
    assert [fault for line in pulled("--format", "o365") for fault in office365_faults(line)] == []
    out = io.StringIO()
    call_command("export_log", "contoso", "--format", "cef", stdout=out)
    assert all(line.startswith("CEF:0|Microsoft|Customer Lockbox|") for line in out.getvalue().splitlines())


def test_after_and_limit(cast: Cast) -> None:
    grown(cast, 9)
    assert seqs(pulled("--after", 3, "--limit", 4)) == [4, 5, 6, 7]
    assert seqs(pulled("--after", 9)) == [10]
    assert seqs(pulled("--limit", 0)) == []


def test_many_batches_follow_each_other(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit_app.queries.BATCH", 4)
    grown(cast, 17)
    assert seqs(pulled()) == list(range(18))
    assert seqs(pulled("--limit", 10)) == list(range(10))


@pytest.mark.django_db(transaction=True)
def test_removed_entries_are_reported_and_do_not_end_the_export(cast: Cast) -> None:
    grown(cast, 9)
    _tamper("DELETE FROM audit_app_auditentry WHERE seq IN (0, 1, 5)")
    out, err = io.StringIO(), io.StringIO()
    call_command("export_log", "contoso", stdout=out, stderr=err)
    assert seqs([json.loads(line) for line in out.getvalue().splitlines()]) == [2, 3, 4, 6, 7, 8, 9]
    assert err.getvalue().splitlines() == [
        "Entries 0 to 1 are not in the log any more.",
        "Entries 5 to 5 are not in the log any more.",
    ]


# --- The cursor --------------------------------------------------------------------------------------------


def test_a_run_continues_where_the_last_one_ended(cast: Cast, tmp_path: Path) -> None:
    cursor, seen = tmp_path / "cursor", []
    for count in (3, 0, 5, 1):
        grown(cast, count)
        seen += seqs(pulled("--cursor-file", cursor))
        assert json.loads(cursor.read_text()) == {"tenant": str(cast.contoso.pk), "after": seen[-1]}
    assert seen == list(range(3 + 0 + 5 + 1 + 4))
    assert sorted(os.listdir(tmp_path)) == ["cursor", "cursor.lock"]


def test_with_a_limit_the_cursor_is_at_the_last_line(cast: Cast, tmp_path: Path) -> None:
    grown(cast, 9)
    assert seqs(pulled("--cursor-file", tmp_path / "cursor", "--limit", 4)) == [0, 1, 2, 3]
    assert seqs(pulled("--cursor-file", tmp_path / "cursor", "--limit", 4)) == [4, 5, 6, 7]


class Breaks(io.StringIO):
    """An output that fails after `batches` batches. It does not contain the batch that failed."""

    def __init__(self, batches: int, error: type[OSError]) -> None:
        super().__init__()
        self.batches, self.error = batches, error

    def write(self, text: str) -> int:
        if self.batches == 0:
            raise self.error
        self.batches -= 1
        return super().write(text)


@pytest.mark.parametrize(("error", "raised"), [(BrokenPipeError, CommandError), (OSError, OSError)])
def test_the_cursor_is_never_after_an_unwritten_line(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError], raised: type[Exception]
) -> None:
    monkeypatch.setattr("audit_app.queries.BATCH", 4)
    grown(cast, 17)
    out = Breaks(2, error)
    with pytest.raises(raised):
        pulled("--cursor-file", tmp_path / "cursor", stdout=out)
    had = seqs([json.loads(line) for line in out.getvalue().splitlines()])
    assert had == list(range(8))
    assert seqs(pulled("--cursor-file", tmp_path / "cursor")) == list(range(8, 19))


def test_a_crash_between_the_lines_and_the_cursor_repeats_and_leaves_nothing_out(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit_app.queries.BATCH", 4)
    grown(cast, 9)
    store, calls = Cursor.store, iter([None, None, OSError("crash")])

    def once_too_often(cursor: Cursor, after: int) -> None:
        if error := next(calls):
            raise error
        store(cursor, after)

    out = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(Cursor, "store", once_too_often)
        with pytest.raises(OSError, match="crash"):
            pulled("--cursor-file", tmp_path / "cursor", stdout=out)
    had = seqs([json.loads(line) for line in out.getvalue().splitlines()])
    again = seqs(pulled("--cursor-file", tmp_path / "cursor"))
    assert (had, again) == (list(range(10)), list(range(8, 11)))


def test_a_new_place_is_there_as_a_whole_or_not_at_all(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = Cursor(tmp_path / "cursor", cast.contoso.pk)
    cursor.store(5)

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_pull.os, "fsync", fails)
    with pytest.raises(CursorInUse, match="No space left"):
        cursor.store(6)
    assert json.loads((tmp_path / "cursor").read_text())["after"] == 5


def test_two_runs_do_not_share_a_cursor(cast: Cast, tmp_path: Path) -> None:
    with Cursor.held(tmp_path / "cursor", cast.contoso.pk):
        status, words = refused("contoso", "--cursor-file", tmp_path / "cursor")
    assert (status, words) == (2, f"Another run of this command uses {tmp_path / 'cursor'}.")
    assert seqs(pulled("--cursor-file", tmp_path / "cursor")) == [0]


@pytest.mark.parametrize("cursor", ["", "7", "{}", '{"after": -1}', '{"after": "7"}', '{"after": true}', "\x00"])
def test_a_file_that_is_no_cursor_is_left_alone(cast: Cast, tmp_path: Path, cursor: str) -> None:
    (tmp_path / "cursor").write_text(cursor)
    assert refused("contoso", "--cursor-file", tmp_path / "cursor")[0] == 2
    assert (tmp_path / "cursor").read_text() == cursor


def test_another_tenants_cursor_is_refused(cast: Cast, tmp_path: Path) -> None:
    pulled("--cursor-file", tmp_path / "cursor")
    status, words = refused("fabrikam", "--cursor-file", tmp_path / "cursor")
    assert (status, words) == (2, f"{tmp_path / 'cursor'} belongs to another tenant's log.")


def test_a_directory_that_is_not_there_is_refused(cast: Cast, tmp_path: Path) -> None:
    assert refused("contoso", "--cursor-file", tmp_path / "none" / "cursor")[0] == 2


@pytest.mark.parametrize("how", ["after", "cursor"])
def test_a_log_that_is_shorter_than_what_was_read_of_it_is_not_that_log(cast: Cast, tmp_path: Path, how: str) -> None:
    """The log was cut or restored from a backup.

    Without this check, the export would skip later entries without an error.
    """
    grown(cast, 5)
    Cursor(tmp_path / "cursor", cast.contoso.pk).store(7)
    words = ("--after", 7) if how == "after" else ("--cursor-file", tmp_path / "cursor")
    status, output = refused("contoso", *words)
    assert status == 1
    assert (
        output
        == "The log has 5 entries, and no entry with number 7. So it is not the log that this program read before."
    )


# --- Bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nobody", "Contoso", "", "00000000-0000-4000-8000-000000000000"])
def test_a_missing_tenant_is_reported(cast: Cast, name: str) -> None:
    assert refused(name) == (2, f"There is no tenant {name}.")


def test_words_that_are_not_understood_are_refused(cast: Cast) -> None:
    cases = [
        ("--format", "csv"),
        ("--format", "xml"),
        ("--after", "-1"),
        ("--after", "1e3"),
        ("--after", "٣"),
        ("--limit", "x"),
        ("--every", "0"),
        ("--every", "nan"),
        ("--after", "1", "--cursor-file", "x"),
    ]
    with collected() as case:
        for words in cases:
            with case(words):
                with pytest.raises(CommandError):
                    call_command("export_log", "contoso", *words, stdout=io.StringIO())
                assert not AuditEntry.objects.exists()


# --- Following the log -------------------------------------------------------------------------------------


class Reader(io.StringIO):
    """An output that stores everything and, at each batch, calls the next of some functions."""

    def __init__(self, *acts: Any) -> None:
        super().__init__()
        self.acts: Iterator[Any] = iter(acts)

    def flush(self) -> None:
        if self.getvalue():
            next(self.acts, lambda: None)()


def _terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_following_continues_with_new_entries_until_it_is_stopped(cast: Cast, tmp_path: Path) -> None:
    grown(cast, 2)
    out = Reader(lambda: grown(cast, 3), lambda: grown(cast, 1), _terminated)
    before = signal.getsignal(signal.SIGTERM)
    lines = pulled("--follow", "--every", "0.05", "--cursor-file", tmp_path / "cursor", stdout=out)
    assert seqs(lines) == list(range(7))
    # The whole run writes one entry. Otherwise its entries would cause exports without end.
    assert events_in(cast.contoso).count("log.exported") == 1
    assert json.loads((tmp_path / "cursor").read_text())["after"] == 6
    assert signal.getsignal(signal.SIGTERM) is before


def test_following_ends_at_the_limit(cast: Cast) -> None:
    grown(cast, 2)
    out = Reader(lambda: grown(cast, 9))
    assert seqs(pulled("--follow", "--every", "0.05", "--limit", 5, stdout=out)) == [0, 1, 2, 3, 4]


def test_a_database_that_is_away_for_a_while_ends_no_following(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(cast, 2)
    run, away = _pull.Pull.run, iter([True, True, False, False])

    def sometimes(pull: _pull.Pull, **options: Any) -> None:
        if next(away, False):
            raise OperationalError("server closed the connection unexpectedly")
        run(pull, **options)

    monkeypatch.setattr(_pull.Pull, "run", sometimes)
    # Closing the connection would end the test's transaction.
    monkeypatch.setattr("requests_app.management.commands.export_log.connection.close", lambda: None)
    out, err = Reader(_terminated), io.StringIO()
    call_command("export_log", "contoso", "--follow", "--every", "0.05", stdout=out, stderr=err)
    assert seqs([json.loads(line) for line in out.getvalue().splitlines()]) == [0, 1, 2]
    assert err.getvalue().splitlines() == 2 * ["The database does not answer; trying again."]


# --- In a separate process ---------------------------------------------------------------------------------


def _process(tmp_path: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start `manage.py export_log contoso …` as a process with the test's database, but without the tests' settings."""
    where = {"DATABASE_URL": ground.database_url(), "DATA_DIR": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "manage.py", "export_log", "contoso", *words],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **where, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_a_process_of_its_own_follows_a_log_and_ends_cleanly(transactional_db: None, tmp_path: Path) -> None:
    grown(gather(), 20)
    # The lines are in UTF-8 in every environment.
    elsewhere = {"PROVIDER_NAME": "Müller & Söhne", "PYTHONIOENCODING": "ascii"}
    exporting = _process(tmp_path, "--format", "cef", **elsewhere)
    out, err = exporting.communicate(timeout=150)
    assert (exporting.returncode, err) == (0, b"")
    assert out.decode().startswith("CEF:0|Müller & Söhne|Customer Lockbox|")
    assert len(out.decode().splitlines()) == 21

    following = _process(tmp_path, "--skip-checks", "--follow", "--every", "0.05", "--after", "2")
    assert following.stdout is not None
    seen = [json.loads(following.stdout.readline())["seq"] for _ in range(3, 22)]
    pulled("--limit", 1)
    seen.append(json.loads(following.stdout.readline())["seq"])
    following.send_signal(signal.SIGTERM)
    _, err = following.communicate(timeout=150)
    assert (following.returncode, err) == (0, b"")
    assert seen == list(range(3, 23))

    # The reader stops reading, as `head` does.
    gone = _process(tmp_path, "--skip-checks", "--follow", "--every", "0.05")
    assert gone.stdout is not None
    assert gone.stderr is not None
    gone.stdout.readline()
    gone.stdout.close()
    pulled("--limit", 0)
    assert gone.wait(timeout=150) == 1
    assert gone.stderr.read().decode().splitlines() == ["CommandError: The program that read the lines has ended."]
    gone.stderr.close()
