"""What both backends have in common."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


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
