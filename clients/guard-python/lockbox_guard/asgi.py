"""The guard around an ASGI application on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from lockbox_guard.guard import Guard
from lockbox_guard.lockbox import Refused
from lockbox_guard.visit import KEY, PATH, SLICE, Cut, Response, Rule, Visit, without_our_cookies

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
#: Ways to hand a whole file to the server, which could then not be cut.
WHOLE_FILES = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
POLICY_VIOLATION = 1008


class ASGIGuard:
    """Guards the requests that `rules` gives a rule for. Without `rules`, the application calls `admit` itself."""

    def __init__(
        self, app: Any, guard: Guard, rules: Callable[[Message], Rule | None] = lambda scope: None,
        pattern: Callable[[Message], str | None] = lambda scope: None,
    ) -> None:  # fmt: skip
        self._app, self._guard, self._rules, self._pattern = app, guard, rules, pattern

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        headers = _texts(scope["headers"])
        visit = Visit(self._guard, scope.get("method", "WEBSOCKET"), scope["path"], scope["query_string"].decode(),
                      headers, lambda: loop.call_soon_threadsafe(over.set))  # fmt: skip
        if visit.path.startswith(PATH) and scope["type"] == "http":
            return await _respond(await asyncio.to_thread(visit.reserved), scope, send)
        kept = [(name, without_our_cookies(value) if name == "cookie" else value) for name, value in headers]
        extensions = {name: value for name, value in (scope.get("extensions") or {}).items() if name not in WHOLE_FILES}
        scope = {**scope, KEY: visit, "headers": _bytes(kept), "extensions": extensions}
        try:
            rule = self._rules(scope)
            if rule:
                await asyncio.to_thread(visit.admit, rule, self._pattern(scope))
        except Refused as refused:
            return await _respond(visit.refusal(refused), scope, send)
        gate = _Gate(visit, send)
        running, ending = asyncio.ensure_future(self._app(scope, receive, gate)), asyncio.ensure_future(over.wait())
        try:
            await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not visit.code:
                return running.result()
            if scope["type"] == "http" and gate.has_begun:
                raise Cut  # the server breaks the connection off, so that a part can't be taken for the whole
            await asyncio.wait_for(_respond(visit.refusal(Refused("window_ended")), scope, send), 1)
        finally:
            ending.cancel()
            running.cancel()
            # Asked to end, but not waited for: an application can ignore it, and its messages go nowhere.
            running.add_done_callback(lambda done: done.cancelled() or done.exception())
            visit.release()


class _Gate:
    """A `send` that hands slices over, and nothing after the access has ended."""

    def __init__(self, visit: Visit, send: Send) -> None:
        self._visit, self._send, self.has_begun = visit, send, False

    async def __call__(self, message: Message) -> None:
        body = message.get("body", b"")
        for at in range(0, len(body) or 1, SLICE):
            if self._visit.is_over():
                raise Cut
            if message["type"] in ("http.response.start", "websocket.accept"):
                headers = self._visit.headers(_texts(message.get("headers", [])))
                message, self.has_begun = {**message, "headers": _bytes(headers)}, True
            elif message["type"] == "http.response.body":
                more = message.get("more_body", False) or at + SLICE < len(body)
                await self._send({**message, "body": body[at : at + SLICE], "more_body": more})
                continue
            await self._send(message)


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]


def _bytes(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _respond(response: Response, scope: Message, send: Send) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": POLICY_VIOLATION})
    await send({"type": "http.response.start", "status": response[0], "headers": _bytes(response[1])})
    await send({"type": "http.response.body", "body": response[2]})
