"""Lets the supervisor notice that a process of the web server has stopped working but still exists.

Each process sends a datagram a second over a socket that the supervisor made. It says for how long no thread has
finished anything although all are busy. No database is involved.
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

#: The variable that names the supervisor's socket to the processes that it starts.
VARIABLE = "SIGNS_OF_LIFE"
EVERY_SECONDS = 1.0
#: A process that has sent nothing for this long is stopped or blocked.
SILENT_AFTER_SECONDS = 5.0
#: If the supervisor itself did not run for this long (a suspended or busy machine), silence does not count.
PAUSE_SECONDS = 1.5


class Signs:
    """The supervisor's end of the socket.

    If there is no place for it, as on a full disk, `address` is empty, `trouble` says why, and nobody is watched: that
    is better than no web server.
    """

    def __init__(self) -> None:
        self._place: Path | None = None
        self.address = self.trouble = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            # Private to this account, so that nobody else can send for a process.
            self._place = Path(tempfile.mkdtemp(prefix="lockbox-"))
            self._socket.bind(str(self._place / "signs"))
            self.address = str(self._place / "signs")
        except OSError as failure:
            self.trouble = str(failure)
        self._heard: dict[int, float] = {}
        self._stalled: dict[int, float] = {}
        self._listened_at = clock.monotonic()

    def listen(self) -> float:
        """Receive what has come, and return for how long this process was away. Call it several times a second."""
        now = clock.monotonic()
        away = now - self._listened_at
        if away <= PAUSE_SECONDS:
            away = 0.0
        self._heard = {pid: heard + away for pid, heard in self._heard.items()}
        self._listened_at = now
        with contextlib.suppress(BlockingIOError):
            while True:
                self._note(self._socket.recv(64), now)
        return away

    def _note(self, sign: bytes, now: float) -> None:
        with contextlib.suppress(ValueError):
            pid, stalled = sign.decode("ascii").split()
            self._heard[int(pid)], self._stalled[int(pid)] = now, float(stalled)

    def known(self) -> set[int]:
        return set(self._heard)

    def silent(self, *, stalled_after: float) -> list[int]:
        """Return the processes that are silent, or whose threads have all been busy with the same work for too long."""
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
        """Forget every process, and what was sent so far."""
        self.listen()
        self._heard.clear()
        self._stalled.clear()

    def close(self) -> None:
        self._socket.close()
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)


@functools.cache
def _outlet() -> socket.socket:
    """Return the socket, kept open: a process without free descriptors is still alive."""
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    plain.setblocking(False)
    atexit.register(plain.close)
    return plain


def send(address: str, stalled_for: float) -> None:
    """Send one sign. It never waits, and fails silently: if the supervisor is gone, nobody needs it."""
    with contextlib.suppress(OSError):
        _outlet().sendto(f"{os.getpid()} {stalled_for:.1f}".encode(), address)


def keep_giving(loop: asyncio.AbstractEventLoop, stalled_for: Callable[[], float]) -> None:
    """Send a sign each second from this event loop, if a supervisor listens.

    `stalled_for` says for how many seconds no thread has finished anything although all are busy.
    """
    if address := os.environ.get(VARIABLE):

        def give() -> None:
            send(address, stalled_for())
            loop.call_later(EVERY_SECONDS, give)

        loop.call_soon(give)
