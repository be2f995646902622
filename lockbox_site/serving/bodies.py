"""Receives the body of a request on the event loop, before the request gets a thread.

Length, time and memory are limited.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from typing import Any

#: A body must be complete within this many seconds. A longer body gets more time while it arrives at this rate, in
#: bytes per second.
SECONDS, LEAST_RATE = 10.0, 16 * 1024
#: How often the bodies are looked at, in seconds. So one can take as much longer.
LOOK_EVERY = 1.0
#: The most bodies that one process receives at the same time, and the most bytes that are reserved for them. If more
#: arrive, the client with the largest share loses its oldest body.
MOST_BODIES, MOST_BYTES = 4000, 64 * 1024 * 1024
#: How much is read of a body that is too long, so that its client can read the answer before the connection ends.
MOST_DISCARDED, DISCARD_SECONDS = 4 * 1024 * 1024, 2.0


class TooSlow(Exception):
    """The body was not complete in time."""


class Crowded(Exception):
    """The body was ended: too many bodies arrive at the same time, and its client has the largest share of them."""


class Broken(Exception):
    """The body ended too early, because its client has disconnected."""


class Bodies:
    """The bodies that this process is receiving now. Only the event loop uses this object."""

    def __init__(self, *, longest: int, seconds: float = SECONDS) -> None:
        self._longest, self._seconds = longest, seconds
        self._under_way: OrderedDict[Bound, tuple[int, str]] = OrderedDict()
        self._is_watching = False
        self._bytes, self._bytes_of, self._count_of = 0, Counter[str](), Counter[str]()

    async def body_of(self, scope: Any, proto: Any, *, client: str = "") -> tuple[bytes | None, int | None]:
        """Return the body and its declared length.

        A body that is too long is not read, and None is returned in its place. Raise TooSlow, Crowded or Broken. For a
        method without a body, an empty body is returned, even if the client sent one.
        """
        headers = scope.headers
        if scope.method in ("GET", "HEAD", "OPTIONS"):
            return b"", None
        if "transfer-encoding" in headers:
            return await self._pieces(proto, client)
        length = _length(headers.get("content-length"))
        if length > self._longest:
            return None, length
        return (await self._whole(proto, length, client), length) if length else (b"", None)

    async def discard(self, proto: Any) -> None:
        """Continue to read for a moment, up to MOST_DISCARDED bytes, and ignore what arrives."""
        taken = 0
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                async for piece in proto:
                    taken += len(piece)
                    if not piece or taken > MOST_DISCARDED:
                        return
        except Exception:
            # A part was read before, or the client has disconnected.
            return

    async def _whole(self, proto: Any, length: int, client: str) -> bytes:
        taken = bytearray()
        with self._bounded(length, client) as bound:
            async for piece in proto:
                taken += piece
                bound.advance(len(taken))
                if len(taken) >= length or not piece:
                    break
        if len(taken) != length:
            raise Broken
        return bytes(taken)

    async def _pieces(self, proto: Any, client: str) -> tuple[bytes | None, int]:
        """Return a body that arrives in chunks, and its length.

        An empty piece marks the end of the body. A second empty piece means that the body is incomplete.
        """
        taken, ends = bytearray(), 0
        with self._bounded(self._longest, client) as bound:
            async for piece in proto:
                taken += piece
                ends += not piece
                if len(taken) > self._longest:
                    return None, len(taken)
                bound.advance(len(taken))
        if ends > 1:
            raise Broken
        return bytes(taken), len(taken)

    def _bounded(self, promised: int, client: str) -> Bound:
        return Bound(self, promised, self._seconds, client)

    def begin(self, key: Bound, promised: int, client: str) -> None:
        while self._under_way and (len(self._under_way) >= MOST_BODIES or self._bytes + promised > MOST_BYTES):
            # If the oldest body of all clients were ended, a client that begins many could end the slow ones of
            # everybody else. The same would happen with thousands of bodies of one byte if only the length counted.
            share = self._count_of if len(self._under_way) >= MOST_BODIES else self._bytes_of
            greediest = max(share, key=share.__getitem__)
            oldest = next(key for key, (_, whose) in self._under_way.items() if whose == greediest)
            self.end(oldest)
            oldest.expire()
        self._under_way[key] = (promised, client)
        self._bytes += promised
        self._bytes_of[client] += promised
        self._count_of[client] += 1
        if not self._is_watching:
            self._watch()

    def _watch(self) -> None:
        """End the bodies whose time is over, again and again while there are any.

        A timer for each body would cost more than the body itself.
        """
        loop = asyncio.get_running_loop()
        for each in [each for each in self._under_way if each.ends <= loop.time()]:
            each.expire()
        self._is_watching = bool(self._under_way)
        if self._is_watching:
            loop.call_later(min(LOOK_EVERY, self._seconds), self._watch)

    def __contains__(self, key: object) -> bool:
        return key in self._under_way

    def end(self, key: Bound) -> None:
        if found := self._under_way.pop(key, None):
            promised, client = found
            self._bytes -= promised
            self._bytes_of[client] -= promised
            self._count_of[client] -= 1
            if not self._count_of[client]:
                del self._bytes_of[client], self._count_of[client]


class Bound:
    """The time limit of one body. The limit grows with the bytes that have arrived."""

    def __init__(self, bodies: Bodies, promised: int, seconds: float, client: str) -> None:
        self._bodies, self._promised, self._seconds, self._client = bodies, promised, seconds, client
        self._is_over = False

    def __enter__(self) -> Bound:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelled_before = task, task.cancelling()
        self._began = asyncio.get_running_loop().time()
        self.ends = self._began + self._seconds
        self._bodies.begin(self, self._promised, self._client)
        return self

    def expire(self) -> None:
        """End the body, unless that is done already. Its task is waiting for the next piece."""
        if not self._is_over:
            self._is_over = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        has_ended_early = self not in self._bodies
        self._bodies.end(self)
        if not self._is_over:
            return
        # As asyncio.timeout does it: somebody else may have cancelled the task at the same time.
        is_ours = self._task.uncancel() <= self._cancelled_before
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise (Crowded if has_ended_early else TooSlow) from None

    def advance(self, taken: int) -> None:
        """Extend the time limit for the bytes that have arrived, unless the body was ended already."""
        if taken > LEAST_RATE and not self._is_over:
            self.ends = self._began + self._seconds + taken / LEAST_RATE


def _length(declared: str | None) -> int:
    try:
        return max(0, int(declared or 0))
    except ValueError:
        return 0
