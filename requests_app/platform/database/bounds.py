"""How long each kind of process waits for the database. The backends read this for every statement.

A server that is stopped but not dead still has a kernel that acknowledges what it receives. So each wait has a limit on
this side too. The server's limits, if it has them, come first and keep the connection.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: The limit for a statement or a lock of an act: none is worth more of a web server's threads.
ACT_SECONDS = 2.0
#: The server's limit is a little shorter than the client's: then the answer is regular and the connection stays.
ACT_SECONDS_OF_SERVER = 1.8
#: A transaction in which nothing happens for so long only holds a tenant's log: its host is frozen.
IDLE_SECONDS = 10
#: How much longer than the server's limit this side waits for a read.
MARGIN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits in seconds; None means no limit."""

    #: For one statement inside a transaction, on this side.
    act: float | None = None
    #: For one statement outside of a transaction, which writes no audit entry.
    read: float | None = None
    #: The same on the server (PostgreSQL), and for a lock.
    act_on_server: float | None = None
    read_on_server: float | None = None
    lock_on_server: float | None = None
    #: Before the server ends an idle transaction (PostgreSQL).
    idle: float | None = IDLE_SECONDS
    #: For the turn to write (SQLite).
    write: float = 20.0
    #: The threads that serve people. If some of them wait for one lock, the others must not; 0 without such threads.
    threads: int = 0
    #: Whether to fail at once, without waiting again, while the database is known not to answer.
    fails_fast: bool = False
    #: Whether a broken connection is replaced during the work and not after it. For endless loops; a request may hold a
    #: lock by its session, and must notice that it lost it.
    reconnects: bool = False


#: Commands have no limits: what they read may be as long as the log, and nobody waits for them.
COMMAND = Bounds()
MIGRATION = Bounds(idle=None)


def web(*, statement_seconds: float, threads: int) -> Bounds:
    """Return the limits of a process that answers requests."""
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
    """Return the limits of a background process: a cluster, the beat, the signer, the watchdog."""
    return Bounds(act=wait_seconds, read=wait_seconds, write=20.0, reconnects=True)


def probe(*, seconds: float = ACT_SECONDS) -> Bounds:
    """Return the limits of a health check: every wait ends within these seconds. For a thread, with `within`."""
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
    """Limit every statement of this process from now on. Open connections keep the server's present limits."""
    global _process
    _process = bounds


def current() -> Bounds:
    """Return the limits of this thread: its own if it has any, else the process's."""
    return getattr(_thread, "bounds", None) or _process


@contextmanager
def within(bounds: Bounds) -> Iterator[None]:
    """Apply these limits to this thread inside the block."""
    outer = getattr(_thread, "bounds", None)
    _thread.bounds = bounds
    try:
        yield
    finally:
        _thread.bounds = outer
