"""Watches what a migration locks on PostgreSQL, and for how long others wait for it.

A clock would only say how fast this machine is, and a small table is read fast. So this records what takes long on each
machine and in each table: rows that are read under a lock, and further work after a lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection

from requests_app.management.commands import migrate
from tests.upgrades.migration_rules import SMALL

#: Everybody waits for the first one. Those who write wait for the others.
FULL, HEAVY = "AccessExclusiveLock", ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
_LOCKS = """
    SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind = 'r' AND l.mode = ANY(%s)"""
#: How often all rows of a table were read in this transaction. To make an index or to check a constraint counts, too.
_READ = "SELECT relname, seq_scan FROM pg_stat_xact_user_tables"
#: Another file: all rows were written again.
_FILES = """
    SELECT relname, pg_relation_filenode(oid) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""
#: The record of a migration. If a test's transaction surrounds it, it also has a savepoint.
_OF_EACH = ("django_migrations", "SAVEPOINT")


@dataclass
class Watched:
    """What one transaction of a migration did to the tables that were there before it. Most have only one."""

    name: str
    #: The tables for which others waited, and the modes of the locks.
    locked: dict[str, set[str]] = field(default_factory=dict)
    #: The tables whose rows it read or wrote all.
    read: set[str] = field(default_factory=set)
    #: The statements that it ran while it already had such a lock, without the record of the migration.
    later: list[str] = field(default_factory=list)

    def problems(self) -> Iterator[str]:
        full = sorted(table for table, modes in self.locked.items() if FULL in modes)
        if len(full) > 1:
            yield f"{self.name} locks several tables in one transaction: {', '.join(full)}"
        for table in sorted(self.read & self.locked.keys()):
            if table.partition("_app_")[2] not in SMALL:
                yield f"{self.name} reads or writes all rows of {table} while others wait for it"
        if self.later:
            yield f"{self.name} keeps {', '.join(sorted(self.locked))} locked during: {self.later[0][:80]}"


class Watch:
    """Looks at the locks of this connection after each statement of a migration."""

    def __init__(self) -> None:
        self.all: list[Watched] = []
        self._now: Watched | None = None
        self._before: dict[str, dict[str, int]] = {}

    @contextlib.contextmanager
    def during(self, name: str) -> Iterator[None]:
        self._before = self._counts()
        self._now = Watched(name)
        self.all.append(self._now)
        try:
            yield
        finally:
            self._now = None

    def __call__(self, execute: Callable[..., Any], sql: Any, *given: Any) -> Any:
        result = execute(sql, *given)
        if self._now is None or not connection.in_atomic_block:
            return result
        now = self._of_this_transaction(self._now)
        # The statements that were gathered run inside of `execute`, and are already in `locked`.
        if now.locked and not any(words in str(sql) for words in _OF_EACH):
            now.later.append(" ".join(str(sql).split()))
        self._look(now)
        return result

    def _of_this_transaction(self, now: Watched) -> Watched:
        """Return the record of the transaction that is open. If no lock is left of the last one, it has ended."""
        if now.locked and now.locked.keys().isdisjoint(self._locks()):
            now = self._now = Watched(now.name)
            self.all.append(now)
        return now

    def _look(self, now: Watched) -> None:
        for table, modes in self._locks().items():
            if table in self._before["files"]:
                now.locked.setdefault(table, set()).update(modes)
        for what, found in self._counts().items():
            before = self._before[what]
            now.read |= {table for table in before if found.get(table) != before[table]}

    @staticmethod
    def _locks() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        with connection.connection.cursor() as cursor:
            for table, mode in cursor.execute(_LOCKS, [list(HEAVY)]).fetchall():
                found.setdefault(table, set()).add(mode)
        return found

    @staticmethod
    def _counts() -> dict[str, dict[str, int]]:
        connection.ensure_connection()
        # Not Django's cursor: the statements of the migration that wait to be sent must not be sent by this question.
        with connection.connection.cursor() as cursor:
            return {
                "files": dict(cursor.execute(_FILES).fetchall()),
                "read": dict(cursor.execute(_READ).fetchall()),
            }


@contextlib.contextmanager
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watch each migration that is applied on this connection inside the block."""
    watch, apply = Watch(), migrate._Executor.apply_migration

    def watched(self: Any, state: Any, migration: Any, **named: Any) -> Any:
        with watch.during(f"{migration.app_label}/{migration.name}"):
            return apply(self, state, migration, **named)

    monkeypatch.setattr(migrate._Executor, "apply_migration", watched)
    with connection.execute_wrapper(watch):
        yield watch
