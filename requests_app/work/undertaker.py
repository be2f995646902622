"""Ends the supervisor's children if the supervisor itself ended without ending them, for example because it was killed.

This process reads lines from its standard input: `+<session>` adds a session to its list, `-<session>` removes one.
Only the supervisor holds the other end of the pipe. When the supervisor ends, the pipe closes, and this process kills
every session on the list. A parent-death signal would not reach grandchildren. The module imports nothing of Django, so
that the process stays small.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from requests_app.work.processes import Running, kill_tree

#: Starts a command with this descriptor as its standard input, or returns None if it can't.
Fork = Callable[[list[str], int], Running | None]


class Undertaker:
    """The supervisor's end of the pipe to the undertaker.

    The undertaker is a process. When the pipe closes, it kills all sessions on its list.
    """

    def __init__(self, cwd: Path, python: Sequence[str] = (sys.executable,), fork: Fork = lambda *_: None) -> None:
        """`python` is the beginning of the undertaker's command line. `fork` starts it, if it can."""
        self._cwd, self._fork = cwd, fork
        self._command = [*python, "-m", "requests_app.work.undertaker"]
        self._sessions: set[int] = set()
        self._orders: int | None = None
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch_over(self, session: int) -> None:
        """Add a session to the list. The undertaker kills it if the supervisor ends first."""
        self._sessions.add(session)
        self._write(f"+{session}\n")

    def forget(self, session: int) -> None:
        """Remove an ended session from the list, before the operating system gives its number to another session."""
        self._sessions.discard(session)
        self._write(f"-{session}\n")

    def dismiss(self) -> None:
        """Close the pipe, and wait until the undertaker has killed the sessions on its list.

        Kill the undertaker if this takes more than five seconds.
        """
        self._close_pipe()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _start(self) -> Running:
        reading, self._orders = os.pipe()
        try:
            if forked := self._fork(self._command, reading):
                return forked
            return subprocess.Popen(  # noqa: S603 - our own command line
                self._command, cwd=self._cwd, stdin=reading, stdout=subprocess.DEVNULL, start_new_session=True
            )
        finally:
            os.close(reading)

    def keep(self) -> None:
        """If the undertaker has ended, start a new one and send it the list of sessions."""
        if self._process.poll() is not None:
            self._close_pipe()
            self._process = self._start()
            self._write("".join(f"+{known}\n" for known in self._sessions))

    def _write(self, orders: str) -> None:
        # The undertaker may have been killed just now. `keep` then starts a new one and sends all sessions again.
        if self._orders is None:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._orders, orders.encode())

    def _close_pipe(self) -> None:
        if self._orders is not None:
            os.close(self._orders)
            self._orders = None


def main(orders: IO[str]) -> None:
    """Read the list of sessions until the pipe closes. Then kill all sessions on the list."""
    # A supervisor that is stopping still needs the undertaker, so a signal does not end it. Only the closed pipe does.
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
