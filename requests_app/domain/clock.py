"""The only place that asks what time it is.

On PostgreSQL the database answers, so that an application server whose clock is off can neither lengthen a
window nor a deadline. SQLite lives on the same machine as the process, whose clock it would ask itself.
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
    """The present instant that the database brought along with an answer, which saves asking it once more."""
    return at.astimezone(UTC)


def column() -> Func | Value:
    """The present instant beside what a query reads anyway; what comes of it goes through `brought`."""
    if connection.vendor == "postgresql":
        return Func(function="clock_timestamp", output_field=DateTimeField())
    return Value(_python_now(), output_field=DateTimeField())


def monotonic() -> float:
    """Seconds on a clock that is never set back; only for measuring how long something took."""
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
