"""An installation with signed logs, one backup of it, and empty places to restore into."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pyrage
import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from pytest_django.plugin import DjangoDbBlocker

from audit_app import checkpoints, keys, log_name, queries, recorder
from bench.entries import entry
from bench.storm.postgres import _programs
from lockbox_site.backup import making, passphrase, restoring, schema, sealing
from lockbox_site.backup.making import Made
from lockbox_site.installing import environment_file
from requests_app import operations
from requests_app.domain import clock
from tests import ground

IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())


#: Two logs.
LONG, SHORT = UUID(int=700), UUID(int=3)


@dataclass
class Place:
    """A data directory with its database. The database may not be there yet."""

    data: Path
    database: str

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside the block, the settings and the connection of this process lead to this place."""
        before = dict(os.environ)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(settings, "DATA_DIR", self.data)
            # Django would lead the logs of this process into the output of one test, which is closed afterwards.
            patch.setattr("django.utils.log.configure_logging", lambda *_words: None)
            patch.setattr(settings, "LOG_HEADS_FILE", self.data / "log_heads.sqlite3")
            patch.setattr(settings, "LOG_KEY_FILE", self.data / "log_key")
            patch.setattr(settings, "CONTENT_ROOT", self.data / "content")
            patch.setitem(settings.DATABASES["default"], "NAME", self.database)
            other = connections.create_connection("default")
            other.settings_dict = {**connection.settings_dict, "NAME": self.database}
            mine = connections["default"]
            connections["default"] = other
            log_name.forget()
            os.environ.update(environment_file.read(self.data / ".env"))
            try:
                yield
            finally:
                other.close()
                connections["default"] = mine
                log_name.forget()
                os.environ.clear()
                os.environ.update(before)

    @property
    def is_empty(self) -> bool:
        """Whether there is no table. Files of drafts do not count here; `leftovers` lists them."""
        if connection.vendor == "sqlite":
            return not Path(self.database).exists()
        with self.used():
            return connection.introspection.table_names() == []

    @property
    def files(self) -> set[str]:
        """The names of the files in the data directory, without SQLite's own."""
        names = {path.name for path in self.data.iterdir()}
        return {name for name in names if not name.endswith(("-wal", "-shm", "-turn", ".lock"))}

    def sizes(self) -> dict[UUID, int]:
        with self.used():
            return {log: queries.size(log) for log in queries.logs()}


@contextmanager
def new_place(directory: Path, *, has_cast: bool = False) -> Iterator[Place]:
    directory.mkdir()
    if connection.vendor == "sqlite":
        place = Place(directory, str(directory / "lockbox.sqlite3"))
        if has_cast:
            shutil.copy(ground._sqlite_with_cast(), place.database)
            with closing(sqlite3.connect(place.database)) as file:
                file.execute("PRAGMA journal_mode=WAL")
        yield place
        return
    name = f"test_backup_{uuid.uuid4().hex[:12]}"
    with ground.one_at_a_time(), ground._creation()._nodb_cursor() as cursor:
        of = f' TEMPLATE "{ground._template(cursor, has_cast=True)}"' if has_cast else ""
        cursor.execute(f'CREATE DATABASE "{name}"{of}')
    try:
        yield Place(directory, name)
    finally:
        with ground._creation()._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(autouse=True)
