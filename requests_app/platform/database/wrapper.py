"""The part that the backends for PostgreSQL and SQLite have in common."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
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

    def rows_of(self, sql: str, params: Sequence[Any]) -> list[Any]:
        """Run a statement and return its rows, as with `cursor()`, but in half of Django's steps.

        The functions of `execute_wrapper` run around it, too.
        """
        if self.queries_logged:
            with self.cursor() as logged:
                logged.execute(sql, params)
                return list(logged.fetchall())
        self.validate_thread_sharing()
        self.validate_no_broken_transaction()
        self.close_if_health_check_failed()
        self.ensure_connection()
        with self.wrap_database_errors:
            cursor = self.create_cursor()
        try:
            execute = partial(self._execute, cursor)
            for wrapper in reversed(self.execute_wrappers):
                execute = partial(wrapper, execute)
            execute(sql, params, False, {"connection": self, "cursor": cursor})
            with self.wrap_database_errors:
                rows: list[Any] = cursor.fetchall()
        finally:
            cursor.close()
        return rows

    def _execute(self, cursor: Any, sql: str, params: Sequence[Any], *_more: Any) -> None:
        with self.wrap_database_errors:
            cursor.execute(sql, params)

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
