"""How long each kind of process waits for the database.

The backends read these limits for every statement. The server can have limits too. But if the server is frozen, its own
limits do not work, and its kernel still accepts data, so a client would wait forever. Therefore the client has limits
as well. The limits on the server are shorter: they end a statement and the connection stays open, but a limit of the
client closes the connection.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: The limit for a statement or a lock inside an act. No act may hold a thread of a web server for longer.
ACT_SECONDS = 2.0
#: The server's limit is a little shorter than the client's, so that the server answers and the connection stays open.
ACT_SECONDS_OF_SERVER = 1.8
#: After this time without a statement, a transaction is ended: its host is probably frozen, and it may hold a tenant's
#: log.
IDLE_SECONDS = 10
#: How much longer than the server's limit this side waits when it reads.
MARGIN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits of one kind of process, in seconds. None means no limit."""

    #: For one statement inside a transaction, on this side.
    act: float | None = None
    #: For one statement outside of a transaction, on this side. Such a statement writes no audit entry.
    read: float | None = None
    #: The same two limits on the server (PostgreSQL), and the server's limit for a lock.
    act_on_server: float | None = None
    read_on_server: float | None = None
    lock_on_server: float | None = None
    #: For a transaction without a statement, before the server ends it (PostgreSQL).
    idle: float | None = IDLE_SECONDS
    #: For the turn to write (SQLite).
    write: float = 20.0
    #: The number of threads that serve people, or 0. Only a part of them may wait for one lock.
    threads: int = 0
    #: Whether a statement fails immediately, without waiting again, while the database is known not to answer.
    fails_fast: bool = False
    #: Whether a broken connection is replaced during the work, and not only after it. That is for loops that never end.
    #: A request may hold a lock in its session, and must notice if that lock is lost.
    reconnects: bool = False


#: Commands have no limits: they may read the whole log, and no person waits for their answer.
COMMAND = Bounds()
MIGRATION = Bounds(idle=None)


def web(*, statement_seconds: float, threads: int) -> Bounds:
    """Return the limits of a process that serves pages and the API."""
    return Bounds(
        act=ACT_SECONDS,
        read=statement_seconds + MARGIN_SECONDS,
        act_on_server=ACT_SECONDS_OF_SERVER,
        read_on_server=statement_seconds,
        lock_on_server=ACT_SECONDS_OF_SERVER,
        write=5.0,
        threads=threads,
        fails_fast=True,
    )


def worker(*, wait_seconds: float) -> Bounds:
    """Return the limits of a background process: a cluster of workers, the scheduler, the signer or the watchdog."""
    return Bounds(act=wait_seconds, read=wait_seconds, write=20.0, reconnects=True)


def probe(*, seconds: float = ACT_SECONDS) -> Bounds:
    """Return the limits of a health check. Each of its waits ends within `seconds`. Apply them with `within`."""
    of_server = seconds * 0.9
    return Bounds(
        act=seconds,
        read=seconds,
        act_on_server=of_server,
        read_on_server=of_server,
        lock_on_server=of_server,
        write=seconds,
        fails_fast=True,
        reconnects=True,
    )


_process = COMMAND
_thread = threading.local()


def of_process(bounds: Bounds) -> None:
    """Set the limits for every later statement of this process.

    Connections that are already open keep the limits that the server has for them.
    """
    global _process
    _process = bounds


def current() -> Bounds:
    """Return the limits of this thread: those set by `within`, or else those of the process."""
    return getattr(_thread, "bounds", None) or _process


@contextmanager
def within(bounds: Bounds) -> Iterator[None]:
    """Use these limits in this thread until the block ends."""
    outer = getattr(_thread, "bounds", None)
    _thread.bounds = bounds
    try:
        yield
    finally:
        _thread.bounds = outer
