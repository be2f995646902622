"""What both backends have in common."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate

from requests_app.platform.database import bounds


class Wrapper(BaseDatabaseWrapper):
    """A Django connection that never reconnects only to say that its transaction is over."""

    connection: Any

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """Switch autocommit; do nothing on a connection that was dropped.

        Django ends each transaction with `set_autocommit(True)`. After a lost connection that would connect again, wait
        for a database that does not answer, and hide the first error behind its own.
        """
        if autocommit and self.connection is None and not self.in_atomic_block:
            self.autocommit = True
            return
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)

    @contextmanager
    def awaiting(self, *lock: Hashable, is_holding: bool = False) -> Iterator[None]:
        """Wrap the one statement that takes a lock for which other threads of this process may wait.

        If too many of them wait for a stuck lock, it raises OperationalError and takes nothing. If it `is_holding`
        other locks, it gives up early, because others wait for those meanwhile.
        """
        yield

    def prepare_database(self) -> None:
        """Lift the limits before a migration, which may hold a transaction open as long as it needs."""
        super().prepare_database()
        if bounds.current() is bounds.COMMAND:
            bounds.of_process(bounds.MIGRATION)
            post_migrate.connect(_migrated, dispatch_uid="bounds", weak=False)


def _migrated(**_: Any) -> None:
    post_migrate.disconnect(dispatch_uid="bounds")
    bounds.of_process(bounds.COMMAND)
