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
        self._under_way: OrderedDict[object, tuple[int, asyncio.Timeout, str]] = OrderedDict()
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
        async with self._bounded(length, client) as bound:
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
        async with self._bounded(self._longest, client) as bound:
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

    def begin(self, key: object, promised: int, timeout: asyncio.Timeout, client: str) -> None:
        while self._under_way and (len(self._under_way) >= MOST_BODIES or self._bytes + promised > MOST_BYTES):
            # If the oldest body of all clients were ended, a client that begins many could end the slow ones of
            # everybody else. The same would happen with thousands of bodies of one byte if only the length counted.
            share = self._count_of if len(self._under_way) >= MOST_BODIES else self._bytes_of
            greediest = max(share, key=share.__getitem__)
            oldest = next(key for key, (_, _, whose) in self._under_way.items() if whose == greediest)
            slow = self._under_way[oldest][1]
            self.end(oldest)
            slow.reschedule(asyncio.get_running_loop().time())
        self._under_way[key] = (promised, timeout, client)
        self._bytes += promised
        self._bytes_of[client] += promised
        self._count_of[client] += 1

    def __contains__(self, key: object) -> bool:
        return key in self._under_way

    def end(self, key: object) -> None:
        if found := self._under_way.pop(key, None):
            promised, _, client = found
            self._bytes -= promised
            self._bytes_of[client] -= promised
            self._count_of[client] -= 1
            if not self._count_of[client]:
                del self._bytes_of[client], self._count_of[client]


class Bound:
    """The time limit of one body. The limit grows with the bytes that have arrived."""

    def __init__(self, bodies: Bodies, promised: int, seconds: float, client: str) -> None:
        self._bodies, self._promised, self._seconds, self._client = bodies, promised, seconds, client

    async def __aenter__(self) -> Bound:
        self._ends = asyncio.get_running_loop().time() + self._seconds
        self._timeout = asyncio.timeout_at(self._ends)
        await self._timeout.__aenter__()
        self._bodies.begin(self, self._promised, self._timeout, self._client)
        return self

    async def __aexit__(self, *failure: Any) -> None:
        has_ended_early = self not in self._bodies
        self._bodies.end(self)
        try:
            await self._timeout.__aexit__(*failure)
        except TimeoutError:
            raise (Crowded if has_ended_early else TooSlow) from None

    def advance(self, taken: int) -> None:
        """Extend the time limit for the bytes that have arrived, unless the body was ended already."""
        if taken > LEAST_RATE and not self._timeout.expired() and self in self._bodies:
            self._timeout.reschedule(self._ends + taken / LEAST_RATE)


def _length(declared: str | None) -> int:
    try:
        return max(0, int(declared or 0))
    except ValueError:
        return 0
