"""The turn to write to an SQLite file, in the order of requests.

SQLite lets one transaction write at a time, and the others retry now and then: a newcomer at the right moment goes
first, and others may wait forever. So the threads of a process queue here. The processes take turns with a lock on a
file of its own, which is not SQLite's (ADR 52).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic, sleep

#: How often the next one in the queue tries to write, and how seldom others check whether they are next.
LOOK, SELDOM = 0.0003, 0.004
#: A frozen process that is next must not block the others: they stop waiting for it after this long.
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
        """Wait for this thread's turn; return False if it did not come in time.

        Every so many seconds it calls `meanwhile`, which may raise, and keeps its place in the queue.
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
        """Leave the queue; return True if the turn came just now."""
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
        """Become the one process that tries to write, or continue without this after a while."""
        is_next = self._become_next(min(until, monotonic() + NEXT_FOR))
        try:
            yield
        finally:
            if is_next:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _become_next(self, until: float) -> bool:
        if self._file < 0:
            try:
                # Open as long as the process lives. Closing it would drop the lock of every thread.
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
                # The next one still waits for a whole transaction, so there is time, and each check costs some.
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
    """Clear the queue after a fork, because its threads do not exist in the child."""
    global _making
    _lines.clear()
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forget)
