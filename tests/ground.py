"""The ground that tests stand on: a database in which nothing has happened, made once in a run and copied.

The migrations take seconds, and each process of a run, and each copy of the product, would go through all of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

#: Names one run to all of its processes; xdist sets it.
RUN = "PYTEST_XDIST_TESTRUNUID"


def _run() -> str:
    return os.environ.get(RUN) or str(os.getpid())


def place(run: str = "") -> Path:
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()  # noqa: S108 - private, below
    return Path(parent) / f"lockbox-ground-{run or _run()}"


def clear(run: str = "") -> None:
    shutil.rmtree(place(run), ignore_errors=True)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Of all processes of this run."""
    place().mkdir(mode=0o700, exist_ok=True)
    with (place() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _migrate(url: str) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    own = {"DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "DATABASE_URL": url, "DATA_DIR": str(place() / "data")}
    command = [sys.executable, "manage.py", "migrate", "--noinput"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=kept | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


#: What a migrated, empty database is made from.
SOURCES = ("*/migrations/*.py", "*/models.py", "*/models/*.py", "*/apps.py", "lockbox_site/*.py", "requirements.txt")


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(settings.BASE_DIR.glob(pattern)):
            digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def sqlite() -> Path:
    """The file of a database in which nothing has happened; to be copied, and left alone.

    It stays for later runs in the same clone, until a migration or a model changes.
    """
    kept = settings.BASE_DIR / "var" / "test-ground"
    made = kept / f"{_sources_digest()}.sqlite3"
    with one_at_a_time():
        if not made.exists():
            half = place() / "half.sqlite3"
            _migrate(f"sqlite:///{half}")
            with contextlib.closing(sqlite3.connect(half)) as plain:
                plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            kept.mkdir(parents=True, exist_ok=True)
            for outdated in set(kept.iterdir()) - {made}:
                outdated.unlink(missing_ok=True)
            # The copy gets its name when it is whole: another run may be looking.
            shutil.copy(half, unfinished := made.with_suffix(f".{os.getpid()}"))
            unfinished.rename(made)
    return made


def _creation() -> Any:
    """What Django's own test runner makes its databases with."""
    return connection.creation


def lay() -> None:
    """Give this process a database of its own, and have Django's connection lead there."""
    name = _creation()._get_test_db_name()
    connection.close()
    if connection.vendor == "sqlite":
        shutil.copy(sqlite(), name)
    else:
        _copy_on_the_server(name)
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name


def _require_the_documented_role() -> None:
    """Refuse a role that row-level security does not hold back: what fails in production would pass here."""
    with _creation()._nodb_cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (False,):
            pytest.exit("DATABASE_URL must name a role with NOSUPERUSER NOBYPASSRLS CREATEDB (docs/operators.md).", 2)


def _copy_on_the_server(name: str) -> None:
    _require_the_documented_role()
    template = f"lockbox_ground_{_run()[:16]}"
    with one_at_a_time(), _creation()._nodb_cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [template])
        if cursor.fetchone() is None:
            half = f"{template}_half"
            cursor.execute(f'CREATE DATABASE "{half}"')
            _migrate(database_url(name=half))
            cursor.execute(f'ALTER DATABASE "{half}" RENAME TO "{template}"')
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def take_up() -> None:
    """Drop it again. The last one to do so drops what it was copied from, too."""
    name = str(connection.settings_dict["NAME"])
    connection.close()
    if connection.vendor == "sqlite":
        Path(name).unlink(missing_ok=True)
        return
    with one_at_a_time(), _creation()._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute("SELECT datname FROM pg_database WHERE datname ~ '^test_'")
        if cursor.fetchone() is None:
            cursor.execute(f'DROP DATABASE IF EXISTS "lockbox_ground_{_run()[:16]}"')


def database_url(**instead: object) -> str:
    """The test's own database, as a child process is told of it."""
    parts = connection.settings_dict | {name.upper(): value for name, value in instead.items()}
    if connection.vendor == "sqlite":
        return f"sqlite:///{parts['NAME']}"
    login = quote(str(parts["USER"])) + (f":{quote(parts['PASSWORD'])}" if parts["PASSWORD"] else "")
    return f"postgres://{login}@{quote(str(parts['HOST']), safe='')}:{parts['PORT'] or 5432}/{parts['NAME']}"
