"""Django's connection to SQLite, which says so where the outcome of a commit is not known."""

from __future__ import annotations

import sqlite3
from time import monotonic, sleep
from typing import Any

from django.db import DatabaseError, OperationalError
from django.db.backends.sqlite3 import base

from requests_app.database import bounds
from requests_app.database.errors import CommitUnknown
from requests_app.database.sqlite.turn import LOOK, Line, line_at
from requests_app.database.turns import TURNS
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
#: One transaction at a time writes, and a sweep may take so long.
_STUCK_AFTER = 1.0


class DatabaseWrapper(Wrapper, base.DatabaseWrapper):
    transaction_mode: str | None
    #: The line in which this connection's turn at writing is, while it has it.
    _line: Line | None = None

    def get_connection_params(self) -> dict[str, Any]:
        """A statement outside of a transaction waits for its turn by SQLite's own means."""
        return {**super().get_connection_params(), "timeout": bounds.current().write}

    def _start_transaction_under_autocommit(self) -> None:
        """Wait for the turn at writing, and begin. Raises OperationalError where it does not come in time."""
        if self.transaction_mode != "IMMEDIATE" or self.is_in_memory_db():
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # private to Django, not in its stubs
            return
        now = bounds.current()
        until = monotonic() + now.write
        line = line_at(str(self.settings_dict["NAME"]))
        self._take_turn(line, until, threads=now.threads)
        try:
            with line.next_in_line(until):
                self._begin(until)
        except BaseException:
            line.give()
            raise
        self._line = line

    def _take_turn(self, line: Line, until: float, *, threads: int) -> None:
        if not threads:
            if not line.take(until):
                raise OperationalError("database is locked")
            return
        turn = TURNS.enter("write", threads=threads, share=threads // 2, stuck_after=_STUCK_AFTER)
        is_taken = False
        try:
            while not (is_taken := line.take(min(until, monotonic() + _STUCK_AFTER / 4))):
                if monotonic() >= until:
                    raise OperationalError("database is locked")
                turn.require_place()
        finally:
            turn.leave(is_taken=is_taken)

    def _begin(self, until: float) -> None:
        """Look often: nobody else of this process does, nor of another that is not next."""
        connection = self.connection
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    self.cursor().execute("BEGIN IMMEDIATE")
                except OperationalError as error:
                    code = getattr(error.__cause__, "sqlite_errorcode", 0)
                    if code & _PRIMARY != sqlite3.SQLITE_BUSY or monotonic() >= until:
                        raise
                    sleep(LOOK)
                else:
                    return
        finally:
            connection.execute(f"PRAGMA busy_timeout = {bounds.current().write * 1000:.0f}")

    def _end_turn(self) -> None:
        if self._line is not None:
            line, self._line = self._line, None
            line.give()

    def _commit(self) -> None:
        """Commit, or raise CommitUnknown where the transaction may be saved although SQLite did not say so."""
        try:
            super()._commit()  # type: ignore[misc]  # as above
        except DatabaseError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", None)
            if code is None or code & _PRIMARY in _REFUSED:
                raise
            raise CommitUnknown("Writing failed while the transaction was being committed.") from error
        self._end_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]  # as above
        finally:
            self._end_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]  # as above
        finally:
            self._end_turn()
