"""Turns that all workers share, so that only a few workers wait for other machines at the same time.

A turn is an entry in the cache, which is in the database. If its holder was killed, the turn ends automatically:
immediately if the holder was on the same machine, otherwise after its time.
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
    """A turn under one name. It lasts as long as it is renewed within `seconds`."""

    key: str
    token: str
    seconds: int

    def renew(self) -> None:
        """Extend the turn, unless it has ended and another worker has it now."""
        if cache.get(self.key) == self.token:
            cache.touch(self.key, self.seconds)


@contextmanager
def taken(name: str, *, seconds: int, places: int = 1) -> Iterator[Turn | None]:
    """Take one of the `places` turns of this name and yield it; yield None if all are taken.

    `seconds` must be longer than the longest wait between two renewals.
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
    """Return whether the holder has ended: its process ended, or it is a failed attempt of this process."""
    process, _space, _name = holder.rpartition(" ")
    return holder not in _tokens if process == process_names.current() else process_names.has_ended(process)
