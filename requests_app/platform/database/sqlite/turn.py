"""The turn at writing to a file of SQLite's, in the order in which it is asked for.

SQLite lets one transaction write at a time, and those who wait look again now and then: who comes just when it is free
goes first, and others wait for as long as it takes. So the threads of a process stand in line here; and of the
processes one after the other is next, by a lock on a file of its own, which is no file of SQLite's (ADR 52).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic, sleep

#: How often the next one in line looks whether it may write, and how seldom others look whether they are the next.
LOOK, SELDOM = 0.0003, 0.004
#: A process that is next and frozen must not keep the others: they stop waiting for it after so long.
NEXT_FOR = 1.0


class Line:
    """The threads of this process that want to write to one file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()
        self._file = -1

    def take(self, until: float, *, every: float | None = None, meanwhile: Callable[[], None] | None = None) -> bool:
        """Wait for the turn of this thread; False when it did not come by then.

        It keeps its place in line while it looks, every so many seconds, at what `meanwhile` says. That may raise.
        """
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            called = threading.Event()
            self._waiting.append(called)
        try:
            while not called.wait(max(0.0, min(until - monotonic(), every or until))):
                if monotonic() >= until:
                    return self._leave(called)
                if meanwhile is not None:
                    meanwhile()
        except BaseException:
            if self._leave(called):
                self.give()
            raise
        return True

    def _leave(self, called: threading.Event) -> bool:
        """Leave the line; True where the turn came just now."""
        with self._lock:
            if called.is_set():
                return True
            self._waiting.remove(called)
            return False

    def give(self) -> None:
        """Hand the turn to the thread that has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False

    @contextlib.contextmanager
    def next_in_line(self, until: float) -> Iterator[None]:
        """Be the one process that looks whether it may write, or do without after a while."""
        is_next = self._become_next(min(until, monotonic() + NEXT_FOR))
        try:
            yield
        finally:
            if is_next:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _become_next(self, until: float) -> bool:
        if self._file < 0:
            try:
                # Kept as long as the process lives. To close it would drop the lock of every thread.
                self._file = os.open(f"{self._path}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return False
        pause = LOOK
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if monotonic() >= until:
                    return False
                # The one that is next has yet to wait for a whole transaction: there is time, and each look costs some.
                sleep(pause)
                pause = min(2 * pause, SELDOM)
            else:
                return True


_lines: dict[str, Line] = {}
_making = threading.Lock()


def line_at(path: str) -> Line:
    with _making:
        return _lines.setdefault(path, Line(path))


def _forget() -> None:
    """A forked process has none of the threads that stand in line."""
    global _making
    _lines.clear()
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forget)
