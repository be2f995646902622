"""The part that the backends for PostgreSQL and SQLite have in common."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate

from requests_app.platform.database import bounds, letter_case  # noqa: F401 - importing registers the lookups
from requests_app.platform.database.prepared import Prepared, prepared


class Wrapper(BaseDatabaseWrapper):
    """A Django connection. If it was lost, it does not connect again to end the transaction."""

    connection: Any

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """Switch autocommit. Do nothing if the connection was dropped.

        Django ends each transaction with `set_autocommit(True)`. If the connection was lost, that call would connect
        again and wait for a database that does not answer. A second error would then hide the first error.
        """
        if autocommit and self.connection is None and not self.in_atomic_block:
            self.autocommit = True
            return
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)

    @contextmanager
    def awaiting(self, *lock: Hashable, is_holding: bool = False) -> Iterator[None]:
        """Wrap the one statement that takes a lock for which other threads of this process may wait too.

        Raise OperationalError, and do not take the lock, if too many threads wait for stuck locks. A thread that
        already holds other locks (`is_holding`) stops waiting sooner, because other threads wait for the locks that it
        holds.
        """
        yield

    @staticmethod
    def prepared(text: str) -> Prepared:
        """Return the text as one that PostgreSQL prepares. The log calls it, because it imports nothing from here."""
        return prepared(text)

    def let_others_write(self, *, within: float) -> None:
        """Between two of many transactions, wait until nobody else waits to write, but at most `within` seconds.

        This does nothing on a database where several transactions write at the same time.
        """

    def with_room(self) -> AbstractContextManager[None]:
        """Return a context for transactions that change thousands of pages of the database's file.

        It does nothing on a database that is a server, which has memory of its own.
        """
        return nullcontext()

    def prepare_database(self) -> None:
        """Before a migration, remove the time limit for a transaction without a statement.

        A migration may need a long transaction.
        """
        super().prepare_database()
        if bounds.current() is bounds.COMMAND:
            bounds.of_process(bounds.MIGRATION)
            post_migrate.connect(_migrated, dispatch_uid="bounds", weak=False)


def _migrated(**_: Any) -> None:
    post_migrate.disconnect(dispatch_uid="bounds")
    bounds.of_process(bounds.COMMAND)
