"""Wakes the calls that wait for entries of a log: when there are new ones, and when a caller may have lost a right.

For all calls of a process, one statement reads the lengths of their logs, and one reads what their callers may do. So a
call that waits holds no thread and no connection, and costs nothing while nothing of its own changes.
"""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

from requests_app.domain import clock
from requests_app.platform.waiting import WANTED, News
from requests_app.queries import waiting

#: For how many seconds a silent call relies on what was read last. Then it reads its caller's roles itself.
RELIES_FOR = 5.0


class Seat:
    """The place of one call that waits.

    A call that waits for something else than a log has no `tenant_id`. If only the call itself can judge its caller, it
    has no `token_id`.
    """

    def __init__(self, *, tenant_id: UUID | None, token_id: UUID | None, news: News) -> None:
        self.tenant_id, self.token_id, self.news = tenant_id, token_id, news
        #: The length of the log when it was read last, or None.
        self.size: int | None = None
        #: When it was last read that the caller's standing is the same as before.
        self.confirmed_at = float("-inf")
        #: When it was last read that the standing is another one, or is there no more.
        self._changed_at = float("-inf")
        self._standing: Any = None

    def hear_size(self, size: int) -> bool:
        """Take the length of the log. Return whether it has changed."""
        before, self.size = self.size, size
        return before != size

    def hear_standing(self, standing: Any, *, read_at: float) -> bool:
        """Take what the caller may do. Return whether it has changed, so that the call must judge it again."""
        if standing is not None and standing == self._standing:
            self.confirmed_at = read_at
            return False
        self._standing, self._changed_at = standing, clock.monotonic()
        return True

    def relied_on(self, checked_at: float) -> float:
        """Return until when the caller's rights are known, for a call that has itself checked them at this time."""
        if checked_at < self._changed_at:
            return float("-inf")
        return max(checked_at, self.confirmed_at)


class Hub:
    """All calls of this process that wait for entries."""

    def __init__(self) -> None:
        self._seats: set[Seat] = set()
        # Re-entrant, because the garbage collector may end an abandoned call while this thread holds the lock.
        self._lock = threading.RLock()

    def sit(self, **facts: Any) -> Seat:
        seat = Seat(**facts)
        with self._lock:
            self._seats.add(seat)
        WANTED.set()
        return seat

    def leave(self, seat: Seat) -> None:
        with self._lock:
            self._seats.discard(seat)

    def look(self) -> bool:
        """Read for all calls, and wake those for which something has changed. Return False if nobody waits."""
        with self._lock:
            seats = list(self._seats)
        if not seats:
            return False
        read_at = clock.monotonic()
        sizes = waiting.log_sizes({seat.tenant_id for seat in seats if seat.tenant_id is not None})
        standings = waiting.standings({seat.token_id for seat in seats if seat.token_id is not None})
        for seat in seats:
            is_news = seat.tenant_id is not None and seat.hear_size(sizes.get(seat.tenant_id, 0))
            if seat.token_id is not None:
                is_news |= seat.hear_standing(standings.get(seat.token_id), read_at=read_at)
            if is_news:
                seat.news.ring()
        return True

    def fail(self) -> None:
        """Wake the calls that can't rely on the last read any more. Each looks itself, and ends if that fails too."""
        with self._lock:
            seats = list(self._seats)
        oldest = clock.monotonic() - RELIES_FOR
        for seat in seats:
            if seat.confirmed_at < oldest:
                seat.news.ring()


HUB = Hub()
