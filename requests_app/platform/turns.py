"""Turns across all workers, so that waiting for other machines takes a few workers and never all.

A turn is an entry in the cache, which is in the database. If its holder was killed it ends by itself: at once for a
worker of this machine, after a while for another machine's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from django.core.cache import cache

from requests_app.platform import process_names

#: The turns that this process holds.
_tokens: set[str] = set()


@dataclass(frozen=True)
class Turn:
    """One of the turns of a name, as long as it is renewed within `seconds`."""

    key: str
    token: str
    seconds: int

    def renew(self) -> None:
        """Extend it, unless it was too late and another worker has it by now."""
        if cache.get(self.key) == self.token:
            cache.touch(self.key, self.seconds)


@contextmanager
def taken(name: str, *, seconds: int, places: int = 1) -> Iterator[Turn | None]:
    """Take one of the turns, or give None if others have them all. `seconds` is longer than the longest wait."""
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
    """Return whether the holder has ended: another process of this machine, or a failed attempt of this one."""
    process, _space, _name = holder.rpartition(" ")
    return holder not in _tokens if process == process_names.current() else process_names.has_ended(process)
