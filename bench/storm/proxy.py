"""A proxy between the application and PostgreSQL that breaks connections at bad moments.

Usage: python proxy.py LISTEN-PORT SERVER-PORT. It runs in its own process, reads one order per line from standard
input, and prints what it did:

    cut SHARE            cut this share of all connections, each after a random number of further bytes
    cut-at-commit N      cut the next N connections after their COMMIT was acknowledged, before the client learns it
    cut-before-commit N  cut the next N connections before their COMMIT reaches the server, and drop the COMMIT
    hold SECONDS         pass nothing on for this time, like a network that loses every packet
"""

from __future__ import annotations

import asyncio
import random
import sys

CHUNK = 65_536


class Line:
    """One connection from the application, and the connection to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        #: The connection is cut after this number of further bytes from the server, or never for None.
        self.bytes_left: int | None = None
        self.awaits_commit = False

    def cut(self) -> None:
        for side in (self.client, self.server):
            # Abort the connections, so that no waiting data is delivered.
            side.transport.abort()
        self.proxy.lines.discard(self)

    async def pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_server: bool) -> None:
        try:
            while data := await source.read(CHUNK):
                await self.proxy.open.wait()
                if not self._lets_through(data, is_server=is_server):
                    return
                target.write(data)
                await target.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            for side in (self.client, self.server):
                if not side.is_closing():
                    side.close()
            self.proxy.lines.discard(self)

    def _lets_through(self, data: bytes, *, is_server: bool) -> bool:
        proxy = self.proxy
        if not is_server:
            # A transaction ends with a simple query.
            if b"COMMIT" in data:
                if proxy.before_commit:
                    proxy.before_commit -= 1
                    proxy.say("cut before COMMIT reached the server")
                    self.cut()
                    return False
                self.awaits_commit = True
            return True
        if self.awaits_commit and b"COMMIT\0" in data:
            self.awaits_commit = False
            if proxy.at_commit:
                proxy.at_commit -= 1
                proxy.say("cut at COMMIT's acknowledgement")
                self.cut()
                return False
        if self.bytes_left is not None:
            self.bytes_left -= len(data)
            if self.bytes_left <= 0:
                proxy.say("cut")
                self.cut()
                return False
        return True


class Proxy:
    def __init__(self, port: int, server_port: int) -> None:
        self.port, self.server_port = port, server_port
        self.lines: set[Line] = set()
        self.at_commit = self.before_commit = 0
        self.open = asyncio.Event()
        self.open.set()

    @staticmethod
    def say(words: str) -> None:
        print(words, flush=True)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        line = Line(self, writer, forth)
        self.lines.add(line)
        await asyncio.gather(
            line.pump(reader, forth, is_server=False), line.pump(back, writer, is_server=True), return_exceptions=True
        )

    async def obey(self) -> None:
        loop = asyncio.get_running_loop()
        while order := await loop.run_in_executor(None, sys.stdin.readline):
            word, _, value = order.strip().partition(" ")
            if word == "cut":
                for line in [line for line in self.lines if random.random() < float(value)]:
                    line.bytes_left = random.randrange(0, 2000)
            elif word == "cut-at-commit":
                self.at_commit = int(value)
            elif word == "cut-before-commit":
                self.before_commit = int(value)
            elif word == "hold":
                self.open.clear()
                loop.call_later(float(value), self.open.set)
            self.say(f"did {order.strip()}")

    async def run(self) -> None:
        server = await asyncio.start_server(self.accept, "127.0.0.1", self.port, backlog=256)
        self.say("ready")
        async with server:
            await self.obey()


if __name__ == "__main__":
    random.seed(0)
    asyncio.run(Proxy(int(sys.argv[1]), int(sys.argv[2])).run())
