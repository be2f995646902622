"""Turns over all workers: what waits for machines of others holds a few workers, and never all.

A turn is an entry in the cache, which is in the database, and ends by itself where its holder was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from django.core.cache import cache


@dataclass(frozen=True)
class Turn:
    """One of the places of a name, as long as it is renewed within `seconds`."""

    key: str
    token: str
    seconds: int

    def renew(self) -> None:
        cache.touch(self.key, self.seconds)


@contextmanager
def taken(name: str, *, seconds: int, places: int = 1) -> Iterator[Turn | None]:
    """Take one of the places, or give None where others have them all. `seconds` is longer than the longest wait."""
    token = uuid4().hex
    keys = (f"turn:{name}:{number}" for number in range(places))
    key = next((key for key in keys if cache.add(key, token, timeout=seconds)), None)
    if key is None:
        yield None
        return
    try:
        yield Turn(key, token, seconds)
    finally:
        if cache.get(key) == token:
            cache.delete(key)
