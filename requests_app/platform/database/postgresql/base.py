"""Django's connection to PostgreSQL, which raises CommitUnknown if the outcome of a commit is unknown."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any, ClassVar, cast

import psycopg
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError
from django.db.backends.postgresql import base, compiler, operations
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg import pq

from requests_app.platform.database import bounds, versions
from requests_app.platform.database.compiler import ColumnsOnce
from requests_app.platform.database.errors import CommitUnknown
from requests_app.platform.database.postgresql.cursor import Cursor, is_outdated
from requests_app.platform.database.postgresql.schema import SchemaEditor
from requests_app.platform.database.postgresql.session import CONNECTING, NotAsked, Session
from requests_app.platform.database.pulse import PULSE
from requests_app.platform.database.turns import STUCK_AFTER, TURNS
from requests_app.platform.database.wrapper import Wrapper

#: idle_in_transaction_session_timeout and transaction_timeout (PostgreSQL, appendix A). The server ended the session
#: and its transaction before it received the COMMIT.
_ENDED_BEFORE = frozenset({"25P03", "25P04"})
#: The function of the server that stops waiting for a standby. The text of its message may be translated; this name is
#: not.
_GAVE_UP_STANDBY = "SyncRepWaitForLSN"
#: How long a thread that holds other locks waits. It is short, so that the locks that it holds do not count as stuck.
_HOLDING_SECONDS = STUCK_AFTER * 0.6
#: How many statements a connection keeps prepared. There are not so many fixed texts.
_PREPARED = 500
#: The limit for the check whether a pooled connection still works.
_CHECK_SECONDS = 0.7
#: For so long after an answer, the server is not asked whether a connection still works.
_TRUSTED_SECONDS = 1.0


class _Errors(DatabaseErrorWrapper):
    """Django's error wrapper, changed so that a server that accepts no writes counts as an outage.

    So does a transaction that a migration has interrupted: it changed nothing, and the next attempt succeeds.
    """

    wrapper: Any

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:  # This runs after every statement, and few of them fail.
            return
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction) or _may_not_write(error) or is_outdated(error):
            self.wrapper.errors_occurred = True
            raise OperationalError(*error.args).with_traceback(traceback) from error
        super().__exit__(kind, error, traceback)


def _may_not_write(error: Any) -> bool:
    """Return whether the error says that a privilege on a table or another object is missing.

    Row-level security refuses with the same error code. For such a refusal, return False, because it points to a bug
    and not to an outage.
    """
    is_denied = isinstance(error, psycopg.errors.InsufficientPrivilege)
    return is_denied and error.diag.source_function == "aclcheck_error"


class _Instants(BaseTzLoader):
    """Parses instants with Python's own parser, which takes a twentieth of the time of psycopg's parser."""

    timezone = UTC

    def load(self, data: Any) -> datetime:
        try:
            return datetime.fromisoformat(str(data, "ascii")).astimezone(UTC)
        except (ValueError, OverflowError):
            # Another style, infinity, or a year that Python does not have.
            return cast(datetime, super().load(data))


class _Compiler(ColumnsOnce, compiler.SQLCompiler):
    pass


class _Operations(operations.DatabaseOperations):
    def compiler(self, compiler_name: str) -> Any:
        return _Compiler if compiler_name == "SQLCompiler" else super().compiler(compiler_name)


class DatabaseWrapper(Wrapper, base.DatabaseWrapper):
    ops_class = _Operations
    SchemaEditorClass = SchemaEditor
    #: The seconds that the check of an unusable connection took. They are subtracted from the limit for a new
    #: connection.
    _waited = 0.0
    #: The host and port of this process's last connection. If the address names several hosts, this one is tried first.
    _last: ClassVar[tuple[str, str] | None] = None
    #: The tenants whose rows this thread may see, as `lockbox.tenants` has them. "" means all of them. The session
    #: sends them before its next statement, also on a connection that is opened later.
    tenants = ""

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        # Only marked texts are prepared (`Prepared`). All others are planned for their values.
        return params | {"cursor_factory": Cursor, "prepare_threshold": params["prepare_threshold"] or sys.maxsize}

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        return _Errors(self)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Session:
        """Connect to the first host that answers. All hosts together get `connect_timeout` seconds."""
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        if bounds.current().fails_fast and not PULSE.may_connect():
            raise NotAsked("The database does not answer.")
        seconds = float(conn_params.get("connect_timeout") or 0) - self._waited
        self._waited = 0.0
        made = _connect(conn_params, seconds if conn_params.get("connect_timeout") else None)
        # The question whether the server is alive must go to the same server: another host may still answer.
        place = {"host": made.info.host, "port": made.info.port}
        made.asks_elsewhere = partial(_answers, {**conn_params, **place})
        made.add_notice_handler(self._notice)
        made.prepared_max = _PREPARED
        made.tenants = lambda: self.tenants
        if self.timezone is UTC:
            made.adapters.register_loader("timestamptz", _Instants)
        type(self)._last = (made.info.host, str(made.info.port))
        return made

    def init_connection_state(self) -> None:
        """Set the server's limits for statements outside of a transaction. Raise OperationalError if it is too old."""
        if why := versions.why_too_old(versions.major(self.connection.info.server_version)):
            # Without the check, Django would use this connection for the next statement.
            self.close()
            raise OperationalError(why)
        super().init_connection_state()
        now = bounds.current()
        wanted = {"statement_timeout": now.read_on_server, "lock_timeout": now.lock_on_server}
        if limits := {name: f"{seconds * 1000:.0f}" for name, seconds in wanted.items() if seconds}:
            calls = ", ".join(["set_config(%s, %s, false)"] * len(limits))
            with self.cursor() as cursor:
                cursor.execute(f"SELECT {calls}", [part for limit in limits.items() for part in limit])
        self.connection._is_ready = True

    def chunked_cursor(self) -> Any:
        """Return a cursor whose `close` raises Django's errors.

        It asks the server to forget the cursor, and Django lets psycopg's own error pass. So a session that ended
        between the last rows and this question would count as a bug, and not as an outage.
        """
        cursor: Any = super().chunked_cursor()
        cursor.close = partial(self._close_cursor, cursor.close)
        return cursor

    def _close_cursor(self, close: Callable[[], None]) -> None:
        with self.wrap_database_errors:
            try:
                close()
            except psycopg.OperationalError:
                # Without a connection, the second call only marks the cursor as closed.
                self.connection.pgconn.finish()
                close()
                raise

    def ensure_connection(self) -> None:
        is_broken = self.connection is not None and self.connection.closed
        if is_broken and not self.in_atomic_block and bounds.current().reconnects:
            # A wait on this connection timed out, or the server ended it. No transaction was open on it.
            self.close()
        super().ensure_connection()

    def close_if_unusable_or_obsolete(self) -> None:
        """Drop a closed connection, but do not open a new one: between two requests, nobody would handle its error."""
        if self.connection is not None and self.connection.closed:
            self.close()
            return
        super().close_if_unusable_or_obsolete()

    def is_usable(self) -> bool:
        """Ask the server whether the connection still works.

        The wait is short, so that enough time is left to connect again within the limit of an act.
        """
        if self.connection is None:
            return False
        now = bounds.current()
        if not now.fails_fast:
            return super().is_usable()
        if PULSE.is_silent:
            return False
        if self._has_just_answered():
            return True
        began = monotonic()
        with bounds.within(replace(now, read=_CHECK_SECONDS, fails_fast=False)):
            is_usable = super().is_usable()
        if not is_usable:
            self._waited = min(monotonic() - began, _CHECK_SECONDS)
        return is_usable

    def _has_just_answered(self) -> bool:
        """Return whether the server has just answered on this connection, and has sent nothing since then.

        The question would be a round trip for each request. A server that ends a session sends a message first.
        """
        session: Session = self.connection
        connection = session.pgconn
        is_idle = connection.status == pq.ConnStatus.OK and connection.transaction_status == pq.TransactionStatus.IDLE
        is_trusted = monotonic() - session.answered_at < _TRUSTED_SECONDS and not self.errors_occurred
        return is_idle and is_trusted and not _has_message(connection)

    @contextmanager
    def awaiting(self, *lock: Hashable, is_holding: bool = False) -> Iterator[None]:
        now = bounds.current()
        threads = now.threads
        self.ensure_connection()
        session: Session = self.connection
        if not threads or session.turn is not None:
            yield
            return
        if is_holding:
            # These threads have a queue of their own, because they give up early. For threads that may wait longer, the
            # lock is not stuck yet.
            of_holders, stuck_after = ("holding", *lock), _HOLDING_SECONDS / 2
            turn = TURNS.enter(of_holders, threads=threads, stuck_after=stuck_after, is_holding=True)
        else:
            turn = TURNS.enter(lock, threads=threads)
        is_taken = False
        try:
            if is_holding:
                # The server's limit and not only this side's: after its own limit, the server keeps the transaction and
                # its locks in order.
                self._limit_locks(_HOLDING_SECONDS)
            session.turn = None if is_holding else turn
            yield
            is_taken = True
            if is_holding:
                self._limit_locks(now.lock_on_server or 0)
        finally:
            session.turn = None
            turn.leave(is_taken=is_taken)

    def _limit_locks(self, seconds: float) -> None:
        with self.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds * 1000:.0f}"])

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.source_function == _GAVE_UP_STANDBY:
            self._standby_missing = True

    def forget_tenants(self) -> None:
        """Send the tenants again before the next statement, because the server may have others."""
        if self.connection is not None:
            self.connection.sent_tenants = None

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]  # private to Django, not in its stubs
        # It takes back what was set after the savepoint.
        self.forget_tenants()

    def _commit(self) -> None:
        """Commit. Raise CommitUnknown if the database did not confirm the commit but may have saved the transaction."""
        if self.connection is None:
            return
        if self.connection.pgconn.transaction_status == pq.TransactionStatus.INERROR:
            # PostgreSQL would answer COMMIT with ROLLBACK, and without an error.
            raise InternalError("A statement of this transaction failed, so nothing of it can be committed.")
        self._standby_missing = False
        self._require_open()
        try:
            super()._commit()  # type: ignore[misc]  # private to Django, not in its stubs
        except (DatabaseError, InterfaceError) as error:
            if _is_refusal(error.__cause__):
                raise
            raise CommitUnknown("The connection failed while the transaction was being committed.") from error
        if self._standby_missing:
            raise CommitUnknown("The transaction was committed, but no synchronous standby has confirmed it.")

    def _require_open(self) -> None:
        """Raise the server's error if the server has already ended this session.

        Then no COMMIT was sent, so nothing is saved, and CommitUnknown would be wrong.
        """
        connection = self.connection.pgconn
        if connection.status != pq.ConnStatus.OK or connection.transaction_status == pq.TransactionStatus.IDLE:
            return
        # First the server's last message is read, then the end of the stream.
        for _ in range(3):
            if not _has_message(connection):
                return
            with self.wrap_database_errors:
                try:
                    connection.consume_input()
                except psycopg.Error:
                    connection.finish()
                    raise


