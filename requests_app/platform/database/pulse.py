"""Stores whether the database answers this process, so that a thread need not wait to find out."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic

#: Seconds between two attempts to connect while the database does not answer.
BETWEEN_TRIES = 1.0


class Pulse:
    """Whether the database answers. There is one instance per process.

    `answered` is called after every statement, so it takes no lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self.answered_at = monotonic()
        self._silent = False
        self._next_try = 0.0

    def answered(self) -> None:
        self.answered_at = monotonic()
        if self._silent:
            self._silent = False

    def gave_up(self, *, since: float) -> None:
        """Record that a statement has had no answer since this time.

        If no other statement had an answer since then either, the database counts as silent.
        """
        with self._lock:
            if self.answered_at <= since:
                self._silent = True
                self._next_try = monotonic() + BETWEEN_TRIES

    @property
    def is_silent(self) -> bool:
        """Whether the database is known not to answer. Then no existing connection is used."""
        return self._silent

    def may_connect(self) -> bool:
        """Return whether this thread may connect.

        While the database is silent, only one thread per second (BETWEEN_TRIES) may try.
        """
        if not self._silent:
            return True
        with self._lock:
            now = monotonic()
            if now < self._next_try:
                return False
            self._next_try = now + BETWEEN_TRIES
            return True

    def is_alive(self, ask: Callable[[], bool], *, since: float) -> bool:
        """Return whether any statement had an answer since this time.

        If none had, one thread calls `ask`, and the other threads wait for its result.
        """
        if self.answered_at > since:
            return True
        with self._asking:
            if self.answered_at > since:
                return True
            if not self._silent and ask():
                self.answered()
                return True
            return False


#: The instance of this process.
PULSE = Pulse()
# In the child of a fork, no thread exists that could release a lock that was held during the fork.
os.register_at_fork(after_in_child=PULSE.__init__)  # type: ignore[misc]  # initialised again in its place
