"""`manage.py migrate`, as Django has it, but a process that is killed leaves no migration half recorded."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from typing import Any

from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.transaction import atomic, set_rollback

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
            with atomic(self.connection.alias) if migration.atomic else nullcontext():
                return super().apply_migration(state, migration, fake=fake, fake_initial=fake_initial)
        finally:
            if is_off:
                self.connection.enable_constraint_checking()


# The command has no other place in which an executor can be named.
migrate.MigrationExecutor = _Executor  # type: ignore[attr-defined]  # the stubs leave the name out


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        if not (options["plan"] or options["check_unapplied"]):
            super().handle(*args, **options)
            return
        # To ask changes nothing: the record of the first migration is needed only for the answer.
        with atomic(options["database"]):
            super().handle(*args, **options)
            set_rollback(True, options["database"])  # Django's own signature
