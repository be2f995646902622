"""Reads and writes the rows of all tables, for SQLite and PostgreSQL.

Rows are lines of text. Each database has its own form, which does not depend on the version of the server: JSON for
SQLite, and the text of COPY for PostgreSQL. The schema is never part of a backup: the migrations make it.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol
from urllib.parse import quote

import psycopg
from django.db import connections

from lockbox_site.backup import BackupRefused
from lockbox_site.backup.archive import PART
from requests_app.platform.database import bounds

#: Tables that are not in a backup: records of migrations (restoring makes its own), the search index of the logs (it is
#: made again from the entries), sessions, queued tasks and the cache. The last three contain pickles, which could run
#: code, and nothing in them must outlive a restore.
LEFT_OUT = frozenset(
    {
        *("django_migrations", "django_session", "usersessions_usersession", "lockbox_cache"),
        *("audit_app_indexedsegment", "audit_app_indexpart"),
        *("django_q_ormq", "django_q_schedule", "django_q_task"),
    }
)
_AT_ONCE = 500
#: One side of each policy of this product: a connection without a list of tenants sees all rows.
_SEES_ALL = re.compile(r"coalesce\(current_setting\('lockbox\.tenants'::text, true\), ''::text\) = ''::text", re.I)
#: So that values are written in the same form under all settings of the server and the role.
_PLAIN = """
SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET extra_float_digits = 1;
SET bytea_output = 'hex'; SET client_encoding = 'UTF8'; SET statement_timeout = 0; SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0
"""

#: For each table, its columns.
Columns = dict[str, list[str]]


class Snapshot(Protocol):
    """All tables at one instant."""

    columns: Columns
    migrations: list[list[str]]
    sequences: dict[str, int]

    def parts(self, table: str) -> Iterator[bytes]:
        """Yield the table's rows as lines, in pieces that end at the end of a line."""


@contextmanager
def snapshot() -> Iterator[Snapshot]:
    """Yield the database at one instant. Others can write meanwhile."""
    with bounds.within(bounds.MIGRATION):
        if connections["default"].vendor == "sqlite":
            with _sqlite() as found:
                yield found
        else:
            with _postgresql() as found:
                yield found


def vendor() -> str:
    return connections["default"].vendor


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))


def _gathered(lines: Iterator[bytes]) -> Iterator[bytes]:
    part, size = [], 0
    for line in lines:
        part.append(line)
        size += len(line)
        if size >= PART:
            yield b"".join(part)
            part, size = [], 0
    if part:
        yield b"".join(part)


# --- SQLite ----------------------------------------------------------------------------------------------


class _SQLite:
    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        self.columns = sqlite_columns(file)
        self.migrations = [list(row) for row in file.execute("SELECT app, name FROM django_migrations ORDER BY id")]
        found = file.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name")
        self.sequences = {name: seq for name, seq in found if name in self.columns}

    def parts(self, table: str) -> Iterator[bytes]:
        rows = self._file.execute(f"SELECT {_list(self.columns[table])} FROM {quoted(table)}")  # noqa: S608 - our tables
        encode = json.JSONEncoder(default=_as_json, ensure_ascii=False, separators=(",", ":")).encode
        return _gathered(f"{encode(row)}\n".encode() for row in _fetched(rows))


def _fetched(rows: sqlite3.Cursor) -> Iterator[Any]:
    while some := rows.fetchmany(_AT_ONCE):
        yield from some


def _as_json(value: object) -> Any:
    assert isinstance(value, bytes)
    return {"base64": base64.b64encode(value).decode()}


def _of_json(value: Any) -> Any:
    return base64.b64decode(value["base64"], validate=True) if isinstance(value, dict) else value


def sqlite_columns(file: sqlite3.Connection) -> Columns:
    rows = file.execute(
        "SELECT made.name, part.name FROM sqlite_master AS made, pragma_table_xinfo(made.name) AS part"
        " WHERE made.type = 'table' AND made.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND part.hidden = 0"
        " ORDER BY made.name, part.cid"
    )
    return _grouped(rows)


def _grouped(rows: Iterable[tuple[str, str]]) -> Columns:
    found: Columns = {}
    for table, column in rows:
        if table not in LEFT_OUT:
            found.setdefault(table, []).append(column)
    return found


@contextmanager
def _sqlite() -> Iterator[_SQLite]:
    """Read in one transaction. With its write-ahead log, SQLite then shows one instant, and others can write.

    SQLite's online backup is not used, because it writes a copy that is not encrypted.
    """
    # With this mode, a database that is missing is not made.
    place = f"file:{quote(str(connections['default'].settings_dict['NAME']))}?mode=rw"
    with closing(sqlite3.connect(place, uri=True, timeout=20, isolation_level=None)) as file:
        file.execute("PRAGMA query_only=ON")
        file.execute("BEGIN")
        yield _SQLite(file)


# --- PostgreSQL ------------------------------------------------------------------------------------------


