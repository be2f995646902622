"""Shows the supervisor when a process of the web server still exists but no longer works.

Each web process sends one datagram a second to the supervisor's socket. The datagram says for how long all threads have
been busy without finishing anything. No database is involved.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from requests_app.domain import clock

#: The environment variable that gives the address of the supervisor's socket to the web server's processes.
VARIABLE = "SIGNS_OF_LIFE"
EVERY_SECONDS = 1.0
#: A process that has sent nothing for this long is stopped or blocked.
SILENT_AFTER_SECONDS = 5.0
#: If the supervisor itself did not run for this long (a suspended or busy machine), the silence before does not count.
PAUSE_SECONDS = 2.5


class Signs:
    """The supervisor's end of the socket.

    If the socket's directory can't be made, for example because the disk is full, `address` is empty and `trouble` has
    the reason. The web server then runs without this check of its processes.
    """

    def __init__(self) -> None:
        self._place: Path | None = None
        self.address = self.trouble = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            # The directory belongs to this account only, so that nobody else can send datagrams in the name of a
            # process.
            self._place = Path(tempfile.mkdtemp(prefix="lockbox-"))
            self._socket.bind(str(self._place / "signs"))
            self.address = str(self._place / "signs")
        except OSError as failure:
            self.trouble = str(failure)
        self._heard: dict[int, float] = {}
        self._stalled: dict[int, float] = {}
        self._listened_at = clock.monotonic()

    def listen(self) -> float:
        """Receive all waiting datagrams. Call this about once a second.

        Return for how many seconds the supervisor itself was suspended since the last call, or 0. That time does not
        count as silence of the web processes.
        """
        now = clock.monotonic()
        away = now - self._listened_at
        if away <= PAUSE_SECONDS:
            away = 0.0
        self._heard = {pid: heard + away for pid, heard in self._heard.items()}
        self._listened_at = now
        self.receive()
        return away

    def fileno(self) -> int:
        """Return the descriptor of the socket, which is readable when a datagram waits."""
        return self._socket.fileno()

    def receive(self) -> None:
        """Receive all waiting datagrams."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._note(self._socket.recv(64), self._listened_at)

    def _note(self, sign: bytes, now: float) -> None:
        with contextlib.suppress(ValueError):
            pid, stalled = sign.decode("ascii").split()
            self._heard[int(pid)], self._stalled[int(pid)] = now, float(stalled)

    def known(self) -> set[int]:
        return set(self._heard)

    def silent(self, *, stalled_after: float) -> list[int]:
        """Return the processes that do not work: they are silent, or all their threads were busy for too long.

        `stalled_after` is the allowed number of seconds without a finished thread.
        """
        now = self._listened_at
        return [
            pid
            for pid, heard in self._heard.items()
            if now - heard > SILENT_AFTER_SECONDS or self._stalled[pid] > stalled_after
        ]

    def forget(self, pid: int) -> None:
        self._heard.pop(pid, None)
        self._stalled.pop(pid, None)

    def forget_all(self) -> None:
        """Forget every process, and discard the datagrams that have arrived so far."""
        self.listen()
        self._heard.clear()
        self._stalled.clear()

    def close(self) -> None:
        self._socket.close()
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)


@functools.cache
def _outlet() -> socket.socket:
    """Return the socket of this process, and keep it open.

    A process that has used all its file descriptors is still alive, but could not open a new socket.
    """
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    plain.setblocking(False)
    atexit.register(plain.close)
    return plain


def send(address: str, stalled_for: float) -> None:
    """Send one datagram without waiting. Errors are ignored: without a supervisor, nobody needs the datagram."""
    with contextlib.suppress(OSError):
        _outlet().sendto(f"{os.getpid()} {stalled_for:.1f}".encode(), address)


def keep_giving(loop: asyncio.AbstractEventLoop, stalled_for: Callable[[], float]) -> None:
    """Send a datagram each second from this event loop, if a supervisor has passed the address of its socket.

    `stalled_for` returns for how many seconds all threads have been busy without finishing anything.
    """
    if address := os.environ.get(VARIABLE):

        def give() -> None:
            send(address, stalled_for())
            loop.call_later(EVERY_SECONDS, give)

        loop.call_soon(give)
