"""Django's connection to SQLite, which says so where the outcome of a commit is not known."""

from __future__ import annotations

import sqlite3

from django.db import DatabaseError
from django.db.backends.sqlite3 import base

from requests_app.database.errors import CommitUnknown
from requests_app.database.wrapper import Wrapper

#: With these nothing was committed, and a rollback follows. Any other error at a commit (most of all one of the disk's)
#: may come after the transaction's last page was written, and the next process to open the file may find it there.
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_INTERRUPT,
    }
)
_PRIMARY = 0xFF


class DatabaseWrapper(Wrapper, base.DatabaseWrapper):  # type: ignore[misc]  # both derive from Django's base class
    def _commit(self) -> None:
        """Commit, or raise CommitUnknown where the transaction may be saved although SQLite did not say so."""
        try:
            super()._commit()
        except DatabaseError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", None)
            if code is None or code & _PRIMARY in _REFUSED:
                raise
            raise CommitUnknown("Writing failed while the transaction was being committed.") from error
