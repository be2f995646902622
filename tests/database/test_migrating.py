"""`migrate` is safe while the product runs: nobody waits for it for long, it takes turns, and survives being killed."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from django.test import Client as Browser
from django.urls import reverse

from requests_app.management.commands import migrate
from requests_app.platform.database import bounds, turns
from requests_app.platform.database.alone import alone
from tests import ground
from tests.cast import PASSWORD, Cast
from tests.database import test_upgrade
from tests.site.test_settings import bare
from tests.sources import ROOT

#: An app whose only migration changes a table of the product.
MIGRATION = """
from django.db import migrations

class Migration(migrations.Migration):
    operations = [
        migrations.RunSQL(
            "ALTER TABLE requests_app_mute ADD COLUMN grown integer NULL",
            "ALTER TABLE requests_app_mute DROP COLUMN grown",
        ),
        # As if all rows of a large table were read.
        migrations.RunSQL("SELECT pg_sleep(0.5)", migrations.RunSQL.noop),
    ]
"""
#: The same in a transaction of its own, as in a migration that changes many tables one after the other.
IN_PARTS = """
from django.db import migrations
from django.db.transaction import atomic

def _add(apps, schema_editor):
    with atomic(schema_editor.connection.alias):
        schema_editor.execute("ALTER TABLE requests_app_mute ADD COLUMN grown integer NULL")

def _drop(apps, schema_editor):
    schema_editor.execute("ALTER TABLE requests_app_mute DROP COLUMN grown")

class Migration(migrations.Migration):
    atomic = False
    operations = [migrations.RunPython(_add, _drop)]
