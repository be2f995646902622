"""Counts long calls: calls that wait for events, and downloads of log files that are read slowly.

A long call holds memory and a connection, but no thread. In one process, each caller may have only a few long calls.
All callers together may use half of the capacity, so that room is left for downloads of content.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from requests_app.platform.slots import Slot, Slots

#: The most long calls in one process for a caller of the API, and for a person with a browser.
MOST_PER_CALLER, MOST_PER_PERSON = 2, 4

#: How many pages of one person wait in one process. A browser without HTTP/2 opens only six connections to a site, for
#: all of its pages. So a page that gets no place is answered at once, and asks again.
PAGES_PER_PERSON = 1
#: The share of the process's capacity that pages can have. All of it would leave nothing for downloads.
SHARE_OF_PAGES = 4

CALLS = Slots(
    own_taken=_(
        "You already run as many downloads and waiting calls as are allowed at the same time. Wait until one of them "
        "has ended."
    ),
    all_taken=_("Too many calls are waiting at the moment. Try again in a minute."),
)
#: Nobody sees its messages.
PAGES = Slots(own_taken=CALLS.own_taken, all_taken=CALLS.all_taken, share=SHARE_OF_PAGES)


class LongCall(Slot):
    """One long call of one caller. Creating it raises TooMany if the caller, or all callers together, have too many."""

    def __init__(
        self,
        account_id: UUID,
        *,
        most: int = MOST_PER_CALLER,
        slots: Slots = CALLS,
        tenant_id: UUID | None = None,
    ) -> None:
        super().__init__(slots, most=most)
        self.take(account_id, tenant_id=tenant_id)

    def __enter__(self) -> LongCall:
        return self

    def __exit__(self, failure: object, *_rest: object) -> None:
        """Release the place if the block failed. Otherwise the place is held until the stream ends."""
        if failure is not None:
            self.leave()

    def __del__(self) -> None:
        self.leave()

    def to_the_end_of(self, chunks: Iterator[bytes]) -> CountedStream:
        return CountedStream(chunks, self)


class CountedStream:
    """A stream that counts as a long call until the stream ends or the reader disconnects."""

    def __init__(self, chunks: Iterator[bytes], place: LongCall) -> None:
        self._chunks, self._place = chunks, place

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        finally:
            self.close()

    def close(self) -> None:
        """Release the place. The web server always calls this at the end, even if it read nothing."""
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
    return CALLS.taken()
