"""The names of the time zones that this machine knows."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones


@cache
def names() -> frozenset[str]:
    """Return the names of all time zones. They are cached, because Python opens 600 files to find them."""
    return frozenset(available_timezones())