"""


@pytest.fixture
def grown(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[None]:
    place = tmp_path / "grown" / "migrations"
    place.mkdir(parents=True)
    (place.parent / "__init__.py").write_text("")
    (place / "__init__.py").write_text("")
    (place / "0001_column.py").write_text(getattr(request, "param", MIGRATION))
    monkeypatch.syspath_prepend(tmp_path)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "grown"]
    yield
    call_command("migrate", "grown", "zero", verbosity=0)
    for name in [name for name in sys.modules if name.partition(".")[0] == "grown"]:
        del sys.modules[name]


def _elsewhere() -> psycopg.Connection[Any]:
    return psycopg.connect(ground.database_url().replace("postgres://", "postgresql://"))


def _end_connections() -> None:
    """End the other connections to this database. A thread of an earlier test keeps its connection while it is idle."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
        )


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("grown", [MIGRATION, IN_PARTS], ids=["one transaction", "parts"], indirect=True)
def test_a_migration_that_waits_for_a_table_stops_nobody_and_is_tried_again(
    grown: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LIMITS", (0.3, 1.5))
    monkeypatch.setattr(migrate, "PAUSES", (0.3,))
    output = io.StringIO()
    waits: list[float] = []
    with _elsewhere() as reading, _elsewhere() as other:
        reading.execute("SELECT count(*) FROM requests_app_mute")  # the lock lasts until the end of the transaction

        def read_beside() -> None:
            while "tried again" not in output.getvalue() or len(waits) < 10:
                begun = time.monotonic()
                other.execute("SELECT count(*) FROM requests_app_mute")
                other.rollback()
                waits.append(time.monotonic() - begun)
            reading.rollback()

        beside = threading.Thread(target=read_beside)
        beside.start()
        call_command("migrate", "grown", verbosity=0, stderr=output)
        beside.join()
    assert "A table is in use, or" in output.getvalue()
    assert max(waits) < 1.5
    with connection.cursor() as cursor:
        cursor.execute("SELECT grown FROM requests_app_mute")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_after_many_attempts_the_command_says_what_to_do_and_nothing_has_changed(
    grown: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LIMITS": (0.05,), "PAUSES": (0.01,), "ATTEMPTS": 2}.items():
        monkeypatch.setattr(migrate, name, value)
    with _elsewhere() as reading:
        reading.execute("SELECT count(*) FROM requests_app_mute")
        with pytest.raises(CommandError, match="in use at 2 attempts. The last migration has changed nothing"):
            call_command("migrate", "grown", verbosity=0, stderr=io.StringIO())
    assert test_upgrade._plan() == ["0001_column"]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_migration_that_keeps_a_table_for_long_is_undone_while_others_are_connected(
    grown: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LIMITS": (0.1,), "PAUSES": (0.01,), "SLOW_ATTEMPTS": 2}.items():
        monkeypatch.setattr(migrate, name, value)
    with _elsewhere() as other:
        with pytest.raises(CommandError, match=r"too long at 2 attempts.*Stop all parts"):
            call_command("migrate", "grown", verbosity=0, stderr=io.StringIO())
        assert other.execute("SELECT * FROM requests_app_mute").description is not None
    assert test_upgrade._plan() == ["0001_column"]
    _end_connections()
    # Nobody else is connected, so it may take as long as it needs.
    call_command("migrate", "grown", verbosity=0)
    assert test_upgrade._plan() == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_nobody_waits_while_the_statements_of_a_migration_are_still_computed() -> None:
    """Django's own editor would lock the table at the first statement, and keep it until the end."""
    with _elsewhere() as other, transaction.atomic():
        other.execute("SET lock_timeout = '0.5s'")
        other.commit()
        with connection.schema_editor() as editor:
            editor.execute("ALTER TABLE requests_app_mute ADD COLUMN grown integer")
            other.execute("SELECT count(*) FROM requests_app_mute")
            other.rollback()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT count(*) FROM requests_app_mute")
        transaction.set_rollback(True)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_statement_at_the_end_that_fails_undoes_all_and_leaves_no_transaction_open() -> None:
    def change() -> None:
        with connection.schema_editor() as editor:
            editor.execute("ALTER TABLE requests_app_mute ADD COLUMN grown integer")
            editor.deferred_sql.append("ALTER TABLE nowhere ADD COLUMN grown integer")

    with pytest.raises(ProgrammingError, match="nowhere"):
        change()
    assert not connection.in_atomic_block
    with connection.cursor() as cursor, pytest.raises(ProgrammingError, match="grown"):
        cursor.execute("SELECT grown FROM requests_app_mute")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_somebody_who_signs_in_while_a_migration_keeps_a_table_waits_and_is_let_in(cast: Cast, as_web: None) -> None:
    """The table is locked for as long as `migrate` ever keeps it."""
    browser, longest = Browser(), max(migrate.LIMITS)
    with _elsewhere() as migrating:
        for table in ("person", "signon", "mute"):
            migrating.execute(f"LOCK TABLE requests_app_{table} IN ACCESS EXCLUSIVE MODE")
        threading.Timer(longest, migrating.rollback).start()
        begun = time.monotonic()
        answer = browser.post(reverse("account_login"), {"login": cast.ada.email, "password": PASSWORD})
        assert time.monotonic() - begun > longest * 0.9
    assert answer.status_code == 302
    # PostgreSQL ends an automatic vacuum of the table after one second. Except for this, no lock counts as stuck.
    assert 1 < longest * 0.9 < bounds.ACT_SECONDS_OF_SERVER
    assert [each for each in migrate.LIMITS if each >= turns.STUCK_AFTER] == [longest]


@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_a_second_migrate_waits_for_the_first_and_reports_it() -> None:
    first_has_it, output = threading.Event(), io.StringIO()
    ended: list[str] = []

    def first() -> None:
        with alone(connection, when_waiting=lambda: None, seconds=0):
            first_has_it.set()
            while not output.getvalue():
                time.sleep(0.01)
            ended.append("first")
        connection.close()

    other = threading.Thread(target=first)
    other.start()
    assert first_has_it.wait(10)
    call_command("migrate", verbosity=0, stderr=output)
    assert (ended, output.getvalue()) == (
        ["first"],
        "Another process migrates this database. This one waits until that one has ended.\n",
    )
    other.join()


@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_a_second_migrate_does_not_wait_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "TURN_SECONDS", 0.0)
    has_it, is_over = threading.Event(), threading.Event()

    def first() -> None:
        with alone(connection, when_waiting=lambda: None, seconds=0):
            has_it.set()
            is_over.wait(10)
        connection.close()

    other = threading.Thread(target=first)
    other.start()
    assert has_it.wait(10)
    with pytest.raises(CommandError, match="Another process has been migrating this database for 0 minutes"):
        call_command("migrate", verbosity=0, stderr=io.StringIO())
    is_over.set()
    other.join()


# --- Processes -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _old_database(place: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a process that works on a copy of the old database."""
    with test_upgrade._LOADED[connection.vendor](place) as name:
        yield bare(place, DATABASE_URL=ground.database_url(name=name))


def _migrating(env: dict[str, str]) -> subprocess.Popen[str]:
    words = [sys.executable, "manage.py", "migrate", "--noinput"]
    return subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.deep
@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_two_processes_that_migrate_at_once_both_succeed(tmp_path: Path) -> None:
    with _old_database(tmp_path) as env:
        both = [_migrating(env) for _ in range(2)]
        ended = [(*process.communicate(timeout=300), process.returncode) for process in both]
    assert [code for *_, code in ended] == [0, 0], ended
    assert sorted("No migrations to apply" in out for out, *_ in ended) == [False, True]


@pytest.mark.deep
@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_a_migration_that_is_killed_again_and_again_goes_on_where_it_was(tmp_path: Path) -> None:
    here = connection.settings_dict["NAME"]
    new = test_upgrade._shape()
    killed = 0
    with _old_database(tmp_path) as env:
        for tenths in range(20, 200, 4):
            process = _migrating(env)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=tenths / 10)
                break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
        assert process.returncode == 0, process.communicate()
        connection.close()
        name = env["DATABASE_URL"].rpartition("/")[2]
        ground._connect_to(name if connection.vendor == "postgresql" else str(tmp_path / "old.sqlite3"))
        try:
            left = set(test_upgrade.LEFT_OVER[connection.vendor])
            shape = {name: value for name, value in test_upgrade._shape().items() if name.partition(" ")[2] not in left}
            assert test_upgrade._differences(new, shape) == []
        finally:
            connection.close()
            ground._connect_to(here)
    assert killed > 2
