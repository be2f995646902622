"""Names the process and the database session that work on a claim, and says whether they have ended."""

from __future__ import annotations

import threading
from uuid import UUID

from django.db import connection

from requests_app.platform import process_names

#: How many words name the process; the words after them name the session.
_PARTS = 3

_lock = threading.Lock()
_under_way: set[UUID] = set()


def current() -> str:
    """Return the name of this process and, on PostgreSQL, of this thread's database session."""
    return f"{process_names.current()} {_session()}"


def began(claim: UUID) -> None:
    with _lock:
        _under_way.add(claim)


def ended(claim: UUID) -> bool:
    """Record that this process has stopped working on this claim. Return whether it was working on the claim before."""
    with _lock:
        was_under_way = claim in _under_way
        _under_way.discard(claim)
    return was_under_way


def is_gone(holder: str, claim: UUID) -> bool:
    """Return whether the holder of this claim has certainly stopped working on it.

    For a claim of this process, the process itself knows the answer. For another process, PostgreSQL knows whether the
    holder's session has ended. SQLite has no sessions, so the process is looked up: all processes are on one machine.
    Behind a pooler that shares sessions, the answer can be wrong in both directions. Even then the act is not done
    twice, because the act's own transaction prevents that.
    """
    if holder.count(" ") < _PARTS:
        return False
    *parts, session = holder.split(" ", _PARTS)
    process = " ".join(parts)
    if process == process_names.current():
        with _lock:
            return claim not in _under_way
    if connection.vendor == "postgresql":
        return not _is_connected(session)
    return process_names.has_ended(process)


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
