"""Runs the proxy: accepts connections, decides on each request in a thread, and passes on what may pass."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import Future
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from django.conf import settings

from requests_app.domain import clock
from requests_app.doors.tools import headers, passing
from requests_app.doors.tools.deciding import UNCLEAR, Admitted, Answer, Asked, decided, in_thread, refusal
from requests_app.doors.tools.threads import Threads
from requests_app.doors.tools.watching import Open, Watch, reset
from requests_app.operations.gates import UNAVAILABLE
from requests_app.platform import sockets
from requests_app.work import heartbeats

log = structlog.get_logger(__name__)

#: How long a connection can be without a complete request head, and how many connections this process accepts.
HEAD_SECONDS, MOST_CONNECTIONS = 15.0, 2000
#: How long a decision can take, with its commit.
DECISION_SECONDS = 10.0
_MOST_LINE, _MOST_FIELD, _MOST_HEADERS = 8190, 24 * 1024, 100


class Server(web.Server):
    """A server that drops the connections that are too many."""

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._connections) > MOST_CONNECTIONS:
            reset(transport)


class Proxy:
    """The handler of all requests."""

    def __init__(self) -> None:
        self.watch = Watch()
        self._threads = Threads(settings.WEB_THREADS, "decide")
        self._calls: aiohttp.ClientSession | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = _asked(request)
        if isinstance(asked, Answer):
            return _answered(request, asked)
        began = asyncio.get_running_loop().time()
        found = await self._decided(asked)
        if isinstance(found, Answer):
            return _answered(request, found)
        try:
            return await self._passed_on(request, asked, found, began)
        finally:
            found.slot.leave()

    async def close(self) -> None:
        self.watch.cut_all()
        if self._calls is not None:
            await self._calls.close()

    def end_threads(self) -> None:
        self._threads.end()
        self.watch.end_threads()

    async def _decided(self, asked: Asked) -> Answer | Admitted:
        work = self._threads.submit(decided, asked)
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(work)), DECISION_SECONDS)
        except TimeoutError:
            work.add_done_callback(_leave)
            return await asyncio.get_running_loop().run_in_executor(None, refusal, UNAVAILABLE, asked)
        except asyncio.CancelledError:
            # The browser is gone, but the thread may still take a slot.
            work.add_done_callback(_leave)
            raise

    async def _passed_on(
        self, request: web.BaseRequest, asked: Asked, admitted: Admitted, began: float
    ) -> web.StreamResponse:
        if self._calls is None:
            self._calls = passing.session()
        task, transport = asyncio.current_task(), request.transport

        def cut() -> None:
            reset(transport)
            if task is not None:
                task.cancel()

        opened = Open(admitted, began=began, cut=cut)
        self.watch.add(opened)
        try:
            return await passing.passed_on(request, asked, admitted, self._calls)
        except passing.ToolFailed as failure:
            return _answered(request, refusal(failure.reason, asked))
        finally:
            self.watch.remove(opened)


def _leave(work: Future[Answer | Admitted]) -> None:
    """Release the slot of a request that nobody waits for any more."""
    if not work.cancelled() and work.exception() is None and isinstance(found := work.result(), Admitted):
        found.slot.leave()


def _asked(request: web.BaseRequest) -> Asked | Answer:
    """Return what the request asks for, or the answer to a request that programs could read differently."""
    if request.version != aiohttp.HttpVersion11:
        # With HTTP/1.0, the end of an answer could be the end of the connection, so a cut could look like an end.
        return refusal(UNCLEAR, status=505)
    try:
        found = headers.required(list(request.headers.items()))
        if "host" not in found:
            raise headers.BadHeaders
        if found.get("expect", "100-continue").lower() != "100-continue":
            raise headers.BadHeaders(417)
        wants_upgrade = "upgrade" in found or "upgrade" in headers.tokens(found.get("connection", ""))
        if wants_upgrade and not headers.is_websocket(request.method, found):
            raise headers.BadHeaders
    except headers.BadHeaders as bad:
        return refusal(UNCLEAR, status=bad.status)
    return Asked(host=found["host"], method=request.method, target=request.raw_path, headers=found)


def _answered(request: web.BaseRequest, answer: Answer) -> web.Response:
    found = web.Response(status=answer.status, body=answer.body)
    found.headers.clear()
    for name, value in [("Server", "lockbox"), *answer.headers]:
        found.headers.add(name, value)
    if answer.status >= 400 or request.can_read_body:
        found.force_close()
    return found


async def serve(host: str, port: int) -> None:
    """Run the proxy until SIGTERM or SIGINT."""
    proxy, stopping = Proxy(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with running(proxy, host, port):
        await stopping.wait()


class running:
    """Runs the proxy inside a block of `async with`."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self._proxy, self._host, self._port = proxy, host, port
        server = Server(
            proxy,
            handler_cancellation=True,
            keepalive_timeout=HEAD_SECONDS,
            lingering_time=2.0,
            access_log=None,
            auto_decompress=False,
            read_bufsize=passing.PIECE,
            max_line_size=_MOST_LINE,
            max_field_size=_MOST_FIELD,
            max_headers=_MOST_HEADERS,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        self._tasks: list[asyncio.Task[None]] = []
        self._beats = Threads(1, "beat")

    async def __aenter__(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=1024).start()
        # The listening socket exists now, and connections inherit its limits.
        sockets.narrow(self._port)
        self._tasks = [asyncio.create_task(each) for each in (self._proxy.watch.run(), _beat(self._beats))]

    async def __aexit__(self, *_error: object) -> None:
        await self._proxy.close()
        for task in self._tasks:
            task.cancel()
        await self._runner.cleanup()
        for end in (self._proxy.end_threads, self._beats.end):
            await asyncio.to_thread(end)


async def _beat(threads: Threads) -> None:
    """Report that the proxy runs, for the probe and the supervisor."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.run_in_executor(threads, in_thread, _touch)
        except Exception as error:
            log.warning("heartbeat_not_written", error=type(error).__name__)
        await asyncio.sleep(settings.HEARTBEAT_SECONDS / 2)


def _touch() -> None:
    heartbeats.touch(heartbeats.of_tool_proxy(), at=clock.now())
