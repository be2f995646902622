"""`manage.py migrate`, as Django has it, but safe while the product runs.

A process that is killed leaves no migration half recorded. Two processes take turns. And while others are connected, a
migration that waits for tables, or keeps them, gives up soon and is tried again: everybody who needs them waits behind
it.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from importlib import import_module
from typing import Any

from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.transaction import atomic, set_rollback

from requests_app.platform.database import bounds
from requests_app.platform.database.alone import StillBusy, alone

#: How long one process waits for another one that migrates the same database, in seconds.
TURN_SECONDS = 600.0
#: How long the statements of a migration may take at each attempt, in seconds, together with their waits for tables.
#: After the last number, the first one follows. Everybody who needs one of the tables waits as long. A web server waits
#: longer (`bounds.ACT_SECONDS_OF_SERVER`), and refuses nobody before a lock counts as stuck (`turns.STUCK_AFTER`). The
#: last number is for an automatic vacuum of the table: PostgreSQL ends it after its `deadlock_timeout` of one second.
LIMITS = (0.2, *[0.4] * 6, 1.5)
#: How long to wait before the next attempt, in seconds. The last number repeats.
PAUSES, ATTEMPTS = (1.0, 2.0, 3.0, 5.0), 60
#: The codes for a lock that was not free in time and for a deadlock (PostgreSQL, appendix A).
_BUSY = ("55P03", "40P01")
#: The code for statements that took too long, and how often they are tried: they may always take so long.
_SLOW, SLOW_ATTEMPTS = "57014", 12
#: Whether somebody may wait: the tables are there, and another process, or a person, is connected with the same role.
_IS_SHARED = """
    SELECT to_regclass('requests_app_tenant') IS NOT NULL AND EXISTS (SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid())
"""
FIRST = "0001_squashed_0036_idempotency_key_holder"


def _record_the_first(connection: Any) -> None:
    """Record the first migration in a database that has all migrations whose work it does.

    Django does this for a migration with `replaces`. Raise CommandError if the database has only some of them.
    """
    replaced = set(import_module(f"requests_app.migrations.{FIRST}").REPLACED)
    recorder = MigrationRecorder(connection)
    applied = set(recorder.applied_migrations())
    if not replaced & applied or ("requests_app", FIRST) in applied:
        return
    if missing := sorted(name for _, name in replaced - applied):
        raise CommandError(
            f"This database is too old: {missing[0]} was not applied. Migrate it with commit 9892adc first."
        )
    recorder.record_applied("requests_app", FIRST)


class _Executor(MigrationExecutor):
    """Records each migration in the transaction of its tables.

    Django records it afterwards. If the process dies in between, the tables exist, and each later run fails because it
    makes them again. A squashed migration has one record for each migration that it replaces. If only some of them are
    there, later runs fail too.
    """

    #: The limit of this attempt, in seconds. It applies only while others are connected.
    limit = LIMITS[0]

    def __init__(self, connection: Any, progress_callback: Any = None) -> None:
        _record_the_first(connection)
        super().__init__(connection, progress_callback)

    def apply_migration(self, state: Any, migration: Any, fake: bool = False, fake_initial: bool = False) -> Any:
        # SQLite can't change this within a transaction, and Django's schema editor needs it.
        is_off = self.connection.disable_constraint_checking()
        try:
            # Without a transaction, a migration waits beside the others, so it may wait as long as it needs.
            whole = atomic(self.connection.alias) if migration.atomic else nullcontext()
            with bounds.within(self._bounds(migration)), whole:
                return super().apply_migration(state, migration, fake=fake, fake_initial=fake_initial)
        finally:
            if is_off:
                self.connection.enable_constraint_checking()

    def _bounds(self, migration: Any) -> bounds.Bounds:
        """Return the limits of the transactions of a migration. A migration without one may have some for its parts."""
        if not _is_shared(self.connection):
            return bounds.MIGRATION
        # The limit for a lock ends first, so that the code tells which of the two it was.
        return bounds.Bounds(lock_on_server=self.limit * 0.9, act_on_server=self.limit if migration.atomic else None)


def _is_shared(connection: Any) -> bool:
    """Return whether others may wait for this process. On SQLite, everything is stopped during a migration."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(_IS_SHARED)
        return bool(cursor.fetchone()[0])


# The command has no other place in which an executor can be named.
migrate.MigrationExecutor = _Executor  # type: ignore[attr-defined]  # the stubs leave the name out


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        if not (options["plan"] or options["check_unapplied"]):
            self._migrate(*args, **options)
            return
        # To ask changes nothing: the record of the first migration is needed only for the answer.
        with atomic(options["database"]):
            super().handle(*args, **options)
            set_rollback(True, options["database"])  # Django's own signature

    def _migrate(self, *args: Any, **options: Any) -> None:
        waiting = "Another process migrates this database. This one waits until that one has ended."
        try:
            with alone(
                connections[options["database"]],
                when_waiting=lambda: self.stderr.write(waiting),
                seconds=TURN_SECONDS,
            ):
                self._try_again_and_again(*args, **options)
        except StillBusy:
            raise CommandError(
                f"Another process has been migrating this database for {TURN_SECONDS / 60:.0f} minutes. Find out what "
                "it waits for, then run migrate again."
            ) from None

    def _try_again_and_again(self, *args: Any, **options: Any) -> None:
        """Migrate. If a table is not free, try again. The migrations that are done stay done."""
        slow = 0
        for attempt in range(ATTEMPTS):
            _Executor.limit = LIMITS[attempt % len(LIMITS)]
            try:
                super().handle(*args, **options)
                return
            except OperationalError as failure:
                code = getattr(failure.__cause__, "sqlstate", "")
                if code not in (*_BUSY, _SLOW):
                    raise
            slow += code == _SLOW
            if slow == SLOW_ATTEMPTS:
                raise CommandError(
                    f"A migration took too long at {slow} attempts, and people would wait for it. It has changed "
                    "nothing; those before it are done. Stop all parts of the product, and run migrate again: if "
                    "nobody is connected, it has no limit."
                )
            self.stderr.write(
                "\nA table is in use, or the server is busy. Nobody waits for this migration; it is tried again."
            )
            threading.Event().wait(PAUSES[min(attempt, len(PAUSES) - 1)])
        raise CommandError(
            f"A table was in use at {ATTEMPTS} attempts. The last migration has changed nothing; those before it are "
            "done. Look for a long transaction in pg_stat_activity, and run migrate again."
        )
