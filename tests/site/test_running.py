"""What `bin/run` does after the packages are installed: each step once, and one line for a step that fails."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any, TextIO

import pytest
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from lockbox_site.installing import environment_file, running, steps
from requests_app.models import OutboxMessage
from requests_app.platform import statics
from requests_app.platform.trial import MAIL_FILES
from tests.cast import Cast


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> list[str]:
    """Return the commands that the step of the static files runs. The code has one static file, `tmp_path/site.css`."""
    ran: list[str] = []
    (tmp_path / "data").mkdir()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "site.css").write_text("a { color: red }")
    settings.DATA_DIR = tmp_path / "data"
    settings.STATICFILES_DIRS = [str(tmp_path / "source")]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    monkeypatch.setattr(steps, "command", lambda name, **options: ran.append(name))
    monkeypatch.setattr(statics, "why_not_collected", lambda: "")
    return ran


def test_static_files_are_collected_again_only_if_one_of_them_changed(collected: list[str], tmp_path: Path) -> None:
    _what, act = steps.files()
    act()
    act()
    assert collected == ["collectstatic"]
    file = tmp_path / "source" / "site.css"
    before = file.stat().st_mtime_ns
    # The same size, as after a change of a colour.
    file.write_text("a { color: tan }")
    os.utime(file, ns=(before + 1, before + 1))
    act()
    assert collected == ["collectstatic"] * 2
    (tmp_path / "source" / "more.css").write_text("")
    act()
    act()
    assert collected == ["collectstatic"] * 3


def test_static_files_that_are_gone_are_collected_again(collected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _what, act = steps.files()
    act()
    monkeypatch.setattr(statics, "why_not_collected", lambda: "The static file site.css is not there.")
    act()
    assert collected == ["collectstatic"] * 2


def test_after_a_collection_that_failed_the_next_start_collects_again(
    collected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, **options: object) -> None:
        raise OSError("No space left on device")

    _what, act = steps.files()
    with monkeypatch.context() as broken:
        broken.setattr(steps, "command", fail)
        with pytest.raises(OSError, match="No space"):
            act()
    act()
    assert collected == ["collectstatic"]


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (OperationalError("disk I/O error"), "disk I/O error"),
        (SystemCheckError("Some issues:\n\nERRORS:\n  (E001) retry must be above timeout.\n"),
         "Some issues: ERRORS: (E001) retry must be above timeout"),
        (AssertionError(), "AssertionError"),
    ],
)  # fmt: skip
def test_a_step_that_fails_is_one_line_and_its_details_are_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], failure: Exception, why: str
) -> None:
    def act() -> None:
        print("what the step itself says")
        raise failure

    monkeypatch.setattr(running, "DETAILS", tmp_path / "setup.log")
    with pytest.raises(SystemExit) as ended:
        running._do((steps.MIGRATING, act), is_slow=True)
    assert ended.value.code == 1
    shown = capsys.readouterr()
    line = f"run: Bringing the database up to date failed: {why}. Details: {tmp_path}/setup.log"
    assert (shown.out, shown.err.splitlines()) == ("", ["Bringing the database up to date ...", line])
    details = (tmp_path / "setup.log").read_text()
    assert "what the step itself says" in details
    assert "Traceback" in details


@pytest.mark.django_db
@pytest.mark.parametrize("is_migrated", [True, False])
def test_only_a_database_that_has_all_migrations_is_prepared_before_the_checks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_migrated: bool
) -> None:
    if not is_migrated:
        [(app, newest)] = MigrationLoader(connection).graph.leaf_nodes("audit_app")
        MigrationRecorder(connection).record_unapplied(app, newest)
    ran: list[tuple[str, object]] = []
    monkeypatch.setattr(steps, "command", lambda name, *_, **options: ran.append((name, options.get("skip_checks"))))
    monkeypatch.setattr(running, "DETAILS", tmp_path / "setup.log")
    monkeypatch.setattr("django.core.management.call_command", lambda name: ran.append((name, None)))
    monkeypatch.setattr(connection, "close", lambda: None)
    monkeypatch.setattr(steps, "_collect", lambda: None)
    assert running._prepare_ahead(is_empty=False) is is_migrated
    assert bool(ran) is is_migrated
    assert "migrate" not in dict(ran), "a migration that finds nothing takes a fifth of a second"


def test_the_details_of_a_command_that_fails_have_its_output(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(name: str, *, stdout: TextIO, **options: object) -> None:
        stdout.write(f"{name} got as far as this")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("django.core.management.call_command", call)
    monkeypatch.setattr(running, "DETAILS", tmp_path / "setup.log")
    with pytest.raises(SystemExit):
        running._do(steps.schedules())
    assert "got as far as this" not in "".join(capsys.readouterr())
    assert "sync_schedules got as far as this" in (tmp_path / "setup.log").read_text()


@pytest.mark.django_db
def test_the_mails_of_the_demo_world_do_not_push_the_passwords_off_the_screen(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: Any
) -> None:
    """They are in their files before the passwords are printed. A mail server gets its mails from the worker."""
    monkeypatch.setattr(running, "DETAILS", tmp_path / "setup.log")
    settings.BASE_URL, settings.EMAIL_FILE_PATH = "http://localhost:8000", str(tmp_path / "mail")
    cast.submitted()
    capsys.readouterr()
    settings.EMAIL_BACKEND = "requests_app.messages.mails.smtp.EmailBackend"
    running._do(steps.mails_to_files())
    assert OutboxMessage.objects.filter(state="waiting").exists()
    settings.EMAIL_BACKEND = MAIL_FILES
    running._do(steps.mails_to_files())
    assert not OutboxMessage.objects.filter(state="waiting").exists()
    assert list((tmp_path / "mail").glob("*.eml"))
    assert "Mail to" not in "".join(capsys.readouterr())


def test_the_name_that_was_asked_for_is_stored_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The answer to a wrong name is the same as that of `customer-lockbox init`, and the question comes again."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "empty"))
    answers = ["'quoted'", "Müller  & Söhne #1"]
    monkeypatch.setattr(builtins, "input", lambda _words: answers.pop(0))
    running._store_name("x" * 121)
    assert environment_file.read(tmp_path / "empty" / ".env") == {"PROVIDER_NAME": "Müller & Söhne #1"}
    assert answers == []


def test_a_name_that_is_wrong_at_the_end_of_the_input_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(_words: str) -> str:
        raise EOFError

    monkeypatch.setenv("DATA_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(builtins, "input", end)
    with pytest.raises(SystemExit) as ended:
        running._store_name("$HOME")
    assert ended.value.code == 1
    assert "can't begin with $" in capsys.readouterr().err
    assert not (tmp_path / "empty").exists()
