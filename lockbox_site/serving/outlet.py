"""Sends an answer only as fast as its client reads it, so that little of it waits in buffers.

The web server would accept the whole answer at the start and hold it until the client reads it. So this module asks the
kernel how much the client has acknowledged.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from requests_app.platform.sockets import STALLED_SECONDS, Gone, Line

#: The most bytes that are sent to one client without an acknowledgement, and the bytes that the server gets in one
#: step.
WINDOW, PIECE = 128 * 1024, 16 * 1024
#: A client that reads less than this on average during STALLED_SECONDS is disconnected. In bytes per second.
LEAST_RATE = 4 * 1024
#: How many seconds a client has for the rest of an answer that has failed, and between two questions meanwhile.
TAKES_THE_REST, OF_THE_REST = 2.0, 0.02
#: The seconds between two questions to the kernel: short for a fast reader, long for a slow one.
SOON, SELDOM = 0.001, 0.5


class TooSlow(Exception):
    """The client reads nothing, or almost nothing."""


class Ended(Exception):
    """The stream must end now, although its client has not taken what was sent."""


class Outlet:
    """Sends one answer. `is_framed` says that the web server adds a length before each piece (chunked encoding).

    When the future `ending` is done, nothing more is sent, and nobody waits for the client any more.
    """

    def __init__(
        self, transport: Any, line: Line | None, *, is_framed: bool, ending: asyncio.Future[None] | None = None
    ) -> None:
        self._transport, self._line, self._is_framed, self._ending = transport, line, is_framed, ending
        self._sent = 0
        self._before = line.acknowledged() + line.waiting() if line else 0
        self._since, self._taken_then = asyncio.get_running_loop().time(), 0
        self._rest = SOON
        self._waiter: asyncio.Future[None] | None = None
        if ending is not None:
            ending.add_done_callback(self._wake)

    async def send(self, data: bytes) -> None:
        """Send all data, as fast as the client reads. Raise TooSlow or Ended, or an error if the client has gone."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            self._require_not_ended()
            if start:
                await self.room()
            piece = bytes(view[start : start + PIECE])
            await self._transport.send_bytes(piece)
            self._sent += len(piece) + (len(f"{len(piece):x}") + 4 if self._is_framed else 0)

    def end(self) -> None:
        """End the answer. The web server sends the end when nothing refers to the transport any more."""
        self._transport = None
        if self._ending is not None:
            self._ending.remove_done_callback(self._wake)

    async def abort(self, *, at_once: bool) -> None:
        """Break the connection, because the web server would otherwise end the answer as if it were complete.

        Without `at_once`, the client gets some time to read what was sent.
        """
        if self._line is None:
            return
        until = asyncio.get_running_loop().time() + (0 if at_once else TAKES_THE_REST)
        with suppress(Gone):
            while self._sent > self._line.acknowledged() - self._before and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(OF_THE_REST)
        self._line.hang_up()

    async def room(self) -> None:
        """Wait until the client has acknowledged enough that another piece can be sent. Raise TooSlow or Ended."""
        if self._line is None:
            return
        loop = asyncio.get_running_loop()
        taken = self._line.acknowledged() - self._before
        if self._sent - taken + PIECE <= WINDOW:
            self._since, self._taken_then = loop.time(), taken
            return
        while self._sent - taken + PIECE > WINDOW:
            if loop.time() - self._since >= STALLED_SECONDS:
                if taken - self._taken_then < LEAST_RATE * STALLED_SECONDS:
                    self._line.hang_up()
                    raise TooSlow
                self._since, self._taken_then = loop.time(), taken
            await self._pause(self._rest)
            self._require_not_ended()
            now = self._line.acknowledged() - self._before
            self._rest = self._next_rest(now - taken, self._sent - now + PIECE - WINDOW)
            taken = now

    def _next_rest(self, read: int, missing: int) -> float:
        """Return when to ask the kernel again: when the client should have read what is missing, at its present rate.

        If nothing is missing, this is the room for one more piece. Hundreds of slow readers would otherwise fill a core
        with questions.
        """
        if not read:
            return min(2 * self._rest, SELDOM)
        wanted = missing if missing > 0 else PIECE
        return min(max(SOON, self._rest * wanted / read), SELDOM)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the stream must end.

        `asyncio.wait` would take three times as long, and hundreds of readers pause several times a second.
        """
        if self._ending is not None and self._ending.done():
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()

    def _wake(self, _ending: object = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _require_not_ended(self) -> None:
        if self._ending is not None and self._ending.done():
            raise Ended
