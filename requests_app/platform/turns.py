"""Turns that all workers share, so that only a few workers wait for other machines at the same time.

A turn is an entry in the cache, which is in the database. If the process that holds a turn is killed, the turn ends
automatically. On the same machine it ends immediately, otherwise when its time has passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from django.core.cache import cache

from requests_app.platform import process_names

#: The turns that this process holds now.
_tokens: set[str] = set()


@dataclass(frozen=True)
class Turn:
    """A turn that a worker holds. It ends unless it is renewed every `seconds`."""

    key: str
    token: str
    seconds: int

    def renew(self) -> None:
        """Extend the turn, unless it has ended and another worker holds it now."""
        if cache.get(self.key) == self.token:
            cache.touch(self.key, self.seconds)


@contextmanager
def taken(name: str, *, seconds: int, places: int = 1) -> Iterator[Turn | None]:
    """Take one of the `places` turns of this name and yield it. Yield None if all of them are taken.

    `seconds` must be longer than the longest time between two renewals.
    """
    token = f"{process_names.current()} {uuid4().hex}"
    _tokens.add(token)
    try:
        key = next((key for key in _keys(name, places) if _take(key, token, seconds)), None)
        try:
            yield Turn(key, token, seconds) if key else None
        finally:
            if key and cache.get(key) == token:
                cache.delete(key)
    finally:
        _tokens.discard(token)


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
    """Return whether the holder of a turn has ended.

    Either its process has ended, or it is an attempt of this process that is already over.
    """
    process, _space, _name = holder.rpartition(" ")
    return holder not in _tokens if process == process_names.current() else process_names.has_ended(process)