def _database_is_open(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Allow the database, because these tests use databases of their own."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module", autouse=True)
def _cheap() -> Iterator[None]:
    """Make scrypt cheap, and copy the schema in place of the migrations. test_processes.py runs the migrations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passphrase, "WORK", 10)
        patch.setattr(schema, "make", _copy_schema if connection.vendor == "sqlite" else _copy_postgresql)
        yield


def _copy_postgresql(wrapper: Any, _wanted: Any) -> None:
    name = ground._laid[False]
    wrapper.ensure_connection()
    wrapper.connection.execute(_dumped(name))
    with psycopg.connect(ground.database_url(name=name)) as other:
        applied = other.execute("SELECT app, name, applied FROM django_migrations").fetchall()
    wrapper.connection.cursor().executemany(
        "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", applied
    )


@cache
def _dumped(name: str) -> str:
    """Return the statements that make the schema of a database, in the schema that is in use."""
    with tempfile.TemporaryDirectory() as scratch:
        program = _programs().programs(Path(scratch), None) / "pg_dump"
        command = [program, "--schema-only", "--no-owner", "--no-privileges", ground.database_url(name=name)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Without psql's own commands, and without settings that other statements of the session don't expect.
    lines = [line for line in found.splitlines() if not line.startswith(("\\", "SET ", "SELECT pg_catalog.set_config"))]
    return "\n".join(lines).replace("public.", "")


def _copy_schema(wrapper: Any, _wanted: Any) -> None:
    wrapper.ensure_connection()
    with closing(sqlite3.connect(ground.sqlite())) as file:
        made = file.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        applied = file.execute("SELECT app, name, applied FROM django_migrations").fetchall()
    wrapper.connection.executescript(";\n".join(sql for (sql,) in made))
    wrapper.connection.cursor().executemany(
        "INSERT INTO django_migrations (app, name, applied) VALUES (?, ?, ?)", applied
    )


@pytest.fixture(scope="module")
def source(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Place]:
    """The cast's installation, with signed logs."""
    with django_db_blocker.unblock(), new_place(tmp_path_factory.mktemp("source") / "data", has_cast=True) as place:
        with place.used():
            keys.create()
            (place.data / ".env").write_text(settings_of(place, tmp_path_factory.mktemp("secrets")))
            (place.data / ".env").chmod(0o600)
        with place.used():
            append(LONG, *range(700))
            append(SHORT, *range(3))
            for log in queries.logs():
                checkpoints.sign(log, at=clock.now())
        yield place


def settings_of(place: Place, secrets: Path) -> str:
    """Return settings as `init` writes them, with absolute paths, and with secrets in files of another directory."""
    (secrets / "metrics_token").write_text("metrics-token-of-the-source\n")
    (secrets / "sp.pem").write_text("-----BEGIN PRIVATE KEY-----\nof the service provider\n")
    lines = [
        "SECRET_KEY=of-the-source-of-the-source-of-the-source",
        "PROVIDER_NAME='Litware Inc'",
        f"LOG_HEADS_FILE={place.data}/log_heads.sqlite3",
        f"METRICS_TOKEN_FILE={secrets}/metrics_token",
        f"SSO_SAML_KEYS={secrets}/sp.pem",
    ]
    if connection.vendor == "sqlite":
        lines.append(f"DATABASE_URL=sqlite:///{place.database}")
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture(scope="module")
def backup(source: Place, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Made:
    """One backup of the source, which no test may change."""
    with django_db_blocker.unblock(), source.used():
        return making.make(tmp_path_factory.mktemp("backups"), sealing.readers([RECIPIENT], None), at=clock.now())


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "key"
    path.write_text(f"# a comment\n{IDENTITY}\n")
    return path


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Place]:
    with new_place(tmp_path / "restored") as place:
        yield place


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stand in for the operation that closes windows and asks for confirmations. Return its calls."""
    calls: list[dict[str, Any]] = []

    def record(*, backup_id: UUID, taken_at: dt.datetime, at: dt.datetime) -> None:
        calls.append({"backup_id": backup_id, "taken_at": taken_at, "at": at, "logs": len(queries.logs())})

    monkeypatch.setattr(operations, "restored", record, raising=False)
    return calls


def append(log: UUID, *numbers: int) -> None:
    with transaction.atomic():
        recorder.record([entry(log, number) for number in numbers], at=clock.now())


def restore(place: Place, file: Path, identity: Path, *words: str) -> int:
    """Run the command, as `customer-lockbox restore` does."""
    with place.used():
        return restoring.run([str(file), "--identity", str(identity), *words], data=place.data, program="lockbox")
