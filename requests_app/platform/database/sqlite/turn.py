"""Gives the turn to write to an SQLite file to one connection after another, in the order of their arrival.

SQLite allows one writing transaction at a time. All other connections try again after pauses. The one that happens to
try at the right moment is next, so others may wait forever. Therefore the threads of a process wait in a queue here.
The processes take turns with a lock on a separate file, which SQLite does not use (ADR 52).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic, sleep

#: The shortest and the longest pause between two attempts of a process to be the next that writes, in seconds. The
#: process that is next uses the shortest pause.
LOOK, SELDOM = 0.0003, 0.004
#: If the process that is next is frozen, it must not block the others. They wait for it at most this long.
NEXT_FOR = 1.0


class Line:
    """The queue of those threads of this process that want to write to one file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()
        self._file = -1

    def take(self, until: float, *, every: float | None = None, meanwhile: Callable[[], None] | None = None) -> bool:
        """Wait until this thread has the turn to write. Return False if the turn did not come before `until`.

        During the wait, `meanwhile` is called every `every` seconds. If `meanwhile` raises, the thread leaves the
        queue; otherwise the thread keeps its place.
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
        """Leave the queue. Return True if this thread got the turn before it could leave."""
        with self._lock:
            if called.is_set():
                return True
            self._waiting.remove(called)
            return False

    def give(self) -> None:
        """Pass the turn to the thread that has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False

    @contextlib.contextmanager
    def next_in_line(self, until: float) -> Iterator[None]:
        """Try to be the only process that attempts to write, until the block ends.

        If another process holds this position for NEXT_FOR seconds, continue without the position.
        """
        is_next = self._become_next(min(until, monotonic() + NEXT_FOR))
        try:
            yield
        finally:
            if is_next:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def rest(self, until: float) -> None:
        """Wait until no other thread and no other process wants to write.

        Who writes again and again would otherwise have every second turn, however many others wait.
        """
        found_free = 0
        # Twice, because a thread that has just got the turn of its process needs a moment to become the next.
        while found_free < 2 and monotonic() < until:
            sleep(SELDOM)
            found_free = found_free + 1 if self._is_free() else 0

    def _is_free(self) -> bool:
        with self._lock:
            # Never touch the lock of the processes while another thread may hold it: it belongs to the whole process.
            if self._is_taken:
                return False
            self._is_taken = True
        try:
            if not self._become_next(0.0):
                return False
            fcntl.lockf(self._file, fcntl.LOCK_UN)
            return True
        finally:
            self.give()

    def _become_next(self, until: float) -> bool:
        if self._file < 0:
            try:
                # The file stays open as long as the process lives, because closing it would drop the locks of all
                # threads.
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
                # The process that is next waits for a whole transaction, so there is time. Each check costs a little.
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
    """Clear the queues in the child process after a fork, because the waiting threads do not exist there."""
    global _making
    _lines.clear()
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forget)
