"""Loads a backup into an empty place: a new SQLite file, or an empty schema of PostgreSQL, in one transaction.

Until the last step succeeds, nothing of it is usable. If the process is killed, PostgreSQL rolls back, and a SQLite
file without its name is left, which the next restore removes.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from django.db import DatabaseError, connections, transaction

from audit_app import log_name, queries
from audit_app.durable import sync
from audit_app.verify import verify
from lockbox_site.backup import BackupRefused, contents, schema, tables
from lockbox_site.backup.contents import Contents, Header
from lockbox_site.backup.sealing import Opener
from requests_app.platform.database import bounds

#: A function that is called with what was read, when all rows are there and before anything is committed.
Finish = Callable[[Contents], None]
#: What the rows of a backup can raise if another program has written them.
_BAD_ROWS = (ValueError, KeyError, TypeError, OverflowError, RecursionError, sqlite3.Error, psycopg.DataError)
_DRAFT = re.compile(r"\..+\.(?:restore|verify)-(\d+)-[0-9a-f]{8}(?:-[a-z]+)?")


def into_sqlite(path: Path, backup: Path, key: Opener, finish: Finish) -> Contents:
    """Load a backup into a new SQLite file. It gets its name after `finish`."""
    with _sqlite_draft(path, "restore") as (draft, wrapper):
        found = _load(wrapper, backup, key, finish)
        wrapper.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        wrapper.close()
        sync(draft)
        # What a killed process left beside a database that is gone. SQLite would read it as a part of the new one.
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        try:
            os.link(draft, path)
        except FileExistsError:
            raise BackupRefused(f"{path} exists already. Nothing was changed.") from None
    sync(path.parent)
    return found


def into_postgresql(backup: Path, key: Opener, finish: Finish) -> Contents:
    """Load a backup into the empty schema of PostgreSQL, in one transaction."""
    with _swapped(connections.create_connection("default")) as wrapper, transaction.atomic():
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('lockbox restore'))")
        require_empty(wrapper)
        return _load(wrapper, backup, key, finish)


def into_nothing(backup: Path, key: Opener, finish: Finish, *, beside: Path) -> Contents:
    """Load a backup into a scratch place, which is removed afterwards, to check it.

    On PostgreSQL, this is a schema of the same database, in a transaction that is rolled back. On SQLite, it is a file
    beside the database, which has the same rows.
    """
    if tables.vendor() == "sqlite":
        with _sqlite_draft(beside, "verify") as (_draft, wrapper):
            return _load(wrapper, backup, key, finish)
    with _swapped(connections.create_connection("default")) as wrapper, transaction.atomic():
        name = f"lockbox_verify_{uuid4().hex[:12]}"
        with wrapper.cursor() as cursor:
            try:
                cursor.execute(f"CREATE SCHEMA {name}")
            except DatabaseError:
                raise BackupRefused(
                    "The backup was written, but it can't be checked here, because the database role may not make a "
                    "schema. Make the role the owner of the database."
                ) from None
            cursor.execute(f"SET LOCAL search_path TO {name}")
        found = _load(wrapper, backup, key, finish)
        transaction.set_rollback(True)
        return found


def require_empty(wrapper: Any) -> None:
    if wrapper.introspection.table_names():
        raise BackupRefused(
            "The database is not empty, so nothing was changed. Make an empty database, and name it in DATABASE_URL."
        )


def _load(wrapper: Any, backup: Path, key: Opener, finish: Finish) -> Contents:
    write = tables.write_sqlite if wrapper.vendor == "sqlite" else tables.write_postgresql
    columns: dict[str, list[str]] = {}

    def begin(header: Header) -> None:
        if header.database != wrapper.vendor:
            raise BackupRefused(
                f"This is a backup of {header.database}. It can't be restored into {wrapper.vendor}: correct "
                "DATABASE_URL."
            )
        schema.make(wrapper, schema.targets(header))
        schema.require_fits(wrapper, header)
        columns.update(header.columns)
        schema.empty(wrapper, columns)
        _open_for_rows(wrapper)

    def take(table: str, part: bytes) -> None:
        try:
            write(wrapper, table, columns[table], part)
        except _BAD_ROWS:
            raise BackupRefused(f"The rows of {table} in this backup can't be read, so nothing was changed.") from None

    log_name.forget()
    found = contents.read(backup, key, take, begin=begin)
    if not columns:
        raise BackupRefused("This backup has no rows.")
    _close_rows(wrapper, found)
    schema.upgrade(wrapper)
    require_good_logs()
    finish(found)
    return found


def require_good_logs() -> None:
    """Raise BackupRefused unless every log passes the check of `verify_audit`: entries, hashes and signatures."""
    for tenant_id in queries.logs():
        if flaw := verify(tenant_id).flaw:
            raise BackupRefused(f"The log in this backup is bad, so nothing was changed: {flaw}.")


# --- Rows ------------------------------------------------------------------------------------------------


def _open_for_rows(wrapper: Any) -> None:
    if wrapper.vendor == "sqlite":
        wrapper.connection.execute("PRAGMA foreign_keys=OFF")
        wrapper.connection.execute("BEGIN")
        return
    with wrapper.cursor() as cursor:
        tables.plain(wrapper.connection)
        # COPY writes to no table that hides rows from its owner. This ends with the transaction, or in _close_rows.
        for table in _forced(cursor):
            cursor.execute(f"ALTER TABLE {tables.quoted(table)} NO FORCE ROW LEVEL SECURITY")


def _close_rows(wrapper: Any, found: Contents) -> None:
    if wrapper.vendor == "sqlite":
        raw = wrapper.connection
        known = dict(raw.execute("SELECT name, seq FROM sqlite_sequence"))
        for name, value in found.sequences.items():
            if name in known:
                raw.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (value, name))
            elif name in found.header.columns:
                raw.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, value))
        raw.execute("COMMIT")
        if broken := raw.execute("PRAGMA foreign_key_check").fetchone():
            raise BackupRefused(f"A row of {broken[0]} in this backup points to a row that is missing.")
        raw.execute("PRAGMA foreign_keys=ON")
        return
    with wrapper.cursor() as cursor:
        try:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except DatabaseError:
            raise BackupRefused("A row in this backup points to a row that is missing.") from None
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for table in _forced(cursor, is_forced=False):
            cursor.execute(f"ALTER TABLE {tables.quoted(table)} FORCE ROW LEVEL SECURITY")
        cursor.execute("SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema()")
        for (name,) in cursor.fetchall():
            if name in found.sequences:
                cursor.execute("SELECT setval(%s::regclass, %s)", [tables.quoted(name), found.sequences[name]])


def _forced(cursor: Any, *, is_forced: bool = True) -> list[str]:
    """Return the tables with row-level security that is (or, during the load, is not) applied to their owner too.

    Every table of this product with row-level security applies it to the owner.
    """
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        " AND relrowsecurity AND relforcerowsecurity = %s",
        [is_forced],
    )
    return [name for (name,) in cursor.fetchall()]


# --- The place -------------------------------------------------------------------------------------------


@contextmanager
def _swapped(wrapper: Any) -> Iterator[Any]:
    """Make this the database of the process inside the block, so that all code reads and writes it."""
    before = connections["default"]
    connections["default"] = wrapper
    try:
        with bounds.within(bounds.MIGRATION):
            yield wrapper
    finally:
        wrapper.close()
        connections["default"] = before
        log_name.forget()


@contextmanager
def _sqlite_draft(path: Path, purpose: str) -> Iterator[tuple[Path, Any]]:
    """Yield an empty file beside `path`, and the connection to it. The file is removed at the end."""
    remove_drafts(path.parent)
    draft = path.with_name(f".{path.name}.{purpose}-{os.getpid()}-{uuid4().hex[:8]}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    wrapper: Any = connections.create_connection("default")
    wrapper.settings_dict = {**wrapper.settings_dict, "NAME": str(draft)}
    try:
        with _swapped(wrapper):
            # The file is synced once, at the end. Until then, a crash of the machine loses nothing that anybody uses.
            wrapper.ensure_connection()
            wrapper.connection.execute("PRAGMA synchronous=OFF")
            yield draft, wrapper
    finally:
        for each in draft.parent.glob(f"{draft.name}*"):
            each.unlink(missing_ok=True)


def remove_drafts(directory: Path) -> None:
    """Remove the files of restores and checks that were killed."""
    for path in directory.iterdir():
        made = _DRAFT.fullmatch(path.name)
        if made is not None and not Path("/proc", made[1]).exists():
            path.unlink(missing_ok=True)
