"""Database errors for which Django has no class of its own."""

from __future__ import annotations

import sqlite3

from django.db import OperationalError

#: SQLite's primary result codes for a lock that was not granted in time.
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRIMARY = 0xFF
#: Codes of PostgreSQL (appendix A): serialization_failure, deadlock_detected, lock_not_available, query_canceled (a
#: time-out). Then the classes of errors that end the session: a lost connection, or a shutdown.
_LOCK_NOT_AVAILABLE = "55P03"
_WAITED = frozenset({"40001", "40P01", _LOCK_NOT_AVAILABLE, "57014"})
_LOST = ("08", "25P03", "25P04", "57P")


class CommitUnknown(OperationalError):
    """The database stopped answering during COMMIT, so nobody knows whether the transaction is saved.

    If the database refuses a commit, its own error is raised instead, and nothing is saved.
    """


def was_locked(error: BaseException | None) -> bool:
    """Return whether a statement failed only because a lock was not granted in time (PostgreSQL).

    Then the database works, and the connection stays open.
    """
    return state_of(error) == _LOCK_NOT_AVAILABLE


def state_of(error: BaseException | None) -> str:
    """Return the code of PostgreSQL for this error of Django, or ""."""
    return getattr(error and error.__cause__, "sqlstate", None) or ""


def gave_up_waiting(error: BaseException) -> bool:
    """Return whether a statement failed because of a lock, a time-out or a lost connection.

    It is False if the database refused the statement for another reason. If it is True because of a lock, the
    transaction that holds the lock may still commit.
    """
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & _PRIMARY in _LOCKED
    state = getattr(cause, "sqlstate", None)
    return state is None or state in _WAITED or state.startswith(_LOST)
