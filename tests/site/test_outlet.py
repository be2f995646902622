"""An answer is sent as fast as its client reads, and the kernel is not asked more often than this needs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lockbox_site.serving import outlet
from lockbox_site.serving.outlet import PIECE, WINDOW, Ended, Outlet


class Reader:
    """A client that reads some bytes at regular times. Its clock moves only when the outlet waits."""

    def __init__(self, bytes_each: int, *, every: float) -> None:
        self.bytes_each, self.every, self.now = bytes_each, every, 0.0
        self.sent = self.asked = 0

    async def send_bytes(self, data: bytes) -> None:
        self.sent += len(data)

    def acknowledged(self) -> int:
        self.asked += 1
        return min(int(self.now / self.every) * self.bytes_each, self.sent)

    def waiting(self) -> int:
        return 0


class Timed(Outlet):
    async def _pause(self, seconds: float) -> None:
        reader: Any = self._line
        reader.now += seconds


def sent_to(reader: Any, pieces: int) -> Any:
    async def send() -> None:
        outlet = Timed(reader, reader, is_framed=False)
        for _ in range(pieces):
            await outlet.send(bytes(PIECE))
            await outlet.room()

    asyncio.run(send())
    assert reader.sent == pieces * PIECE
    return reader


def test_the_kernel_is_rarely_asked_about_a_slow_reader() -> None:
    """With hundreds of them, these questions would fill a core."""
    reader = sent_to(Reader(8 * 1024, every=0.5), 64)
    # What the client has not read yet fits into the window.
    ideal = (64 * PIECE - WINDOW) / (8 * 1024) * 0.5
    assert ideal <= reader.now < ideal * 1.1
    assert reader.asked < 4 * reader.now


@pytest.mark.parametrize("rate", [50_000, 1_000_000, 20_000_000])
def test_a_steady_reader_waits_for_nothing(rate: int) -> None:
    reader = sent_to(Reader(max(rate // 1000, 1), every=0.001), 640)
    assert reader.now < (640 * PIECE - WINDOW) / rate * 1.1 + 0.1


def test_a_reader_is_fast_at_once_after_a_rest() -> None:
    class Resting(Reader):
        def acknowledged(self) -> int:
            self.asked += 1
            return min(max(0, int((self.now - 3) * 20_000_000)), self.sent)

    reader = sent_to(Resting(1, every=1), 640)
    assert 3 <= reader.now < 3 + 640 * PIECE / 20_000_000 + 0.5


@pytest.mark.parametrize("is_late", [False, True])
def test_the_end_of_a_stream_does_not_wait_for_the_next_question(
    monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """A client reads nothing, and the stream must end before the wait or during it."""
    monkeypatch.setattr(outlet, "SOON", 3600)

    async def send() -> None:
        loop, reader = asyncio.get_running_loop(), Reader(0, every=1)
        ending: asyncio.Future[None] = loop.create_future()
        out: Any = Outlet(reader, reader, is_framed=False, ending=ending)  # type: ignore[arg-type]
        for _ in range(WINDOW // PIECE):
            await out.send(bytes(PIECE))
        waits = asyncio.ensure_future(out.room())
        if is_late:
            await asyncio.sleep(0)
        ending.set_result(None)
        with pytest.raises(Ended):
            await waits

    asyncio.run(asyncio.wait_for(send(), 30))
