"""A web tool with endless answers, the proxy of this product in front of it, and a client that changes no byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from requests_app.doors.tools.server import Proxy, running
from tests.ports import free_port

HOST = "quillo.example"
PIECE = b"x" * 4096


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@dataclass
class Tool:
    """A web tool. `got` has what it was asked, and `ended` how often an endless answer was ended from outside."""

    port: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)
    ended: int = 0
    #: The addresses from which it was called: one for each connection.
    callers: set[tuple[str, int]] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read() if request.path.endswith("/echo") else b""
        headers = [(name.lower(), value) for name, value in request.headers.items()]
        if request.transport is not None:
            self.callers.add(request.transport.get_extra_info("peername"))
        self.got.append({"method": request.method, "path": request.raw_path, "headers": headers, "body": len(body)})
        kind = request.path.rpartition("/")[2]
        if kind in ("download", "sized", "events"):
            return await self._endless(request, kind)
        if kind == "ws":
            return await self._socket(request)
        if kind == "original":
            # As Lockbox answers. With a body that nginx does not read, the connection would end.
            return web.Response()
        if kind == "slow":
            await asyncio.sleep(60)
        if kind == "upload":
            return web.json_response({"bytes": await self._count(request)})
        answer = web.json_response(self.got[-1])
        answer.headers.extend([("Set-Cookie", "tool=1"), ("Set-Cookie", "__Host-lockbox=stolen; Path=/; Secure")])
        answer.headers.update({"Alt-Svc": 'h2=":9999"', "X-Lockbox-Identity": "of the tool", "Connection": "x-own"})
        answer.headers["X-Own"] = "1"
        return answer

    async def _count(self, request: web.Request) -> int:
        count = 0
        async for piece in request.content.iter_any():
            count += len(piece)
        return count

    async def _endless(self, request: web.Request, kind: str) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream" if kind == "events" else "text/plain"})
        if kind == "sized":
            answer.content_length = 2**40
        try:
            await answer.prepare(request)
            while True:
                await answer.write(b"data: tick\n\n" if kind == "events" else PIECE)
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            self.ended += 1
            raise

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        answer = web.WebSocketResponse(protocols=("chat",))
        await answer.prepare(request)
        try:
            async for message in answer:
                if message.type == WSMsgType.TEXT:
                    await answer.send_str(message.data.upper())
        finally:
            self.ended += 1
        return answer


@contextmanager
def tool(tls: ssl.SSLContext | None = None) -> Iterator[Tool]:
    loop, found = Loop(), Tool()
    server = web.Application(client_max_size=2**30)
    server.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(server, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)

    async def begin() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        found.port = runner.addresses[0][1]

    loop.do(begin())
    try:
        yield found
    finally:
        loop.do(runner.cleanup())
        loop.end()


@dataclass
class Running:
    port: int
    proxy: Proxy


@contextmanager
def proxy() -> Iterator[Running]:
    """Run the proxy in this process, with its own loop and threads."""
    loop, port = Loop(), free_port()
    found: list[Any] = []

    async def begin() -> None:
        here = Proxy()
        found.extend([here, running(here, "127.0.0.1", port)])
        await found[1].__aenter__()

    loop.do(begin())
    try:
        yield Running(port, found[0])
    finally:
        loop.do(found[1].__aexit__())
        loop.end()


@dataclass
class Got:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """One connection to the proxy, on which everything is sent as it is."""

    def __init__(self, port: int) -> None:
        self._plain = socket.create_connection(("127.0.0.1", port), timeout=15)
        self._waiting = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._plain.close()

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._plain.shutdown(socket.SHUT_RDWR)

    def send(self, text: str | bytes) -> None:
        self._plain.sendall(text.encode() if isinstance(text, str) else text)

    def ask(self, target: str, method: str = "GET", /, **headers: str) -> None:
        """Send the head of a request, and nothing of its body."""
        given = {"Host": HOST, **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    def head(self) -> tuple[int, list[tuple[str, str]]]:
        text = self._until(b"\r\n\r\n")
        first, *lines = text.decode().strip().split("\r\n")
        pairs = [line.partition(":")[::2] for line in lines]
        return int(first.split()[1]), [(name.lower(), value.strip()) for name, value in pairs]

    def answer(self, *, has_body: bool = True) -> Got:
        status, headers = self.head()
        named, body = dict(headers), b""
        if not has_body or status in (204, 304):
            pass
        elif "chunked" in named.get("transfer-encoding", ""):
            while size := int(self._until(b"\r\n"), 16):
                body += self._exactly(size + 2)[:-2]
            self._exactly(2)
        else:
            body = self._exactly(int(named.get("content-length", 0)))
        return Got(status, headers, body)

    def more(self) -> bytes:
        """Return the next bytes, or b"" at the end of the connection."""
        if self._waiting:
            found, self._waiting = self._waiting, b""
            return found
        return self._plain.recv(65536)

    def is_over(self) -> bool:
        """Return whether the proxy has ended the connection."""
        self._plain.settimeout(5)
        try:
            return self.more() == b""
        except ConnectionError:
            return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._waiting:
            if not (piece := self._plain.recv(65536)):
                raise ConnectionError(self._waiting)
            self._waiting += piece
        found, _mark, self._waiting = self._waiting.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._waiting) < size:
            if not (piece := self._plain.recv(65536)):
                raise ConnectionError(self._waiting)
            self._waiting += piece
        found, self._waiting = self._waiting[:size], self._waiting[size:]
        return found


def ask(port: int, target: str, method: str = "GET", /, **headers: str) -> Got:
    with Line(port) as line:
        line.ask(target, method, **headers)
        return line.answer(has_body=method != "HEAD")


class Held:
    """An answer without an end. A thread reads it, and notes when the last byte came, and how the connection ended."""

    def __init__(self, port: int, target: str, **headers: str) -> None:
        self.line, self.last, self.size, self.end, self.was_reset = Line(port), 0.0, 0, "", False
        self.line.ask(target, **headers)
        self.status, self.headers = self.line.head()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while piece := self.line.more():
                self.last, self.size = time.monotonic(), self.size + len(piece)
            self.end = "clean"
        except ConnectionResetError:
            self.was_reset, self.end = True, "reset"
        except OSError as error:
            self.end = type(error).__name__
        finally:
            self.line.close()

    def wait(self) -> None:
        self._thread.join(15)

    def leave(self) -> None:
        """End the connection from this side."""
        self.line.hang_up()
        self.wait()

    def has(self, size: int) -> bool:
        ends = time.monotonic() + 10
        while self.size < size and time.monotonic() < ends:
            time.sleep(0.005)
        return self.size >= size


WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "chat",
}


def frame(text: str) -> bytes:
    """Return a text as a browser's WebSocket frame, with a mask of zeros."""
    body = text.encode()
    return bytes([0x81, 0x80 | len(body)]) + bytes(4) + body


def ping_until(held: Held, stop: threading.Event) -> None:
    """Send frames through a WebSocket until it ends, so that bytes come back all the time."""
    with contextlib.suppress(OSError, ValueError):
        try:
            while not stop.wait(0.01):
                held.line.send(frame("tick"))
        except ConnectionResetError:
            # The kernel tells this only once: to the thread that reads, or to the one that writes.
            held.was_reset = True