class _PostgreSQL:
    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session
        _require_all_rows(session)
        self.columns = postgresql_columns(session)
        applied = session.execute("SELECT app, name FROM django_migrations ORDER BY id")
        self.migrations = [list(row) for row in applied]
        sequences = session.execute(
            "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema()"
            " AND last_value IS NOT NULL ORDER BY sequencename"
        )
        self.sequences = dict(sequences.fetchall())

    def parts(self, table: str) -> Iterator[bytes]:
        return _gathered(self._lines(table))

    def _lines(self, table: str) -> Iterator[bytes]:
        query = f"COPY (SELECT {_list(self.columns[table])} FROM {quoted(table)}) TO STDOUT"  # noqa: S608 - our tables
        with self._session.cursor() as cursor, cursor.copy(query.encode()) as copy:
            for data in copy:
                yield bytes(data)


def postgresql_columns(session: psycopg.Connection[Any]) -> Columns:
    rows = session.execute(
        "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY relname, attnum"
    )
    return _grouped(rows)


@contextmanager
def _postgresql() -> Iterator[_PostgreSQL]:
    wrapper: Any = connections.create_connection("default")
    wrapper.connect()
    try:
        session: psycopg.Connection[Any] = wrapper.connection
        session.execute(_PLAIN)
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.read_only = True
        session.autocommit = False
        yield _PostgreSQL(session)
    finally:
        wrapper.close()


def _require_all_rows(session: psycopg.Connection[Any]) -> None:
    """Raise BackupRefused if this role may not read a table, or if row-level security hides rows from it.

    PostgreSQL hides rows without an error. A backup without them would look complete.
    """
    session.execute("SELECT set_config('lockbox.tenants', '', true)")
    (is_above,) = session.execute(
        "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ).fetchone() or (False,)
    unread = session.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        " AND NOT has_table_privilege(oid, 'SELECT') ORDER BY relname"
    ).fetchall()
    hidden = [] if is_above else _hidden(session)
    if found := [name for (name,) in unread] + hidden:
        tables = ", ".join(sorted(set(found))[:3])
        raise BackupRefused(f"The database role can't read all rows of {tables}, so the backup would not be complete.")


def _hidden(session: psycopg.Connection[Any]) -> list[str]:
    """Return the tables with a policy that can hide rows. Rows are visible if any permissive policy shows them all."""
    rows = session.execute(
        "SELECT relname, coalesce(array_agg(policy.permissive || ' ' || policy.qual) FILTER ("
        "   WHERE policy.cmd IN ('ALL', 'SELECT')"
        "   AND (policy.roles = '{public}' OR current_user = ANY (policy.roles))), '{}')"
        " FROM pg_class LEFT JOIN pg_policies AS policy"
        " ON policy.schemaname = current_schema() AND policy.tablename = relname"
        " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        " AND relrowsecurity AND (relforcerowsecurity OR relowner <> current_user::regrole)"
        " GROUP BY relname"
    )
    return [name for name, policies in rows if not _shows_all(policies)]


def _shows_all(policies: list[str]) -> bool:
    permissive = [text.partition(" ")[2] for text in policies if text.startswith("PERMISSIVE ")]
    return len(permissive) == len(policies) and any(map(_is_open, permissive))


def _is_open(condition: str) -> bool:
    """Return whether a condition is true for a connection without a list of tenants: one side of an OR says so."""
    depth, start, sides = 0, 0, []
    text = _without_parentheses(condition)
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and text.startswith(" OR ", at):
            sides.append(text[start:at])
            start = at + 4
    return any(_SEES_ALL.fullmatch(_without_parentheses(side)) for side in [*sides, text[start:]])


def _without_parentheses(text: str) -> str:
    """Remove the parentheses around the whole text."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth, inner = 0, text[1:-1]
        for character in inner:
            depth += (character == "(") - (character == ")")
            if depth < 0:
                return text
        text = inner.strip()
    return text


# --- Writing rows ----------------------------------------------------------------------------------------


def write_sqlite(wrapper: Any, table: str, columns: Sequence[str], part: bytes) -> None:
    marks = ", ".join("?" * len(columns))
    query = f"INSERT INTO {quoted(table)} ({_list(columns)}) VALUES ({marks})"  # noqa: S608 - names of our tables
    rows = ([_of_json(value) for value in json.loads(line)] for line in part.split(b"\n") if line)
    wrapper.connection.cursor().executemany(query, rows)


def write_postgresql(wrapper: Any, table: str, columns: Sequence[str], part: bytes) -> None:
    query = f"COPY {quoted(table)} ({_list(columns)}) FROM STDIN"
    with wrapper.connection.cursor() as cursor:
        with cursor.copy(query.encode()) as copy:
            copy.write(part)
        if cursor.rowcount != part.count(b"\n"):
            # A line "\." ends the rows early.
            raise ValueError("some rows were not read")


def plain(session: psycopg.Connection[Any]) -> None:
    """Make this connection read values in the form in which they were written."""
    session.execute(_PLAIN.replace("SET ", "SET LOCAL "))
