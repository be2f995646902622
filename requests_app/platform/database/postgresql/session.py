"""A psycopg connection that limits each of its waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import errors, generators, pq
from psycopg.abc import PQGen, PQGenConn

from requests_app.platform.database import bounds
from requests_app.platform.database.bounds import Bounds
from requests_app.platform.database.pulse import PULSE
from requests_app.platform.database.turns import Turn

RV = TypeVar("RV")

#: The same interval as in psycopg. A signal is noticed within this time.
_INTERVAL = 0.1
#: How often a thread that waits for a lock checks whether it may continue to wait.
_LOOK = 0.05
#: After the first time without an answer, the process asks on another connection whether the server is alive. The
#: second time is the limit of that question. Both together are the limit of an act.
_SUSPICIOUS, _ASKED_FOR = 0.9, 0.9


class NoAnswer(psycopg.OperationalError):
    """The database did not answer within this process's limit."""


class NotAsked(psycopg.OperationalError):
    """The statement was not sent, because it is known that the database does not answer this process now."""


class _Connecting(threading.local):
    #: The limit in seconds for one attempt at one host.
    seconds: float | None = None


CONNECTING = _Connecting()


class Session(psycopg.Connection[Any]):
    """A connection on which each wait ends after the limit of `bounds.current()`."""

    #: A function that returns whether the server answers on a new connection within this many seconds.
    asks_elsewhere: Callable[[float], bool] | None = None
    #: False while the connection is being set up. This attempt may show that the database answers again, so it is not
    #: refused.
    _is_ready = False
    #: When the server last answered on this connection, by the clock of this process.
    answered_at = float("-inf")
    #: This connection's place in the queue for a lock for which other threads may wait too.
    turn: Turn | None = None
    #: Returns the tenants whose rows the next statement may see, as `lockbox.tenants` has them.
    tenants: Callable[[], str] = staticmethod(lambda: "")
    #: The tenants that the server was last sent. None means that it may have others, for example after a rollback, or
    #: those of an earlier client of a connection pooler.
    sent_tenants: str | None = None
    #: Whether they were sent inside the open transaction. A rollback takes that back.
    _were_sent_inside = False

    def wait(self, gen: PQGen[RV], interval: float = _INTERVAL, timeout: float | None = None) -> RV:
        now = bounds.current()
        limit = now.read if self._autocommit else now.act
        if timeout is not None or limit is None:
            return super().wait(gen, interval, timeout)
        if now.fails_fast and PULSE.is_silent and self._is_ready:
            raise NotAsked("The database does not answer.")
        began = monotonic()
        try:
            first = min(limit, _LOOK if self.turn else _SUSPICIOUS if now.fails_fast else limit)
            result = super().wait(gen, interval, first)
        except errors._WaitTimeout:
            result = self._wait_longer(gen, began, limit, fails_fast=now.fails_fast)
        PULSE.answered()
        self.answered_at = PULSE.answered_at
        return result

    def _wait_longer(self, gen: PQGen[RV], began: float, limit: float, *, fails_fast: bool) -> RV:
        asked_at = began
        while (left := began + limit - monotonic()) > 0:
            if self.turn is not None:
                self._require_place(self.turn)
            if fails_fast and monotonic() - asked_at >= _SUSPICIOUS:
                asked_at = monotonic()
                if not self._is_anybody_there(since=asked_at - _SUSPICIOUS):
                    break
            try:
                return super().wait(gen, _INTERVAL, min(left, _LOOK if self.turn else _INTERVAL))
            except errors._WaitTimeout:
                continue
        self._give_up()
        if fails_fast:
            PULSE.gave_up(since=began)
        raise NoAnswer(f"The database did not answer within {limit:g} seconds.")

    def _require_place(self, turn: Turn) -> None:
        try:
            turn.require_place()
        except BaseException:
            self._give_up()
            raise

    def _is_anybody_there(self, *, since: float) -> bool:
        ask = self.asks_elsewhere
        return ask is None or PULSE.is_alive(lambda: ask(_ASKED_FOR), since=since)

    def _give_up(self) -> None:
        """Close the socket, so that nobody waits for this connection again.

        The server then rolls the transaction back.
        """
        self.pgconn.finish()

    def _start_query(self) -> PQGen[None]:
        """Begin the transaction, set the server's limits, and say which tenants it may show, in the same round trip.

        The limits apply to this transaction only. Behind a connection pooler, the next transaction may use another
        connection.
        """
        status = self.pgconn.transaction_status
        begins = not self._autocommit and status == pq.TransactionStatus.IDLE
        limits = on_server(bounds.current()) if begins else []
        if self._were_sent_inside and status == pq.TransactionStatus.IDLE:
            # The transaction has ended, and neither `commit` nor `rollback` has ended it.
            self.sent_tenants, self._were_sent_inside = None, False
        wanted = self.tenants()
        # In a transaction that has failed, no statement can read anything.
        changes = wanted != self.sent_tenants and status in _READING
        parts = [self._get_tx_start_command(), *limits] if begins else []
        if changes:
            parts.append(_sees(wanted))
        if not parts:
            return
        # If this fails, it is not known what the server has.
        self.sent_tenants = None if changes else self.sent_tenants
        if self._pipeline:
            for each in parts:
                yield from self._exec_command(each)
        else:
            self._check_connection_ok()
            self.pgconn.send_query(b"; ".join(parts))
            results: Sequence[Any] = yield from generators.execute(self.pgconn)
            for result in results:
                if result.status == pq.ExecStatus.FATAL_ERROR:
                    raise errors.error_from_result(result, encoding=self.pgconn._encoding)
        # A statement that fails takes back all others of its pipeline, also without a transaction.
        if changes and not self._pipeline:
            self.sent_tenants, self._were_sent_inside = (
                wanted,
                not self._autocommit or status == pq.TransactionStatus.INTRANS,
            )

    def _commit_gen(self) -> PQGen[None]:
        sent = self.sent_tenants
        if self._were_sent_inside:
            # Until the server confirms.
            self.sent_tenants, self._were_sent_inside = None, False
            if self.pgconn.transaction_status == pq.TransactionStatus.INERROR:
                # The server rolls back, and answers without an error.
                sent = None
        yield from super()._commit_gen()
        self.sent_tenants = sent

    def _rollback_gen(self) -> PQGen[None]:
        if self._were_sent_inside:
            self.sent_tenants, self._were_sent_inside = None, False
        yield from super()._rollback_gen()

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Any]:
        """Connect to one host, within the time limit of one attempt."""
        attempt = super()._connect_gen(conninfo)
        if CONNECTING.seconds is None:
            return (yield from attempt)
        return (yield from _within(attempt, CONNECTING.seconds))


