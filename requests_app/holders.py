"""Names the process and the database session that hold a claim, and says whether they are known to be gone."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from uuid import UUID

from django.db import connection

_lock = threading.Lock()
_under_way: set[UUID] = set()


def current() -> str:
    """Name this process and, on PostgreSQL, the session of the database that serves this thread."""
    return f"{_process()} {_session()}"


def began(claim: UUID) -> None:
    with _lock:
        _under_way.add(claim)


def ended(claim: UUID) -> bool:
    """Note that this process no longer works for this claim, and say whether it did until now."""
    with _lock:
        was_under_way = claim in _under_way
        _under_way.discard(claim)
    return was_under_way


def is_gone(holder: str, claim: UUID) -> bool:
    """Say whether the holder of this claim is known to do nothing with it any more.

    A process knows what it does itself. Of another one, the database knows whether its session has ended; SQLite has no
    sessions, and only processes of one machine. Behind a pooler that shares sessions the answer may be wrong in either
    direction: the act's own transaction is what keeps the act from being done twice.
    """
    if holder.count(" ") < _PARTS:
        return False
    host, pid, started, session = holder.split(" ", _PARTS)
    if f"{host} {pid} {started}" == _process():
        with _lock:
            return claim not in _under_way
    if connection.vendor == "postgresql":
        return not _is_connected(session)
    return host == socket.gethostname() and bool(started) and _started(pid) != started


_PARTS = 3


def _process() -> str:
    pid = str(os.getpid())
    return f"{socket.gethostname()} {pid} {_started(pid)}"


def _started(pid: str) -> str:
    """When a process began, in ticks since the machine did; empty where there is none, or the system does not say."""
    try:
        # proc(5): the name, in parentheses, may hold anything; `starttime` is the 20th field behind it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


_SESSION = "SELECT pid || ' ' || extract(epoch FROM backend_start) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_CONNECTED = "SELECT 1 FROM pg_stat_activity WHERE pid || ' ' || extract(epoch FROM backend_start) = %s"


def _session() -> str:
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)
        return str(cursor.fetchone()[0])


def _is_connected(session: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_CONNECTED, [session])
        return cursor.fetchone() is not None
