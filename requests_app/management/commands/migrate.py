"""`manage.py migrate`, as Django has it, but safe while the product runs.

A process that is killed leaves no migration half recorded. Two processes take turns. And a migration that waits for a
table gives up soon and is tried again, because everybody who needs the table then waits behind it.
"""

from __future__ import annotations

import threading
from dataclasses import replace
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
#: How long a migration waits for a table. Everybody who comes later waits behind it, but no act waits longer than this.
LOCK_SECONDS = 1.0
#: How long to wait before the next attempt, in seconds. The last number repeats.
PAUSES, ATTEMPTS = (1.0, 2.0, 3.0, 5.0), 60
#: The codes for a lock that was not free in time and for a deadlock (PostgreSQL, appendix A).
_BUSY = ("55P03", "40P01")
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

    def __init__(self, connection: Any, progress_callback: Any = None) -> None:
        _record_the_first(connection)
        super().__init__(connection, progress_callback)

    def apply_migration(self, state: Any, migration: Any, fake: bool = False, fake_initial: bool = False) -> Any:
        # SQLite can't change this within a transaction, and Django's schema editor needs it.
        is_off = self.connection.disable_constraint_checking()
        try:
            # A migration without a transaction waits beside the others, so it may wait as long as it needs.
            if not migration.atomic:
                return super().apply_migration(state, migration, fake=fake, fake_initial=fake_initial)
            patience = replace(bounds.MIGRATION, lock_on_server=LOCK_SECONDS)
            with bounds.within(patience), atomic(self.connection.alias):
                return super().apply_migration(state, migration, fake=fake, fake_initial=fake_initial)
        finally:
            if is_off:
                self.connection.enable_constraint_checking()


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
        for attempt in range(ATTEMPTS):
            try:
                super().handle(*args, **options)
                return
            except OperationalError as failure:
                if getattr(failure.__cause__, "sqlstate", "") not in _BUSY:
                    raise
            self.stderr.write("\nA table is in use. Nothing waits for this migration; it is tried again.")
            threading.Event().wait(PAUSES[min(attempt, len(PAUSES) - 1)])
        raise CommandError(
            f"A table was in use at {ATTEMPTS} attempts. The last migration has changed nothing; those before it are "
            "done. Look for a long transaction in pg_stat_activity, and run migrate again."
        )
