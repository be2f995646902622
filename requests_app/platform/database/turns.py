"""Records which thread of this process waits for which lock, so that one stuck lock does not block every thread.

A lock normally passes from thread to thread within milliseconds, and many calls for one tenant simply wait for it. A
lock counts as stuck if no thread has got it for half a second. At most a quarter of the threads may wait for one stuck
lock, and at most half of the threads for all stuck locks together. All further calls are refused immediately.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from time import monotonic

from django.db import OperationalError

STUCK_AFTER = 0.5
#: How long a lock still counts as stuck after the last waiting thread has given up.
STUCK_FOR = 2.0


class TurnRefused(OperationalError):
    """Too many threads already wait for stuck locks, so this thread may not wait. Nothing was done."""

    def __init__(self) -> None:
        super().__init__("Others wait for this lock already, and it is not given back.")


@dataclass(eq=False)
class Turn:
    """One thread's wait for one lock."""

    turns: Turns
    key: Hashable
    #: How many threads may wait for this lock while it is stuck, and how many for all stuck locks together.
    share: int
    most: int
    since: float = field(default_factory=monotonic)

    def require_place(self) -> None:
        self.turns.require_place(self)

    def leave(self, *, is_taken: bool) -> None:
        self.turns.leave(self, is_taken=is_taken)


@dataclass
class _Queue:
    """The threads that wait for one lock, in the order of their arrival."""

    stuck_after: float
    waiting: list[Turn] = field(default_factory=list)
    moved_at: float = 0.0
    stuck_until: float = 0.0

    def is_stuck(self, now: float) -> bool:
        if now < self.stuck_until:
            return True
        return bool(self.waiting) and now - max(self.moved_at, self.waiting[0].since) > self.stuck_after


class Turns:
    """All waits for locks in this process. There is one instance in each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[Hashable, _Queue] = {}

    def enter(
        self,
        key: Hashable,
        *,
        threads: int,
        share: int | None = None,
        stuck_after: float = STUCK_AFTER,
        is_holding: bool = False,
    ) -> Turn:
        """Begin to wait for the lock `key`. Raise TurnRefused if too many threads already wait for stuck locks.

        Without `share`, a quarter of the process's `threads` may wait for one stuck lock. A thread that already holds
        another lock (`is_holding`) may not wait for a stuck lock at all.
        """
        share, most = max(1, threads // 4 if share is None else share), max(1, threads // 2)
        with self._lock:
            now = monotonic()
            queue = self._queues.setdefault(key, _Queue(stuck_after))
            if queue.is_stuck(now) and (is_holding or len(queue.waiting) >= share or self._stuck(now) >= most):
                raise TurnRefused
            turn = Turn(self, key, share, most)
            queue.waiting.append(turn)
            return turn

    def _stuck(self, now: float) -> int:
        return sum(len(queue.waiting) for queue in self._queues.values() if queue.is_stuck(now))

    def require_place(self, turn: Turn) -> None:
        """Raise TurnRefused if the lock is stuck now, and too many other threads came before this thread."""
        with self._lock:
            now = monotonic()
            queue = self._queues[turn.key]
            if not queue.is_stuck(now):
                return
            if queue.waiting.index(turn) >= turn.share or self._earlier(turn, now) >= turn.most:
                raise TurnRefused

    def _earlier(self, turn: Turn, now: float) -> int:
        """Return how many threads began to wait for a stuck lock before this thread began to wait."""
        stuck = (queue for queue in self._queues.values() if queue.is_stuck(now))
        return sum(other.since < turn.since for queue in stuck for other in queue.waiting)

    def leave(self, turn: Turn, *, is_taken: bool) -> None:
        """End the wait. `is_taken` says whether the thread has got the lock."""
        with self._lock:
            now = monotonic()
            queue = self._queues[turn.key]
            was_stuck = queue.is_stuck(now)
            queue.waiting.remove(turn)
            if is_taken:
                queue.moved_at, queue.stuck_until = now, 0.0
            elif was_stuck:
                queue.stuck_until = now + STUCK_FOR
            self._forget(now)

    def _forget(self, now: float) -> None:
        for key in [key for key, queue in self._queues.items() if not queue.waiting and now >= queue.stuck_until]:
            del self._queues[key]


#: The instance of this process.
TURNS = Turns()
