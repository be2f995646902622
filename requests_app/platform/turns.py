"""Turns over all workers: what waits for machines of others holds a few workers, and never all.

A turn is an entry in the cache, which is in the database. It ends by itself where its holder was killed: at once for a
worker of the same machine, after a while for one of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from django.core.cache import cache

from requests_app.platform import process_names

#: The turns that this process holds.
_held: set[str] = set()


@dataclass(frozen=True)
class Turn:
    """One of the places of a name, as long as it is renewed within `seconds`."""

    key: str
    token: str
    seconds: int

    def renew(self) -> None:
        """Have it for as long again, unless it was too late and somebody else has it by now."""
        if cache.get(self.key) == self.token:
            cache.touch(self.key, self.seconds)


@contextmanager
def taken(name: str, *, seconds: int, places: int = 1) -> Iterator[Turn | None]:
    """Take one of the places, or give None where others have them all. `seconds` is longer than the longest wait."""
    token = f"{process_names.current()} {uuid4().hex}"
    _held.add(token)
    try:
        key = next((key for key in _keys(name, places) if _take(key, token, seconds)), None)
        try:
            yield Turn(key, token, seconds) if key else None
        finally:
            if key and cache.get(key) == token:
                cache.delete(key)
    finally:
        _held.discard(token)


def _keys(name: str, places: int) -> list[str]:
    return [f"turn:{name}:{number}" for number in range(places)]


def _take(key: str, token: str, seconds: int) -> bool:
    if cache.add(key, token, timeout=seconds):
        return True
    holder = cache.get(key)
    if not isinstance(holder, str) or not _is_gone(holder):
        return False
    cache.delete(key)
    return bool(cache.add(key, token, timeout=seconds))


def _is_gone(holder: str) -> bool:
    """Whether the process of this machine that took it has ended, or is this one and could not give it back."""
    process, _space, _name = holder.rpartition(" ")
    return holder not in _held if process == process_names.current() else process_names.has_ended(process)
