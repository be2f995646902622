"""Outlives the supervisor just long enough to end its children, even if it was killed.

It reads `+<session>` and `-<session>` from its standard input, whose other end only the supervisor holds. When that
closes, every session still listed is killed. This works without a parent-death signal, and reaches grandchildren, which
such a signal does not. It imports nothing of Django, to stay small.
"""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from requests_app.work.processes import kill_tree


class Undertaker:
    """The supervisor's end of the pipe."""

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd
        self._sessions: set[int] = set()
        self._process = self._start()

    def watch_over(self, session: int) -> None:
        """Add a session to be killed if the supervisor ends without notice."""
        self._sessions.add(session)
        self._write(f"+{session}\n")

    def forget(self, session: int) -> None:
        """Remove a session that has ended, before its number can be given to another one."""
        self._sessions.discard(session)
        self._write(f"-{session}\n")

    def dismiss(self) -> None:
        """Close the pipe and wait until everything left is gone, but not forever if the undertaker is stopped."""
        self._close_pipe()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "requests_app.work.undertaker"],
            cwd=self._cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def keep(self) -> None:
        """Start another one if somebody killed it; it gets all the sessions."""
        if self._process.poll() is not None:
            self._close_pipe()
            self._process = self._start()
            self._write("".join(f"+{known}\n" for known in self._sessions))

    def _write(self, orders: str) -> None:
        assert self._process.stdin is not None
        # Nobody reads it if it has just been killed: `keep` repeats what still counts.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(orders.encode())

    def _close_pipe(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


def main(orders: IO[str]) -> None:
    """Keep the list until the orders end, then kill what is on it."""
    # A supervisor that is stopping still needs this; only the end of the pipe is the end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sessions: set[int] = set()
    for order in orders:
        session = int(order[1:])
        if order.startswith("+"):
            sessions.add(session)
        else:
            sessions.discard(session)
    for session in sessions:
        kill_tree(session)


if __name__ == "__main__":
    main(sys.stdin)
