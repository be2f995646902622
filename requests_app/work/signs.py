"""How the supervisor learns that a process of the web server has stopped working although it is still there.

Each process sends a datagram a second, over a socket that the supervisor made, with how long no thread of it has
finished anything although all are at work. No database has a part in it.
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

#: Names the supervisor's socket to the processes that it starts.
VARIABLE = "SIGNS_OF_LIFE"
EVERY_SECONDS = 1.0
#: A process from which nothing has come for so long is stopped or blocked.
SILENT_AFTER_SECONDS = 5.0
#: Where the supervisor itself did not run for so long (a suspended machine, a busy one), nobody's silence counts.
OWN_PAUSE_SECONDS = 1.5


class Signs:
    """The supervisor's end of the socket.

    Where there is no place for it, as on a disk that is full, `address` is empty, `trouble` says why, and nobody is
    watched: that is better than no web server.
    """

    def __init__(self) -> None:
        self._place: Path | None = None
        self.address = self.trouble = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            # Private to this account, so that nobody else can speak for a process.
            self._place = Path(tempfile.mkdtemp(prefix="lockbox-"))
            self._socket.bind(str(self._place / "signs"))
            self.address = str(self._place / "signs")
        except OSError as failure:
            self.trouble = str(failure)
        self._heard: dict[int, float] = {}
        self._stalled: dict[int, float] = {}
        self._listened_at = clock.monotonic()

    def listen(self) -> float:
        """Take in what has come. To be called several times a second; return for how long this process was away."""
        now = clock.monotonic()
        away = now - self._listened_at
        if away <= OWN_PAUSE_SECONDS:
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
        """The processes that have gone silent, or whose threads have all been at the same work for so long."""
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
        """Forget every process, and what was sent by now."""
        self.listen()
        self._heard.clear()
        self._stalled.clear()

    def close(self) -> None:
        self._socket.close()
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)


@functools.cache
def _outlet() -> socket.socket:
    """Kept open: a process that has no descriptor left for another one still lives."""
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    plain.setblocking(False)
    atexit.register(plain.close)
    return plain


def send(address: str, stalled_for: float) -> None:
    """Send one sign. It never waits, and fails without a word: a supervisor that is gone needs none."""
    with contextlib.suppress(OSError):
        _outlet().sendto(f"{os.getpid()} {stalled_for:.1f}".encode(), address)


def keep_giving(loop: asyncio.AbstractEventLoop, stalled_for: Callable[[], float]) -> None:
    """Give a sign each second from this event loop, if a supervisor listens.

    `stalled_for` says for how many seconds no thread has finished anything although all are at work.
    """
    if address := os.environ.get(VARIABLE):

        def give() -> None:
            send(address, stalled_for())
            loop.call_later(EVERY_SECONDS, give)

        loop.call_soon(give)
