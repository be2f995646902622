"""Reads the time for the whole product. No other module may read it.

With PostgreSQL, the time is that of the database's clock. So an application server with a wrong clock can't make a
window or a deadline longer. SQLite runs inside this process, so its clock is Python's clock.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from django.db import connection
from django.db.models import DateTimeField, Func, Value


def now() -> datetime:
    """Return the current instant in UTC, with microseconds."""
    if connection.vendor == "postgresql":
        return _database_now()
    return _python_now()


def brought(at: datetime) -> datetime:
    """Convert the value of `column()` in a query's result to UTC.

    A query with that column saves a separate query for the time.
    """
    return at.astimezone(UTC)


def column(at: Value | None = None) -> Func | Value:
    """Return an expression that adds the current time to each row of a query. Convert its value with `brought`.

    On SQLite, the time is a fixed value that this process passes to the query. A query that is compiled only once
    passes a parameter as `at`, so that each call has its own time.
    """
    if connection.vendor == "postgresql":
        return Func(function="clock_timestamp", output_field=DateTimeField())
    return at or Value(here(), output_field=DateTimeField())


def here() -> datetime:
    """Return this machine's time. With SQLite, it is also the database's time."""
    return _python_now()


def monotonic() -> float:
    """Return the seconds of a clock that is never set back. Use it only to measure how long something takes."""
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
