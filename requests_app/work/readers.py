"""Wakes calls and pages that wait: if a log has new entries, a window has ended, or somebody may have lost a right.

For all of them in a process, one statement reads the lengths of their logs, one the windows, and one what each kind of
caller may do. So a call that waits holds no thread and no connection, and costs nothing while nothing of its own
changes. What ends a call or a page is read by another thread than what is new for it: an end waits for no news.
"""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

from requests_app.domain import clock
from requests_app.platform.waiting import ENDS_WANTED, NEWS_WANTED, News
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

    @property
    def can_end(self) -> bool:
        """Whether its end or the end of its caller's rights is looked for."""
        return self.grant_id is not None or self.token_id is not None or self.session is not None

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
        if seat.tenant_id is not None:
            NEWS_WANTED.set()
        if seat.can_end:
            ENDS_WANTED.set()
        return seat

    def leave(self, seat: Seat) -> None:
        with self._lock:
            self._seats.discard(seat)

    def look(self) -> bool:
        """Read the logs, and wake the calls for which there are new entries. Return False if nobody waits for that."""
        seats = [(seat, seat.tenant_id) for seat in self._present() if seat.tenant_id is not None]
        sizes = waiting.log_sizes({tenant_id for _seat, tenant_id in seats})
        for seat, tenant_id in seats:
            if seat.hear_size(sizes.get(tenant_id, 0)):
                seat.news.ring()
        return bool(seats)

    def look_at_windows(self) -> bool:
        """Wake the pages whose window has ended. Return False if no page waits for that."""
        seats = [(seat, seat.grant_id) for seat in self._present() if seat.grant_id is not None]
        live = waiting.live_windows({grant_id for _seat, grant_id in seats}, at=clock.now()) if seats else set()
        for seat, grant_id in seats:
            if grant_id not in live:
                seat.news.ring()
        return bool(seats)

    def look_at_tokens(self) -> bool:
        """Wake the calls whose token may do less or more than before. Return False if none waits."""
        seats = [(seat, seat.token_id) for seat in self._present() if seat.token_id is not None]
        if not seats:
            return False
        read_at = clock.monotonic()
        standings = waiting.standings({token_id for _seat, token_id in seats}, at=clock.now())
        for seat, token_id in seats:
            _hear_standing(seat, standings.get(token_id), read_at)
        return True

    def look_at_people(self) -> bool:
        """Wake the pages whose session has ended, or whose person may do less or more. Return False if none waits."""
        seats = [(seat, *seat.session) for seat in self._present() if seat.session is not None]
        read_at = clock.monotonic()
        sessions = waiting.live_sessions({key for _seat, key, _person_id in seats})
        standings = waiting.standings_of_people({person_id for _seat, _key, person_id in seats})
        for seat, key, person_id in seats:
            _hear_standing(seat, standings.get(person_id) if key in sessions else None, read_at)
        return bool(seats)

    def fail(self) -> None:
        """Wake the calls that can't rely on the last read any more. Each looks itself, and ends if that fails too."""
        oldest = clock.monotonic() - RELIES_FOR
        for seat in self._present():
            if seat.confirmed_at < oldest:
                seat.news.ring()

    def _present(self) -> list[Seat]:
        with self._lock:
            return list(self._seats)


def _hear_standing(seat: Seat, standing: Any, read_at: float) -> None:
    if seat.hear_standing(standing, read_at=read_at):
        seat.news.ring()


HUB = Hub()
