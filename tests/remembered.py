"""Remembers the rows that a world consists of, so that operations make each world once in a process.

Half of all tests begin with an access request in some state. Operations bring it there, which takes a hundred
statements. When a test is about to make a world that this process knows, the rows are put into the database instead:
the same rows, with the same ids and times.

This is safe only where nothing else can have changed what the operations would do. So a world is put back only into a
database that the test has not written to, and never in a test that patches code or settings.
"""

from __future__ import annotations

import functools
import pickle
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
import time_machine
from django.db import connection
from psycopg import sql

from requests_app.domain import clock
from tests import ground

P = ParamSpec("P")
T = TypeVar("T")
#: By table and primary key: the names of the columns, the place of the key among them, and the values.
Rows = dict[str, dict[Any, tuple[tuple[str, ...], int, tuple[Any, ...]]]]

#: What a statement begins with that changes no row.
_READS = ("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET ", "SHOW", "EXPLAIN")
#: A test that asks for one of these may make operations behave differently.
_PATCHES = frozenset({"settings", "monkeypatch", "django_capture_on_commit_callbacks", "mocker"})
#: Of the fixtures that every test has, these patch, and always the same.
_OF_ALL = frozenset({"_one_clock", "_own_heads", "_template_string_if_invalid_marker"})


@dataclass(frozen=True)
class World:
    """The statements that put the rows back, and what the call returned."""

    statements: str
    returned: bytes


class Memory:
    """The worlds of this process. `begin` and `end` stand around each test."""

    def __init__(self) -> None:
        self._worlds: dict[Hashable, World | None] = {}
        self._calls: Counter[Hashable] = Counter()
        self._before: Rows = {}
        self._is_untouched = False

    def begin(self, item: pytest.Item) -> None:
        self._is_untouched = connection.vendor == "postgresql" and ground.has_cast() and not _may_differ(item)
        if self._is_untouched:
            connection.execute_wrappers.append(self._watch)

    def end(self) -> None:
        self._is_untouched = False
        if self._watch in connection.execute_wrappers:
            connection.execute_wrappers.remove(self._watch)

    def call(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make a world, or put it back. The first call with a key only counts: most keys are used once."""
        if not self._is_untouched or (at := _time()) is None:
            return make()
        key = (key, at)
        known = self._worlds.get(key)
        if known is not None:
            with connection.cursor() as cursor:
                cursor.execute(known.statements)
            self._is_untouched = False
            found: T = pickle.loads(known.returned)
            return found
        self._calls[key] += 1
        if self._calls[key] != 2:
            return make()
        self._before = self._before or _rows()
        made = make()
        self._worlds[key] = _world(self._before, _rows(), made)
        self._is_untouched = False
        return made

    def _watch(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self._is_untouched and not str(sql).lstrip().upper().startswith(_READS):
            self._is_untouched = False
        return execute(sql, params, many, context)


MEMORY = Memory()


def remembered(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Make a method of the cast remember the worlds that it makes from plain arguments."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **fields: P.kwargs) -> T:
        values = (*args, *fields.values())
        if not all(isinstance(value, str | int) for value in values):
            return method(self, *args, **fields)
        key = (method.__name__, args, tuple(sorted(fields.items())))
        return MEMORY.call(key, lambda: method(self, *args, **fields))

    return call


def _may_differ(item: pytest.Item) -> bool:
    """Return whether the test or one of its fixtures patches something, or asks the database for the time."""
    if item.get_closest_marker("real_clock"):
        return True
    info = getattr(item, "_fixtureinfo", None)
    if info is None or not _PATCHES.isdisjoint(info.argnames):
        return True
    return any(
        not _PATCHES.isdisjoint(definition.argnames)
        for name, definitions in info.name2fixturedefs.items()
        for definition in definitions
        if name not in _OF_ALL
    )


def _time() -> Hashable:
    """Return what tells one time of a test from another: the instant of a clock that stands, or "now"; else None."""
    if not time_machine.escape_hatch.is_travelling():
        return "now"
    at = clock.now()
    return at if clock.now() == at else None


def _rows() -> Rows:
    """Return all rows of all tables, by table and primary key."""
    found: Rows = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names(only_existing=True):
            key = connection.introspection.get_primary_key_column(cursor, table)
            cursor.execute(f'SELECT * FROM "{table}"')
            names = tuple(column.name for column in cursor.description)
            place = names.index(key)
            found[table] = {row[place]: (names, place, row) for row in cursor.fetchall()}
    return found


def _literal(value: object) -> str:
    return sql.Literal(value).as_string(connection.connection)


def _world(before: Rows, after: Rows, returned: object) -> World | None:
    """Return the difference as statements; None where rows are gone, which no world of the cast does."""
    statements: list[str] = []
    for table, rows in after.items():
        if before[table].keys() - rows.keys():
            return None
        for key, (names, place, row) in rows.items():
            old = before[table].get(key)
            if old is not None and old[2] == row:
                continue
            columns = ", ".join(f'"{name}"' for name in names)
            values = ", ".join(_literal(value) for value in row)
            if old is None:
                statements.append(f'INSERT INTO "{table}" ({columns}) VALUES ({values})')
            else:
                where = f'"{names[place]}" = {_literal(key)}'
                statements.append(f'UPDATE "{table}" SET ({columns}) = ROW ({values}) WHERE {where}')
    # Without triggers, as an order of tables that suits them would have to be found; the rows were judged when made.
    aside = ["SET LOCAL session_replication_role = replica", *statements, "SET LOCAL session_replication_role = origin"]
    return World(";\n".join(aside), pickle.dumps(returned))
