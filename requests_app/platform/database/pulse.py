"""Knows whether the database answers this process, so that not each thread must find out for itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic

#: How often one thread tries to connect while the database does not answer.
BETWEEN_TRIES = 1.0


class Pulse:
    """One per process. `answered` is called after every statement, so it takes no lock."""

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
        """Record that a statement has had no answer since then. If no other had one either, the database is silent."""
        with self._lock:
            if self.answered_at <= since:
                self._silent = True
                self._next_try = monotonic() + BETWEEN_TRIES

    @property
    def is_silent(self) -> bool:
        """Return whether the database is known not to answer. Then no existing connection is used."""
        return self._silent

    def may_connect(self) -> bool:
        """Return whether to try to connect. If the database is silent, one thread tries now and then."""
        if not self._silent:
            return True
        with self._lock:
            now = monotonic()
            if now < self._next_try:
                return False
            self._next_try = now + BETWEEN_TRIES
            return True

    def is_alive(self, ask: Callable[[], bool], *, since: float) -> bool:
        """Return whether any statement had an answer since then. One thread asks for all that want to know."""
        if self.answered_at > since:
            return True
        with self._asking:
            if self.answered_at > since:
                return True
            if not self._silent and ask():
                self.answered()
                return True
            return False


#: The one instance of this process.
PULSE = Pulse()
# The thread that held a lock during a fork does not exist in the child.
os.register_at_fork(after_in_child=PULSE.__init__)  # type: ignore[misc]  # initialised again in its place
