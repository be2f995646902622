"""What both backends have in common."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate

from requests_app.platform.database import bounds


class Wrapper(BaseDatabaseWrapper):
    """A Django connection that never connects anew only to say that its transaction is over."""

    connection: Any

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """Switch autocommit; on a connection that was dropped there is nothing to switch.

        Django ends each transaction with `set_autocommit(True)`. After a lost connection that would connect again, wait
        for a database that does not answer, and hide the first error behind its own.
        """
        if autocommit and self.connection is None and not self.in_atomic_block:
            self.autocommit = True
            return
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)

    @contextmanager
    def awaiting(self, *lock: Hashable, is_holding: bool = False) -> Iterator[None]:
        """Wrap the one statement that takes a lock for which others of this process may be waiting.

        Where too many of them wait for one that is not given back, it raises OperationalError and takes nothing. It
        gives up early where it `is_holding` locks of others, who would wait as long as this one does.
        """
        yield

    def prepare_database(self) -> None:
        """Django calls this before it migrates, which may hold a transaction open as long as it needs."""
        super().prepare_database()
        if bounds.current() is bounds.COMMAND:
            bounds.of_process(bounds.MIGRATION)
            post_migrate.connect(_migrated, dispatch_uid="bounds", weak=False)


def _migrated(**_: Any) -> None:
    post_migrate.disconnect(dispatch_uid="bounds")
    bounds.of_process(bounds.COMMAND)
