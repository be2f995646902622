"""Allows a view to wait for something without holding a thread.

The web server (lockbox_site/serving) puts KEY into the environment of each request. If KEY is missing, for example in
tests that call a view directly, the view waits in its own thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

KEY = "lockbox.waits"
#: Seconds between two checks. If a stream yields an empty chunk, the server asks it again after this time.
LOOK_EVERY = 0.5

#: How long the server waits after an empty chunk, or after a check in vain, if nobody rings. None is LOOK_EVERY.
Pause = float | Callable[[], float] | None
#: Each is set as soon as somebody in this process waits for something that a thread looks for
#: (`requests_app.work.lookout`): for the end of a window whose content is read, for the end of the rights of a call or
#: a page, or for new entries and events.
CONTENT_WANTED, ENDS_WANTED, NEWS_WANTED = threading.Event(), threading.Event(), threading.Event()


class Waiting(HttpResponse):
    """An answer that is not ready yet. The server calls `look` every LOOK_EVERY seconds until it returns the answer.

    The calls can come from any thread. The server closes this object when the answer is ready or the client has
    disconnected. The answer gets the headers of this object.
    """

    #: Each check, and the call at the end, runs inside this context.
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    #: If somebody rings here, the server calls `look` immediately.
    news: News | None = None
    #: The seconds until the next check if nobody rings, or None for LOOK_EVERY.
    look_every: Pause = None
    #: If the server has no place for a call that waits, it answers with this instead of a refusal.
    at_once: Callable[[], HttpResponseBase] | None = None
    #: If the server stops, it answers with this, and not with a broken connection.
    at_stop: Callable[[], HttpResponseBase] | None = None

    def __init__(self, request: HttpRequest, look: Callable[[], HttpResponseBase | None]) -> None:
        super().__init__()
        self.request, self.look = request, look
        self._tells: list[Callable[[int | None], object]] = []

    def tell_end(self, tell: Callable[[int | None], object]) -> None:
        """Remember to call `tell` once at the end, with the status of the answer.

        If the client disconnects first, `tell` gets None in place of the status.
        """
        self._tells.append(tell)

    def ended(self, status: int | None) -> None:
        tells, self._tells = self._tells, []
        for tell in tells:
            with self.around():
                tell(status)

    def close(self) -> None:
        super().close()
        self.ended(None)

    def at_its_end(self, act: Callable[[], None]) -> None:
        self._resource_closers.append(act)  # type: ignore[attr-defined]  # unknown to the stubs

    def answered(self, response: HttpResponseBase) -> HttpResponseBase:
        """Give the response the headers and cookies that middlewares have set on this object. Return the response."""
        for name, value in self.items():
            # These headers describe the empty body of this object.
            if name not in ("Content-Length", "Content-Type", "ETag"):
                response.setdefault(name, value)
        for name, cookie in self.cookies.items():
            response.cookies.setdefault(name, cookie)
        self.ended(response.status_code)
        return response


def is_outside(environ: Mapping[str, Any]) -> bool:
    """Return whether the web server waits for the answer, so that the view must not wait itself."""
    return bool(environ.get(KEY))


class News:
    """Wakes all answers that wait for the same thing, so that they need not wait for LOOK_EVERY seconds.

    A stream whose response has such an object as `news` is asked for its next piece as soon as somebody rings. The same
    is true for an answer that is not ready yet.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: asyncio.Future[None] | None = None

    def next(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is done at the next ring. Call it on the loop, before the stream is asked."""
        with self._lock:
            if self._next is None or self._next.get_loop() is not loop:
                self._next = loop.create_future()
            return self._next

    def ring(self) -> None:
        """Wake what waits now. Any thread can call this."""
        with self._lock:
            waiting, self._next = self._next, None
        if waiting is not None:
            with suppress(RuntimeError):  # The loop has ended, and its streams with it.
                waiting.get_loop().call_soon_threadsafe(_done, waiting)


def seconds_of(pause: Pause) -> float:
    return LOOK_EVERY if pause is None else max(0.0, pause() if callable(pause) else pause)


class Ending:
    """Says that a stream must end now. Unlike News, it can't be missed: a caller that asks later learns it, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_come = False
        self._waiting: asyncio.Future[None] | None = None

    @property
    def has_come(self) -> bool:
        return self._has_come

    def future(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is done when the stream must end. Call it on the loop."""
        with self._lock:
            if self._waiting is None:
                self._waiting = loop.create_future()
                if self._has_come:
                    self._waiting.set_result(None)
            return self._waiting

    def come(self) -> None:
        """End the stream. Any thread can call this, more than once."""
        with self._lock:
            if self._has_come:
                return
            self._has_come, waiting = True, self._waiting
        if waiting is not None:
            with suppress(RuntimeError):  # The loop has ended, and its streams with it.
                waiting.get_loop().call_soon_threadsafe(_done, waiting)


def _done(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
