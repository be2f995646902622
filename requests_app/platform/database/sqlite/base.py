"""Django's connection to SQLite, which raises CommitUnknown if the outcome of a commit is unknown."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import lru_cache, partial
from time import monotonic, sleep
from typing import Any
from uuid import UUID
from weakref import WeakSet

from django.db import DatabaseError, OperationalError
from django.db.backends.sqlite3 import base, operations
from django.utils.dateparse import parse_datetime

from requests_app.platform.database import bounds
from requests_app.platform.database.compiler import ColumnsOnce
from requests_app.platform.database.errors import CommitUnknown
from requests_app.platform.database.sqlite import copying
from requests_app.platform.database.sqlite.turn import LOOK, Line, line_at
from requests_app.platform.database.turns import TURNS
from requests_app.platform.database.wrapper import Wrapper

#: With these codes, nothing was committed and a rollback follows. After any other error in a commit, mostly of the
#: disk, the transaction's last page may have been written. The next process that opens the file may then find it there.
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
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE"})
#: How much memory a large transaction may use for pages, in KiB. SQLite's own limit is 2,000.
_ROOM = 64_000
#: The settings of a connection that `with_room` changes.
_OF_ROOM = ("cache_size", "wal_autocheckpoint")
#: Longer than on PostgreSQL, because only one transaction writes at a time, and a sweep may take this long.
_STUCK_AFTER = 1.0


#: The same ids and instants come with most pages. To read one from its text takes ten times as long as to look it up.
_id = lru_cache(maxsize=4096)(UUID)


@lru_cache(maxsize=4096)
def _instant(text: bytes) -> datetime | None:
    return parse_datetime(text.decode())


sqlite3.register_converter("datetime", _instant)


#: A statement of more characters, such as one that inserts hundreds of rows, hardly comes again with the same text.
_LONG = 20_000


@lru_cache(maxsize=512)
def _converted(query: str) -> str:
    # Django searches the text of each statement at each call for the places of its values.
    return str(base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%"))


class _Operations(operations.DatabaseOperations):
    def compiler(self, compiler_name: str) -> Any:
        return ColumnsOnce if compiler_name == "SQLCompiler" else super().compiler(compiler_name)

    def convert_uuidfield_value(self, value: Any, _expression: Any, _connection: Any) -> Any:
        return value if value is None else _id(value)

    def convert_datetimefield_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if type(value) is datetime and self.connection.timezone is UTC:
            return value.replace(tzinfo=UTC)
        return super().convert_datetimefield_value(value, expression, connection)


class DatabaseWrapper(Wrapper, base.DatabaseWrapper):
    ops_class = _Operations
    transaction_mode: str | None
    #: The queue for the turn to write, while this connection has the turn; otherwise None.
    _line: Line | None = None
    #: The file that this connection has opened: its device and inode.
    _file: tuple[int, int] | None = None
    #: After how many changed rows this process copies pages, if this connection has changed the last of them.
    _copies_each = copying.EACH
    #: How many rows this connection has changed, as far as `copying` knows.
    _changes = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: WeakSet[_Cursor] = WeakSet()

    def get_connection_params(self) -> dict[str, Any]:
        """Set SQLite's own time-out. It applies to statements that need no turn to write, such as a PRAGMA."""
        return {**super().get_connection_params(), "timeout": bounds.current().write}

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        found: sqlite3.Connection = super().get_new_connection(conn_params)
        self._file, self._changes = self._file_now(), 0
        found.execute(f"PRAGMA wal_autocheckpoint = {copying.LIMIT}")
        found.execute(f"PRAGMA journal_size_limit = {copying.FILE_SIZE}")
        # A cursor of an earlier connection holds nothing here.
        self._cursors = WeakSet()
        return found

    def create_cursor(self, name: str | None = None) -> base.SQLiteCursorWrapper:
        cursor: _Cursor = self.connection.cursor(factory=partial(_Cursor, wrapper=self))
        self._cursors.add(cursor)
        return cursor

    def close_if_unusable_or_obsolete(self) -> None:
        """Between two requests, keep the connection only if the next request sees with it what a new one would see.

        A cursor that was not read to its end holds the connection at an old state of the database. And a database that
        was moved, removed or restored is another file now.
        """
        if (
            self.connection is not None
            and not self.in_atomic_block
            and (self._cursors or self._file != self._file_now())
        ):
            self.close()
        super().close_if_unusable_or_obsolete()

    def is_usable(self) -> bool:
        """Return False, so that no connection is kept after an error. Django asks only after one."""
        return False

    def _file_now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.settings_dict["NAME"])
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @property
    def has_line(self) -> bool:
        """Whether this connection waits in a queue before it writes. A database in memory has no other writers."""
        return self.transaction_mode == "IMMEDIATE" and not self.is_in_memory_db()

    def _start_transaction_under_autocommit(self) -> None:
        """Wait for the turn to write, then begin a transaction.

        Raise OperationalError if the turn does not come in time.
        """
        if not self.has_line:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # private to Django, not in its stubs
            return
        until = monotonic() + bounds.current().write
        line = self._take_turn(until)
        try:
            with line.next_in_line(until):
                self._begin(until)
        except BaseException:
            line.give()
            raise
        self._line = line

    @contextmanager
    def turn_of_one_statement(self) -> Iterator[None]:
        """Wait for the turn to write, and hold it for one statement outside of a transaction."""
        until = monotonic() + bounds.current().write
        line = self._take_turn(until)
        try:
            with line.next_in_line(until):
                self._wait_in_sqlite(until - monotonic())
                yield
        finally:
            line.give()
            self._wait_in_sqlite(bounds.current().write)

    @contextmanager
    def with_room(self) -> Iterator[None]:
        """Use more memory for pages until the block ends, and copy committed pages less often.

        With SQLite's own limit, a large transaction writes pages of its indexes to the file and reads them again, most
        of them several times.
        """
        self.ensure_connection()
        usual = [self.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _OF_ROOM]
        self._give_room(-_ROOM, 0)
        self._copies_each = copying.EACH_IN_SWEEP
        try:
            yield
        finally:
            self._copies_each = copying.EACH
            # Otherwise, an error has dropped the connection, and its memory.
            if self.connection is not None:
                if self.has_line:
                    copying.changed(0, self, each=copying.AFTER_SWEEP)
                self._give_room(*usual)
                self.connection.execute("PRAGMA shrink_memory")

    def _give_room(self, *values: int) -> None:
        for name, value in zip(_OF_ROOM, values, strict=True):
            self.connection.execute(f"PRAGMA {name} = {value}")

    def let_others_write(self, *, within: float) -> None:
        # Within a transaction of its own, this thread would only wait for itself.
        if self.has_line and not self.in_atomic_block:
            line_at(str(self.settings_dict["NAME"])).rest(monotonic() + within)

    def _take_turn(self, until: float) -> Line:
        line = line_at(str(self.settings_dict["NAME"]))
        threads = bounds.current().threads
        if not threads:
            if not line.take(until):
                raise OperationalError("database is locked")
            return line
        turn = TURNS.enter("write", threads=threads, share=threads // 2, stuck_after=_STUCK_AFTER)
        is_taken = False
        try:
            is_taken = line.take(until, every=_STUCK_AFTER / 4, meanwhile=turn.require_place)
            if not is_taken:
                raise OperationalError("database is locked")
        finally:
            turn.leave(is_taken=is_taken)
        return line

    def _begin(self, until: float) -> None:
        """Begin the transaction. If SQLite is busy, try again after a short pause.

        The pauses can be short because no other thread or process tries at the same time.
        """
        self._wait_in_sqlite(0)
        try:
            while True:
                try:
                    self.cursor().execute("BEGIN IMMEDIATE")
                except OperationalError as error:
                    code = getattr(error.__cause__, "sqlite_errorcode", 0)
                    if code & _PRIMARY != sqlite3.SQLITE_BUSY or monotonic() >= until:
                        raise
                    # Django's own frame in it refers to the error, so both would stay until garbage is collected.
                    error.__traceback__ = None
                    sleep(LOOK)
                else:
                    return
        finally:
            self._wait_in_sqlite(bounds.current().write)

    def _wait_in_sqlite(self, seconds: float) -> None:
        self.connection.execute(f"PRAGMA busy_timeout = {max(0.0, seconds) * 1000:.0f}")

    def _end_turn(self) -> None:
        if self._line is not None:
            line, self._line = self._line, None
            line.give()

    def _commit(self) -> None:
        """Commit. Raise CommitUnknown if SQLite did not confirm the commit but may have saved the transaction."""
        try:
            super()._commit()  # type: ignore[misc]  # as above
        except DatabaseError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", None)
            if code is None or code & _PRIMARY in _REFUSED:
                raise
            raise CommitUnknown("Writing failed while the transaction was being committed.") from error
        self._end_turn()
        if self.has_line:
            changes = self.connection.total_changes
            rows, self._changes = changes - self._changes, changes
            copying.changed(rows, self, each=self._copies_each)

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


class _Cursor(base.SQLiteCursorWrapper):
    """A cursor that waits for the turn to write before a writing statement outside of a transaction."""

    def __init__(self, connection: sqlite3.Connection, *, wrapper: DatabaseWrapper) -> None:
        super().__init__(connection)
        self._wrapper = wrapper

    def execute(self, query: str, params: Any = None) -> Any:
        with self._turn(query):
            return super().execute(query, params)

    def convert_query(self, query: str, *, param_names: Any = None) -> str:
        if param_names is not None or len(query) > _LONG:
            return super().convert_query(query, param_names=param_names)
        return _converted(query)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self._turn(query):
            return super().executemany(query, param_list)

    def _turn(self, query: str) -> AbstractContextManager[None]:
        is_alone = query.lstrip()[:6].upper() in _WRITING and not self.connection.in_transaction
        return self._wrapper.turn_of_one_statement() if is_alone and self._wrapper.has_line else nullcontext()
