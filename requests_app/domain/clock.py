"""The only place that reads the time.

With PostgreSQL, the time is the database's. So an application server with a wrong clock can neither lengthen a window
nor a deadline. SQLite runs in the process itself, and would use the same clock.
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
    """Return the present instant that came with a query's answer, which saves one query."""
    return at.astimezone(UTC)


def column() -> Func | Value:
    """Return the present instant as an extra column of a query; read the result with `brought`."""
    if connection.vendor == "postgresql":
        return Func(function="clock_timestamp", output_field=DateTimeField())
    return Value(_python_now(), output_field=DateTimeField())


def monotonic() -> float:
    """Return seconds on a clock that is never set back; only to measure durations."""
    return time.monotonic()


def _python_now() -> datetime:
    return datetime.now(tz=UTC)


def _database_now() -> datetime:
    # clock_timestamp() and not now(): now() is the start of the transaction. That may be before a wait for a lock, and
    # so before a deadline that has passed meanwhile.
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (at,) = cursor.fetchone()
    return at.astimezone(UTC)
