"""The databases of the tests: an empty one, and one with the cast. Each is made once in a run, and then copied.

The migrations take seconds, and the cast takes a dozen statements. Each process has copies of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection, transaction

#: The id of this run. Its processes are forked from one process, so all have the same.
RUN = uuid.uuid4().hex
#: The names of this process's databases: the empty one, and the one with the cast.
_laid: dict[bool, str] = {}
_wants_cast = False


def place() -> Path:
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()  # noqa: S108 - private, below
    return Path(parent) / f"lockbox-ground-{RUN}"


def clear() -> None:
    shutil.rmtree(place(), ignore_errors=True)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold a lock during the block, so that only one process of this run is in the block at a time."""
    place().mkdir(mode=0o700, exist_ok=True)
    with (place() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _migrate(url: str) -> None:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    overrides = {
        "DJANGO_SETTINGS_MODULE": "lockbox_site.settings",
        "DATABASE_URL": url,
        "DATA_DIR": str(place() / "data"),
    }
    # The checks load all pages. What they find, the tests of the checks find, too.
    command = [sys.executable, "manage.py", "migrate", "--noinput", "--skip-checks"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=inherited | overrides, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


#: The files that determine a migrated, empty database.
SOURCES = ("*/migrations/*.py", "*/models.py", "*/models/*.py", "*/apps.py", "lockbox_site/*.py", "requirements.txt")


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(settings.BASE_DIR.glob(pattern)):
            digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def sqlite() -> Path:
    """Return the file of an empty database, which is only to be copied.

    It is made again when a migration or a model changes. Until then, all runs in the same clone use it.
    """
    stored = settings.BASE_DIR / "var" / "test-ground"
    made = stored / f"{_sources_digest()}.sqlite3"
    with one_at_a_time():
        if not made.exists():
            half = place() / "half.sqlite3"
            _migrate(f"sqlite:///{half}")
            with contextlib.closing(sqlite3.connect(half)) as plain:
                plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            stored.mkdir(parents=True, exist_ok=True)
            for outdated in set(stored.iterdir()) - {made}:
                outdated.unlink(missing_ok=True)
            # Only a complete file gets this name, because another run may look for it at any time.
            shutil.copy(half, unfinished := made.with_suffix(f".{os.getpid()}"))
            unfinished.rename(made)
    return made


def _creation() -> Any:
    """Return the object with which Django's test runner creates databases."""
    return connection.creation


def lay() -> None:
    """Make this process's databases, and connect to the one that the first test needs."""
    name = _creation()._get_test_db_name()
    connection.close()
    if connection.vendor == "postgresql":
        _require_the_documented_role()
    for has_cast in (False, True):
        _laid[has_cast] = _copied(name, has_cast=has_cast)
    use_cast(_wants_cast)


def use_cast(has_cast: bool) -> None:
    """Choose the database of the next test, with or without the cast. Call it before the test's transaction begins."""
    global _wants_cast
    _wants_cast = has_cast
    if has_cast in _laid and connection.settings_dict["NAME"] != _laid[has_cast]:
        connection.close()
        _connect_to(_laid[has_cast])


def has_cast() -> bool:
    """Return whether the database that is connected now contains the cast."""
    return bool(_laid) and connection.settings_dict["NAME"] == _laid[True]


def _connect_to(name: str) -> None:
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name


def _gather_in(name: str) -> None:
    """Write the cast into a database that no other process uses."""
    from tests.cast import gather

    _connect_to(name)
    gather()
    connection.close()


def _copied(name: str, *, has_cast: bool) -> str:
    if connection.vendor == "sqlite":
        path = name.replace(".sqlite3", "-cast.sqlite3") if has_cast else name
        shutil.copy(_sqlite_with_cast() if has_cast else sqlite(), path)
        return path
    name = f"{name}_cast" if has_cast else name
    with one_at_a_time(), _creation()._nodb_cursor() as cursor:
        template = _template(cursor, has_cast=has_cast)
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return name


def _sqlite_with_cast() -> Path:
    empty, made = sqlite(), place() / "cast.sqlite3"
    with one_at_a_time():
        if not made.exists():
            half = place() / "cast-half.sqlite3"
            shutil.copy(empty, half)
            _gather_in(str(half))
            half.rename(made)
    return made


def _template(cursor: Any, *, has_cast: bool) -> str:
    """Return the name of the database to copy. In each run, the first process that calls this creates the database."""
    template = f"lockbox_{'cast' if has_cast else 'ground'}_{RUN[:16]}"
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [template])
    if cursor.fetchone() is None:
        half = f"{template}_half"
        if has_cast:
            cursor.execute(f'CREATE DATABASE "{half}" TEMPLATE "{_template(cursor, has_cast=False)}"')
            _gather_in(half)
        else:
            cursor.execute(f'CREATE DATABASE "{half}"')
            _migrate(database_url(name=half))
        cursor.execute(f'ALTER DATABASE "{half}" RENAME TO "{template}"')
    return template


def _require_the_documented_role() -> None:
    """Stop the run if the database's role bypasses row-level security.

    With such a role, the tests would not find faults that production has.
    """
    with _creation()._nodb_cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (False,):
            pytest.exit("DATABASE_URL must name a role with NOSUPERUSER NOBYPASSRLS CREATEDB (docs/operators.md).", 2)


#: Django creates these rows after each migration. They are the same for every test.
_STAYS = {"django_content_type", "auth_permission", "django_migrations"}


def empty() -> None:
    """Delete all rows after a test with real transactions.

    The triggers forbid this for audit entries, so they are switched off meanwhile.
    """
    connection.ensure_connection()
    deletions = [f'DELETE FROM "{table}"' for table in _tables()]
    aside = {"sqlite": _sqlite_triggers_aside, "postgresql": _postgresql_triggers_aside}[connection.vendor]
    with transaction.atomic(), connection.cursor() as cursor, aside(cursor):
        # With one statement, PostgreSQL needs a fifth of the time.
        for statement in [";".join(deletions)] if connection.vendor == "postgresql" else deletions:
            cursor.execute(statement)


@functools.cache
def _tables() -> list[str]:
    # The shared cache counts failed sign-ins. Its table has no model, so Django does not list it.
    return sorted({*connection.introspection.django_table_names(only_existing=True), "lockbox_cache"} - _STAYS)


@contextlib.contextmanager
def _sqlite_triggers_aside(cursor: Any) -> Iterator[None]:
    cursor.execute("PRAGMA defer_foreign_keys = ON")
    cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    triggers = cursor.fetchall()
    for name, _sql in triggers:
        cursor.execute(f'DROP TRIGGER "{name}"')
    yield
    for _name, sql in triggers:
        # Pass no parameters. With parameters, a percent sign in the trigger's text would be taken for a placeholder.
        cursor.execute(sql)


@contextlib.contextmanager
def _postgresql_triggers_aside(cursor: Any) -> Iterator[None]:
    """Inside the block, switch off all triggers.

    Foreign keys are then not checked, so the order of tables does not matter.
    """
    cursor.execute("SET LOCAL session_replication_role = replica")
    yield


def take_up() -> None:
    """Drop this process's databases. The last process also drops the databases that were copied.

    A server that bin/_with_postgres.py started is deleted as a whole, so nothing is dropped on it: this takes seconds.
    """
    connection.close()
    if "SERVER_ENDS_WITH_TESTS" in os.environ:
        return
    if connection.vendor == "sqlite":
        for name in _laid.values():
            Path(name).unlink(missing_ok=True)
        return
    with one_at_a_time(), _creation()._nodb_cursor() as cursor:
        for name in _laid.values():
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute("SELECT datname FROM pg_database WHERE datname ~ '^test_'")
        if cursor.fetchone() is None:
            for kind in ("ground", "cast"):
                cursor.execute(f'DROP DATABASE IF EXISTS "lockbox_{kind}_{RUN[:16]}"')


def database_url(**instead: object) -> str:
    """Return the URL of the test's database, for a child process. `instead` replaces parts of it."""
    parts = connection.settings_dict | {name.upper(): value for name, value in instead.items()}
    if connection.vendor == "sqlite":
        return f"sqlite:///{parts['NAME']}"
    login = quote(str(parts["USER"])) + (f":{quote(parts['PASSWORD'])}" if parts["PASSWORD"] else "")
    return f"postgres://{login}@{quote(str(parts['HOST']), safe='')}:{parts['PORT'] or 5432}/{parts['NAME']}"