def _has_message(connection: Any) -> bool:
    """Return whether the server has sent something that was not read yet, or has closed the connection."""
    poll = select.poll()
    poll.register(connection.socket, select.POLLIN)
    return bool(poll.poll(0))


def _is_refusal(error: BaseException | None) -> bool:
    """Return whether it is certain that nothing was saved: the server rolled back, or it received no COMMIT."""
    if isinstance(error, NotAsked):
        return True
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return False
    return error.diag.severity_nonlocalized == "ERROR" or error.sqlstate in _ENDED_BEFORE


def _connect(params: dict[str, Any], seconds: float | None) -> Session:
    wanted = {**params, **_ordered(params)}
    began = monotonic()
    CONNECTING.seconds = None if seconds is None else seconds / len(str(wanted.get("host") or "").split(","))
    try:
        made = Session.connect(**wanted)
    except psycopg.errors.ConnectionTimeout:
        PULSE.gave_up(since=began)
        raise
    finally:
        CONNECTING.seconds = None
    PULSE.answered()
    return made


def _ordered(params: dict[str, Any]) -> dict[str, str]:
    """Return the hosts and ports, with the host that answered last at the front. Return {} if there is only one host.

    After a failover, the former host may be frozen. Without this order, each new connection would wait for that host
    again.
    """
    hosts, ports = str(params.get("host") or "").split(","), str(params.get("port") or "").split(",")
    last = DatabaseWrapper._last
    if len(hosts) < 2 or last is None or "hostaddr" in params:
        return {}
    places = list(zip(hosts, ports if len(ports) == len(hosts) else ports * len(hosts), strict=True))
    places.sort(key=lambda place: (place[0], place[1] or "5432") != last)
    return {"host": ",".join(host for host, _ in places), "port": ",".join(port for _, port in places)}


def _answers(params: dict[str, Any], seconds: float) -> bool:
    """Return whether the server answers a new connection. A refusal also counts as an answer."""
    try:
        _connect(params, seconds).close()
    except psycopg.errors.ConnectionTimeout:
        return False
    except psycopg.Error:
        return True
    return True
