"""Counts long calls: calls that wait for events, and log files that are read slowly.

A long call holds memory and a connection, but no thread. In one process, a caller may have only a few. All callers
together may use half of the capacity, so that there is room for downloads of content.
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

#: The most long calls in one process for a caller of the API, and for a person with a browser.
MOST_PER_CALLER, MOST_PER_PERSON = 2, 4

# Re-entrant, because the garbage collector may release a call while this thread holds the lock.
_lock = threading.RLock()
_places: Counter[UUID] = Counter()


class LongCall:
    """One long call of one caller. Raises TooMany if the caller, or all callers together, have too many."""

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
        """Release the place for the next call. It may be called more than once."""
        with _lock:
            if self._account_id is not None:
                _places[self._account_id] -= 1
                if not _places[self._account_id]:
                    del _places[self._account_id]
                self._account_id = None

    def __enter__(self) -> LongCall:
        return self

    def __exit__(self, failure: object, *_rest: object) -> None:
        """Release the place after a failure. Without a failure, the place is held until the end of the stream."""
        if failure is not None:
            self.leave()

    def __del__(self) -> None:
        self.leave()

    def to_the_end_of(self, chunks: Iterator[bytes]) -> CountedStream:
        return CountedStream(chunks, self)


class CountedStream:
    """A stream that counts as a long call until it ends or its reader disconnects."""

    def __init__(self, chunks: Iterator[bytes], place: LongCall) -> None:
        self._chunks, self._place = chunks, place

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        finally:
            self.close()

    def close(self) -> None:
        """Release the place. The server always calls this at the end, even if nothing was read."""
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        finally:
            self._place.leave()


@contextmanager
def long_call(account_id: UUID) -> Iterator[None]:
    place = LongCall(account_id)
    try:
        yield
    finally:
        place.leave()


def under_way() -> int:
    with _lock:
        return _places.total()
