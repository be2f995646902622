"""The only module that reads the time.

With PostgreSQL, it reads the database's clock. So an application server with a wrong clock can't make a window or a
deadline longer. SQLite runs inside this process, so its clock is the same as Python's.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from django.db import connection
from django.db.models import DateTimeField, Func, Value


def now() -> datetime:
    """Return the present instant in UTC, to the microsecond."""
    if connection.vendor == "postgresql":
        return _database_now()
    return _python_now()


def brought(at: datetime) -> datetime:
    """Return in UTC a time that a query returned in `column()`. This saves one query."""
    return at.astimezone(UTC)


def column(at: Value | None = None) -> Func | Value:
    """Return the present time as an extra column of a query. Read the result with `brought`.

    On SQLite, the time is a value of this process. A query whose text is compiled once has a parameter `at` for it.
    """
    if connection.vendor == "postgresql":
        return Func(function="clock_timestamp", output_field=DateTimeField())
    return at or Value(here(), output_field=DateTimeField())


def here() -> datetime:
    """Return the time of this machine. With SQLite, it is the database's time too."""
    return _python_now()


def monotonic() -> float:
    """Return seconds of a clock that is never set back. Use it only to measure durations."""
    return time.monotonic()


def _python_now() -> datetime:
    return datetime.now(tz=UTC)


def _database_now() -> datetime:
    # clock_timestamp() and not now(), which is the start of the transaction. The transaction may have waited for a lock
    # since then, and a deadline may have passed during the wait.
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (at,) = cursor.fetchone()
    return at.astimezone(UTC)
