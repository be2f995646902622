"""Counts the calls that last: those that wait for news, and files of a log that are read slowly.

They hold no thread, but memory and a connection. A caller may have a few in one process, and all callers together half
of what the process can carry, so that downloads of content have room.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain.errors import TooMany

#: So many may one caller of the API hold in one process, and one person in front of a browser.
MOST_PER_CALLER, MOST_PER_PERSON = 2, 4

# Re-entrant: what is forgotten is given back by the garbage collector, which may come in the middle of a change.
_lock = threading.RLock()
_places: Counter[UUID] = Counter()


class Place:
    """One call that lasts, of one caller. Raises TooMany where there is none to be had."""

    _account_id: UUID | None = None

    def __init__(self, account_id: UUID, *, most: int = MOST_PER_CALLER) -> None:
        with _lock:
            if _places[account_id] >= most:
                raise TooMany(
                    _(
                        "You have as many downloads and waiting calls under way as you are allowed. Wait until one of "
                        "them has ended."
                    )
                )
            if _places.total() >= settings.WEB_STREAMS // 2:
                raise TooMany(_("Too many calls wait here at the moment. Try again when some of them have ended."))
            _places[account_id] += 1
        self._account_id = account_id

    def leave(self) -> None:
        """Make room for the next one; harmless when repeated."""
        with _lock:
            if self._account_id is not None:
                _places[self._account_id] -= 1
                if not _places[self._account_id]:
                    del _places[self._account_id]
                self._account_id = None

    def __enter__(self) -> Place:
        return self

    def __exit__(self, failure: object, *_rest: object) -> None:
        """What fails gives its place back; what goes well keeps it to the end of its stream."""
        if failure is not None:
            self.leave()

    def __del__(self) -> None:
        self.leave()

    def to_the_end_of(self, chunks: Iterator[bytes]) -> Held:
        return Held(chunks, self)


class Held:
    """A stream that keeps its place until it has ended or its reader has gone."""

    def __init__(self, chunks: Iterator[bytes], place: Place) -> None:
        self._chunks, self._place = chunks, place

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        finally:
            self.close()

    def close(self) -> None:
        """Called by the server in the end, also where nothing was read."""
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        finally:
            self._place.leave()


@contextmanager
def held(account_id: UUID) -> Iterator[None]:
    place = Place(account_id)
    try:
        yield
    finally:
        place.leave()


def taken() -> int:
    with _lock:
        return _places.total()
