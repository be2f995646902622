"""Copies the bytes of a WebSocket both ways, without reading them. Each side waits for the other if it is slow."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from requests_app.doors.tools.watching import reset

#: The most bytes that wait for a slow side, how often it is looked at meanwhile, and how long it may take nothing.
MOST_WAITING, LOOK_SECONDS, STALLED_SECONDS = 64 * 1024, 0.02, 60.0


class Side(Protocol):
    """A connection of aiohttp, which hands over the bytes that it gets after the handshake."""

    transport: asyncio.Transport | None

    def set_parser(self, parser: Any, *args: Any) -> None: ...


class _Copier:
    """Takes the bytes of one side, as aiohttp hands them over, and writes them to the other side."""

    def __init__(self, source: asyncio.Transport, target: asyncio.Transport) -> None:
        self._source, self._target = source, target
        self.has_ended = asyncio.Event()
        self.is_full = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if data and not self._target.is_closing():
            self._target.write(data)
            if self._target.get_write_buffer_size() > MOST_WAITING and not self.is_full.is_set():
                self._source.pause_reading()
                self.is_full.set()
        return False, b""

    def feed_eof(self) -> None:
        self.has_ended.set()

    async def keep_pace(self) -> None:
        """Read again when the other side has taken its bytes. Return if it takes nothing for too long."""
        loop = asyncio.get_running_loop()
        while True:
            await self.is_full.wait()
            waiting, since = self._target.get_write_buffer_size(), loop.time()
            while waiting > MOST_WAITING // 2:
                await asyncio.sleep(LOOK_SECONDS)
                if (left := self._target.get_write_buffer_size()) < waiting:
                    waiting, since = left, loop.time()
                elif loop.time() - since > STALLED_SECONDS:
                    reset(self._target)
                    return
            self.is_full.clear()
            if not self._source.is_closing():
                self._source.resume_reading()


class Tunnel:
    def __init__(self, browser: Side, tool: Side) -> None:
        self._browser, self._tool = browser, tool

    async def run(self) -> None:
        """Copy until one side ends."""
        browser, tool = self._browser.transport, self._tool.transport
        if browser is None or tool is None:
            return
        up, down = _Copier(browser, tool), _Copier(tool, browser)
        self._browser.set_parser(up)
        self._tool.set_parser(down, None)
        waits = (up.has_ended.wait(), down.has_ended.wait(), up.keep_pace(), down.keep_pace())
        tasks = [asyncio.ensure_future(each) for each in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
