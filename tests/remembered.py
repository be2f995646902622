"""Stores the rows that the cast's methods make, so that operations make the same rows only once in a run.

Half of all tests begin with an access request in some state: their world. Operations need a hundred
statements to make it. If this run already knows the world, its rows are inserted instead, with the same ids
and times.

This is safe only if nothing else has changed what the operations would do. So a world is restored only if
the test has not patched code or settings, and has written nothing to the database except such worlds. A world that
is made on top of another one is stored under both, and is restored only on top of the same rows.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import time
import uuid
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
import time_machine
from django.db import connection, transaction
from django.db.models import Model
from psycopg import sql

from requests_app.domain import clock
from tests import ground

P = ParamSpec("P")
T = TypeVar("T")
#: By table and primary key: the names of the columns, the index of the key among them, and the values.
Rows = dict[str, dict[Any, tuple[tuple[str, ...], int, tuple[Any, ...]]]]

#: Statements that change no row begin with one of these.
_READS = ("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET ", "SHOW", "EXPLAIN")
#: This function of the database adds a row if a log has no entries yet.
_WRITING_READ = "audit_lock_head("
#: No world depends on what these statements write: who is signed in, and how they have proved their identity.
_OF_SESSIONS = (
    'INSERT INTO "DJANGO_SESSION"',
    'UPDATE "DJANGO_SESSION"',
    'UPDATE "REQUESTS_APP_PERSON" SET "LAST_LOGIN"',
    'UPDATE "MFA_AUTHENTICATOR" SET "DATA"',
    'UPDATE "REQUESTS_APP_TOKEN" SET "STEPPED_UP_AT"',
)
#: Seconds after which a world of the real clock is too old: its tokens and windows end some time.
FRESH_FOR = 20 * 60
#: With this fixture, operations behave differently.
_PATCHES = frozenset({"django_capture_on_commit_callbacks"})


@dataclass(frozen=True)
class World:
    """A stored world: the statements that restore its rows, and what the call returned.

    `counted` has statements that run once in each database. They move its sequences past the restored ids. `name` is
    unique: if two processes make the same world at the same time, these are two worlds, with other ids. `made_at` is
    the time by the machine's monotonic clock.
    """

    name: str
    statements: tuple[str, ...]
    counted: str
    returned: bytes
    made_at: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.made_at < FRESH_FOR


class Memory:
    """The worlds that this process has stored. Call `begin` and `end` around each test."""

    def __init__(self) -> None:
        self._worlds: dict[Hashable, World | None] = {}
        self._calls: Counter[Hashable] = Counter()
        #: Worlds whose `counted` has run, each with whether it ran in the database of tests with real transactions.
        self._counted: set[tuple[Hashable, bool]] = set()
        self._before: Rows = {}
        self._cast: World | None = None
        self._may_put_back = self._has_cast = self._has_counted = False
        #: The world that the database contains now, or "" if it contains only the cast. None if the test has written.
        self._present: str | None = None
        #: Whether the test has also written rows of sessions.
        self._has_sessions = False
        #: The connection that was used last, and the names of the worlds whose statements it has prepared.
        self._connected: object = None
        self._prepared: set[str] = set()
        #: Whether a world is being made, whose rows other tests may get.
        self.is_making = False
        #: Functions that return whether the test has patched something.
        self._patched: list[Callable[[], bool]] = []

    def learn(self) -> None:
        """Read the rows of the cast, once before all tests. `put_cast` needs them."""
        if connection.vendor != "postgresql":
            return
        had_cast = ground.has_cast()
        ground.use_cast(False)
        empty = _rows()
        ground.use_cast(True)
        self._before = _rows()
        self._cast = _world(empty, self._before, None)
        ground.use_cast(had_cast)

    def begin(self, item: pytest.Item) -> None:
        self._may_put_back = connection.vendor == "postgresql" and not _may_differ(item)
        self._present, self._has_sessions = "" if self._may_put_back else None, False
        self._has_cast = ground.has_cast()
        if self._may_put_back:
            connection.execute_wrappers.append(self._watch)

    def end(self) -> None:
        self._present = None
        self._patched.clear()
        if self._watch in connection.execute_wrappers:
            connection.execute_wrappers.remove(self._watch)

    def put_cast(self) -> bool:
        """Insert the cast into the empty database of a test with real transactions.

        Return False if its rows are not known.
        """
        # If the clock was moved, the people's rows would have wrong times.
        if self._cast is None or not self._may_put_back or _time() != "now":
            return False
        present = self._present
        with transaction.atomic(), connection.cursor() as cursor:
            self._restore(cursor, self._cast)
            if not self._has_counted:
                cursor.execute(self._cast.counted)
        self._present, self._has_cast, self._has_counted = present, True, True
        return True

    def forget_after(self, is_patched: Callable[[], bool]) -> None:
        """From the moment when `is_patched` returns True, restore no world in this test."""
        self._patched.append(is_patched)

    def call(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the world that `make` makes. If it is stored under this key, restore it instead of making it.

        The first call with a key does not store the world if the clock was moved, or if the world is made on top of
        another one: most such keys are used only once.
        """
        below = self._present
        if below is None or not self._has_cast or any(is_patched() for is_patched in self._patched):
            return make()
        if (at := _time()) is None:
            return make()
        outer, self.is_making = self.is_making, True
        try:
            return self._restored_or_made((key, at, below), make)
        finally:
            self.is_making = outer

    def _restored_or_made(self, key: tuple[Hashable, Hashable, str], make: Callable[[], T]) -> T:
        _key, at, below = key
        if key not in self._worlds and (found := _of_others(key)):
            self._worlds[key] = found
        known = self._worlds.get(key)
        if known is not None and at == "now" and not known.is_fresh:
            known = None
        commits = not ground.has_cast()
        if known is not None and not (commits and (below or _somebody_has_acted())):
            with transaction.atomic() if commits else contextlib.nullcontext(), connection.cursor() as cursor:
                self._restore(cursor, known)
                if (key, commits) not in self._counted:
                    cursor.execute(known.counted)
                    self._counted.add((key, commits))
                if commits:
                    _ring()
            self._present = known.name
            returned: T = pickle.loads(known.returned)
            return returned
        if commits:
            return make()
        self._calls[key] += 1
        if self._calls[key] != (1 if at == "now" and not below else 2):
            return make()
        before = _rows() if below or self._has_sessions else self._before
        made = make()
        self._worlds[key] = world = _world(before, _rows(), made)
        if world is not None:
            _tell_others(key, world)
        self._present = world.name if world is not None else None
        return made

    def _restore(self, cursor: Any, world: World) -> None:
        """Change the rows. A connection parses and plans the statements of a world only once.

        Triggers are disabled, because they would require an order of the tables. The rows were checked when they were
        made.
        """
        if self._connected is not connection.connection:
            self._connected = connection.connection
            self._prepared.clear()
        parts = ["SET LOCAL session_replication_role = replica"]
        names = [f"world_{world.name}_{number}" for number in range(len(world.statements))]
        if world.name not in self._prepared:
            parts += [f"PREPARE {name} AS {text}" for name, text in zip(names, world.statements, strict=True)]
        parts += [f"EXECUTE {name}" for name in names]
        cursor.execute(";".join([*parts, "SET LOCAL session_replication_role = origin"]))
        self._prepared.add(world.name)

    def _watch(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self._present is not None:
            text = str(sql)
            statement = text.lstrip()[:60].upper()
            # A rollback may remove a world. It removes nothing if there is only the cast.
            is_rollback = bool(self._present) and statement.startswith("ROLLBACK")
            if statement.startswith(_OF_SESSIONS):
                self._has_sessions = True
            elif is_rollback or _WRITING_READ in text or not statement.startswith(_READS):
                self._present = None
        return execute(sql, params, many, context)


MEMORY = Memory()


def remembered(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Make a method of the cast remember the worlds that it makes.

    With an argument that is neither a plain value nor a row, it remembers nothing.
    """

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **fields: P.kwargs) -> T:
        names, values = sorted(fields), [*args, *(fields[name] for name in sorted(fields))]
        if not all(isinstance(value, str | int | uuid.UUID | Model | None) for value in values):
            return method(self, *args, **fields)
        key = (method.__name__, *names, *map(_named, values))
        return MEMORY.call(key, lambda: method(self, *args, **fields))

    return call


def _named(value: Any) -> Hashable:
    """Return what names this value in a key. Operations read the row of an object again, so its id names it."""
    return (type(value).__name__, str(value.pk) if isinstance(value, Model) else value)


def _may_differ(item: pytest.Item) -> bool:
    """Return whether a world could differ in this test, because it uses the database's clock or real transactions."""
    return bool(item.get_closest_marker("real_clock")) or not _PATCHES.isdisjoint(getattr(item, "fixturenames", ()))


def _somebody_has_acted() -> bool:
    """Return whether another connection (of a thread or a server) has written: every act writes a log entry."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM audit_app_auditentry)")
        return bool(cursor.fetchone()[0])


def _ring() -> None:
    """Wake those who wait for events of the log, as the commit of an act does.

    Inserting stored rows does not do this.
    """
    from requests_app.platform import bell

    bell.ring()


def _shared(key: Hashable) -> Path:
    return ground.place() / "worlds" / hashlib.sha256(repr(key).encode()).hexdigest()


def _of_others(key: Hashable) -> World | None:
    """Return the world that another process of this run has stored under this key.

    All processes have equal databases.
    """
    try:
        world: World = pickle.loads(_shared(key).read_bytes())
    except FileNotFoundError:
        return None
    return world


def _tell_others(key: Hashable, world: World) -> None:
    path = _shared(key)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # Only a complete file gets this name, because another process may look for it at any time.
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(pickle.dumps(world))
    unfinished.rename(path)


def _time() -> Hashable:
    """Return the instant of a stopped clock, "now" for the real clock, or None for any other clock."""
    if not time_machine.escape_hatch.is_travelling():
        return "now"
    at = clock.now()
    return at if clock.now() == at else None


@functools.cache
def _keys() -> dict[str, str]:
    """Return the column of the primary key of each table."""
    tables = connection.introspection.django_table_names(only_existing=True)
    with connection.cursor() as cursor:
        return {table: connection.introspection.get_primary_key_column(cursor, table) for table in tables}


def _rows() -> Rows:
    """Return all rows of the database, by table and primary key."""
    found: Rows = {}
    with connection.cursor() as cursor:
        for table, key in _keys().items():
            cursor.execute(f'SELECT * FROM "{table}"')
            names = tuple(column.name for column in cursor.description)
            place = names.index(key)
            found[table] = {row[place]: (names, place, row) for row in cursor.fetchall()}
    return found


def _literal(value: object) -> str:
    return sql.Literal(value).as_string(connection.connection)


def _world(before: Rows, after: Rows, returned: object) -> World | None:
    """Return the statements that turn `before` into `after`. Return None if rows were deleted, which no world does."""
    inserted: dict[str, list[str]] = {}
    updates: list[str] = []
    highest: dict[tuple[str, str], int] = {}
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
                if isinstance(key, int):
                    place_of_key = (table, names[place])
                    highest[place_of_key] = max(key, highest.get(place_of_key, 0))
                inserted.setdefault(f'INSERT INTO "{table}" ({columns}) VALUES ', []).append(f"({values})")
            else:
                where = f'"{names[place]}" = {_literal(key)}'
                updates.append(f'UPDATE "{table}" SET ({columns}) = ROW ({values}) WHERE {where}')
    inserts = [insert + ", ".join(all_values) for insert, all_values in inserted.items()]
    return World(uuid.uuid4().hex, (*updates, *inserts), _counted(highest), pickle.dumps(returned))


def _counted(highest: dict[tuple[str, str], int]) -> str:
    """Return statements that move the sequences of these tables past these ids. A rollback does not undo them."""
    return ";\n".join(
        ["SELECT 1"]
        + [
            f"SELECT setval(at, {number}) FROM pg_get_serial_sequence({_literal(table)}, {_literal(name)}) AS at"
            f" WHERE at IS NOT NULL AND {number} > coalesce(pg_sequence_last_value(at::regclass), 0)"
            for (table, name), number in highest.items()
        ]
    )
