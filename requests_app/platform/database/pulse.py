"""Records whether the database answers this process, so that each thread need not wait to find out by itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic

#: Seconds between two attempts to connect while the database does not answer.
BETWEEN_TRIES = 1.0


class Pulse:
    """Records whether the database answers. There is one instance in each process.

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
        """Record that a statement got no answer, and that it was sent at the time `since`.

        If no other statement got an answer after that time either, the database counts as silent.
        """
        with self._lock:
            if self.answered_at <= since:
                self._silent = True
                self._next_try = monotonic() + BETWEEN_TRIES

    @property
    def is_silent(self) -> bool:
        """Whether the database is known not to answer. While this is true, no existing connection is used."""
        return self._silent

    def may_connect(self) -> bool:
        """Return whether this thread may try to connect.

        While the database is silent, one thread may try in each period of BETWEEN_TRIES seconds.
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
        """Return whether the database answered any statement after the time `since`.

        If it answered none, one thread calls `ask`, and the other threads wait for the result of that call.
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
