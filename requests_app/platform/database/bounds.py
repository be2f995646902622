"""How long each kind of process waits for the database; the backends read it with every statement.

A server that is stopped, and not dead, still has a kernel that acknowledges whatever is sent to it. So each wait has an
end on this side as well; the limits on the server's side come first where both are there, and keep the connection.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: No statement and no lock of an act is worth more of a web server's threads.
ACT_SECONDS = 2.0
#: On the server, a little before the client gives up: the answer then comes in order, and the connection stays.
ACT_SECONDS_OF_SERVER = 1.8
#: A transaction in which nobody says anything holds a tenant's log for nothing: its host is frozen.
IDLE_SECONDS = 10
#: A read that the server may answer late has that much longer on this side.
MARGIN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """In seconds; None is without end."""

    #: For one statement in a transaction, on this side.
    act: float | None = None
    #: For one outside of any, which changes nothing that has a place in a log.
    read: float | None = None
    #: The same on the server's side (PostgreSQL), and for a lock.
    act_on_server: float | None = None
    read_on_server: float | None = None
    lock_on_server: float | None = None
    #: Before the server ends a transaction in which nothing is asked (PostgreSQL).
    idle: float | None = IDLE_SECONDS
    #: For a turn at writing (SQLite).
    write: float = 20.0
    #: Threads that answer people. Where some of them wait for the same lock, the others must not; 0 is no such process.
    threads: int = 0
    #: Whether to answer at once, and not to wait anew, while the database is known not to answer.
    fails_fast: bool = False
    #: Whether a broken connection is replaced within a piece of work, and not after it. For loops that live on; a
    #: request may hold something by its session, and must notice that it has lost it.
    reconnects: bool = False


#: Commands: what they read is as long as the log, and nobody waits for them.
COMMAND = Bounds()
MIGRATION = Bounds(idle=None)


def web(*, statement_seconds: float, threads: int) -> Bounds:
    """A process that answers requests."""
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
    """A process that works in the background: a cluster, the beat, the signer, the watchdog."""
    return Bounds(act=wait_seconds, read=wait_seconds, write=20.0, reconnects=True)


def probe(*, seconds: float = ACT_SECONDS) -> Bounds:
    """What asks how the database is: every wait ends within these seconds. For a thread, with `within`."""
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
    """Bound every statement of this process from now on. Connections that are open already keep their server's side."""
    global _process
    _process = bounds


def current() -> Bounds:
    """The bounds of this thread: its own where it has any, else the process's."""
    return getattr(_thread, "bounds", None) or _process


@contextmanager
def within(bounds: Bounds) -> Iterator[None]:
    """Have this thread wait so long, and no longer, inside the block."""
    outer = getattr(_thread, "bounds", None)
    _thread.bounds = bounds
    try:
        yield
    finally:
        _thread.bounds = outer
