"""`manage.py migrate`, as Django has it, but a process that is killed leaves no migration half recorded."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.core.management.commands import migrate
from django.db.migrations.executor import MigrationExecutor
from django.db.transaction import atomic


class _Executor(MigrationExecutor):
    """Records each migration in the transaction of its tables.

    Django records it afterwards. If the process dies in between, the tables exist, and each later run fails because it
    makes them again. A squashed migration has one record for each migration that it replaces. If only some of them are
    there, later runs fail too.
    """

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
    pass