def _sees(tenants: str) -> bytes:
    """Return the statement that makes the policies of row-level security hide all rows but those of these tenants."""
    if not set(tenants) <= _OF_IDS:
        raise ValueError("Not a list of ids")
    return f"SET lockbox.tenants = '{tenants}'".encode()


_OF_IDS = frozenset("0123456789abcdef-,")
#: In these states, a statement can read rows. The third one is that of a pipeline with statements.
_READING = (pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS, pq.TransactionStatus.ACTIVE)


def _within(attempt: PQGenConn[RV], seconds: float) -> Generator[Any, Any, RV]:
    until = monotonic() + seconds
    try:
        waits_for = next(attempt)
        while True:
            ready = yield waits_for
            if not ready and monotonic() >= until:
                attempt.close()
                raise errors.ConnectionTimeout(f"no answer within {seconds:g} seconds")
            waits_for = attempt.send(ready)
    except StopIteration as done:
        return done.value


def on_server(now: Bounds) -> list[bytes]:
    """Return the statements that set the server's limits at the beginning of a transaction."""
    limits = {
        "statement_timeout": now.act_on_server,
        "lock_timeout": now.lock_on_server,
        "idle_in_transaction_session_timeout": now.idle,
    }
    return [f"SET LOCAL {name} = {seconds * 1000:.0f}".encode() for name, seconds in limits.items() if seconds]
