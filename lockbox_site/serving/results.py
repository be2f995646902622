"""Brings the results of the decision lane from its threads to the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from requests_app.domain import clock
from requests_app.platform import together

#: A call that has waited for this many seconds is cancelled if its client has disconnected.
PATIENT_FOR = 0.5


class ClientGone(Exception):
    """The client has disconnected before the decision lane began with its call. Nothing was done."""


@dataclass(eq=False, slots=True)
class _Wait:
    since: float
    proto: Any
    waiting: asyncio.Future[Any]
    gone: asyncio.Future[Any] | None = None


class Results:
    """The calls that wait for the decision lane. Only the event loop uses this object, except for `_came`.

    Results that come together wake the loop once, after the last of them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # A call must not hold the decision lane's future, which holds the call: both would stay in memory until Python
        # collects garbage. After 1,700 calls, all others would wait 40 ms for that.
        self._waits = dict[_Wait, Future[Any]]()
        self._ready = deque[tuple[_Wait, Future[Any]]]()
        self._is_woken = self._is_looking = False

    async def of(self, future: Future[Any], proto: Any) -> Any:
        """Return the result of the decision lane's future. Raise ClientGone if the call was cancelled."""
        wait = _Wait(clock.monotonic(), proto, self._loop.create_future())
        self._waits[wait] = future
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_later(PATIENT_FOR, self._look)
        future.add_done_callback(partial(self._came, wait))
        try:
            return await wait.waiting
        finally:
            del self._waits[wait]
            if wait.gone is not None:
                # The web server's future refers to its callback also after this, and so to the call and to itself. The
                # garbage collector does not see that, so this call would stay in memory for ever.
                gone, wait.gone = wait.gone, None
                gone.cancel()

    def _came(self, wait: _Wait, done: Future[Any]) -> None:
        """Take a result. The decision lane calls this in its threads."""
        self._ready.append((wait, done))
        if not self._is_woken:
            self._is_woken = True
            together.at_end(self._wake)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # Set before the first result is taken, so that a result that comes meanwhile wakes the loop again.
        self._is_woken = False
        while self._ready:
            wait, done = self._ready.popleft()
            if wait.waiting.done():
                continue
            try:
                wait.waiting.set_result(done.result())
            except CancelledError:
                wait.waiting.set_exception(ClientGone())
            except BaseException as error:
                wait.waiting.set_exception(error)

    def _look(self) -> None:
        """Ask the web server whether the clients of the calls that have waited for long are still there."""
        now = clock.monotonic()
        for wait, future in self._waits.items():
            # The oldest come first.
            if now - wait.since < PATIENT_FOR:
                break
            if wait.gone is None:
                wait.gone = asyncio.ensure_future(wait.proto.client_disconnect())
                wait.gone.add_done_callback(partial(_cancel, future))
        self._is_looking = bool(self._waits)
        if self._is_looking:
            self._loop.call_later(PATIENT_FOR, self._look)


def _cancel(future: Future[Any], gone: asyncio.Future[Any]) -> None:
    """Cancel the call of a client that has disconnected, unless the decision lane has begun with it."""
    if not gone.cancelled():
        future.cancel()
