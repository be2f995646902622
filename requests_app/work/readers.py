"""Wakes calls and pages that wait: if a log has new entries, a window has ended, or somebody may have lost a right.

For all of them in a process, one statement reads the lengths of their logs, one the windows, and one what each kind of
caller may do. So a call that waits holds no thread and no connection, and costs nothing while nothing of its own
changes.
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
    """The place of one call or page that waits: for entries in a tenant's log, for the end of a window, or for both.

    Its caller is a token, or a person with a session. If only the call itself can judge its caller, it has neither.
    """

    def __init__(
        self,
        *,
        news: News,
        tenant_id: UUID | None = None,
        grant_id: UUID | None = None,
        token_id: UUID | None = None,
        session: tuple[str, UUID] | None = None,
    ) -> None:
        self.news, self.tenant_id, self.grant_id, self.token_id, self.session = (
            news, tenant_id, grant_id, token_id, session,
        )  # fmt: skip
        #: The length of the log when it was read last, or None.
        self.size: int | None = None
        #: When the caller's standing was last read and was the same as before.
        self.confirmed_at = float("-inf")
        #: When the standing was last read and had changed, or was gone.
        self._changed_at = float("-inf")
        self._standing: Any = None
        #: Whether the caller's token or session was gone when it was read last.
        self.is_gone = False

    def hear_size(self, size: int) -> bool:
        """Take the length of the log. Return whether it has changed."""
        before, self.size = self.size, size
        return before != size

    def hear_standing(self, standing: Any, *, read_at: float) -> bool:
        """Take what the caller may do. Return whether it has changed, so that the call must judge it again."""
        if standing is not None and standing == self._standing:
            self.confirmed_at = read_at
            return False
        self._standing, self._changed_at, self.is_gone = standing, clock.monotonic(), standing is None
        return True

    def relied_on(self, checked_at: float) -> float:
        """Return until when the caller's rights are known, for a call that has itself checked them at this time."""
        if checked_at < self._changed_at:
            return float("-inf")
        return max(checked_at, self.confirmed_at)


class _Found:
    """What was read for these seats. Nothing is asked for a kind of thing that nobody waits for."""

    def __init__(self, seats: list[Seat]) -> None:
        at = clock.now()
        sessions = [seat.session for seat in seats if seat.session is not None]
        self.windows = waiting.live_windows({seat.grant_id for seat in seats if seat.grant_id is not None}, at=at)
        self.sizes = waiting.log_sizes({seat.tenant_id for seat in seats if seat.tenant_id is not None})
        self._tokens = waiting.standings({seat.token_id for seat in seats if seat.token_id is not None}, at=at)
        self._people = waiting.standings_of_people({person_id for _key, person_id in sessions})
        self._sessions = waiting.live_sessions({key for key, _person_id in sessions})

    def standing_of(self, seat: Seat) -> Any:
        if seat.session is None:
            return self._tokens.get(seat.token_id) if seat.token_id is not None else None
        key, person_id = seat.session
        return self._people.get(person_id) if key in self._sessions else None


class Hub:
    """All calls and pages of this process that wait."""

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
        found = _Found(seats)
        for seat in seats:
            is_news = seat.tenant_id is not None and seat.hear_size(found.sizes.get(seat.tenant_id, 0))
            is_news |= seat.grant_id is not None and seat.grant_id not in found.windows
            if seat.token_id is not None or seat.session is not None:
                is_news |= seat.hear_standing(found.standing_of(seat), read_at=read_at)
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
