"""The guard around a WSGI or an ASGI application."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from lockbox_guard.guard import Guard
from lockbox_guard.lockbox import Refused
from lockbox_guard.visit import HEADER, KEY, PATH, Cut, Response, Rule, Visit, without_our_cookies

#: Where WSGI servers put the connection's socket.
SOCKETS = ("gunicorn.socket", "werkzeug.socket", "lockbox_guard.socket")
#: Makes a closed connection forget what it has not yet sent.
RESET = struct.pack("ii", 1, 0)
POLICY_VIOLATION = 1008


class WSGIGuard:
    """Guards the requests that `rules` gives a rule for. Without `rules`, the application calls `admit` itself."""

    def __init__(self, guard: Guard, app: Any, rules: Callable[[Any], Rule | None] = lambda environ: None) -> None:
        self._guard, self._app, self._rules = guard, app, rules

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = (
            (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1").decode(errors="replace")
        )
        headers = [(name[5:].replace("_", "-").lower(), environ[name]) for name in environ if name.startswith("HTTP_")]
        visit = Visit(self._guard, environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers,
                      lambda: _disconnect(environ))  # fmt: skip
        if path.startswith(PATH):
            return _answer(visit.reserved(), start_response)
        environ.update({KEY: visit, "HTTP_COOKIE": without_our_cookies(environ.get("HTTP_COOKIE", ""))})
        environ.pop("HTTP_LOCKBOX_GRANT", None)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            write = start_response(status, visit.headers(headers), *error)
            return lambda data: [write(part) for part in visit.slices(data)]

        try:
            rule = self._rules(environ)
            if rule:
                visit.admit(rule)
            body = self._app(environ, start)
        except Refused as refused:
            return _answer(visit.refusal(refused), start_response)
        except BaseException:
            visit.release()
            raise
        return _Body(visit, body) if visit.accesses else body


class _Body:
    """A response's body, which breaks off when the access ends."""

    def __init__(self, visit: Visit, body: Iterable[bytes]) -> None:
        self._visit, self._body = visit, body

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            yield from self._visit.slices(chunk)

    def close(self) -> None:
        self._visit.release()
        getattr(self._body, "close", lambda: None)()


def _answer(response: Response, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response(f"{response[0]} {HTTPStatus(response[0]).phrase}", response[1])
    return [response[2]]


def _disconnect(environ: dict[str, Any]) -> None:
    """End the connection though the application is blocked, if the server shows its socket."""
    for connection in filter(None, map(environ.get, SOCKETS)):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.shutdown(socket.SHUT_RDWR)


class ASGIGuard:
    """Guards the requests that `rules` gives a rule for. Without `rules`, the application calls `admit` itself.

    The application gets no ASGI extensions: some hand a whole file to the server, which could then not be cut.
    """

    def __init__(
        self, app: Any, guard: Guard, rules: Callable[[Any], Rule | None] = lambda scope: None,
        pattern: Callable[[Any], str | None] = lambda scope: None,
    ) -> None:  # fmt: skip
        self._app, self._guard, self._rules, self._pattern = app, guard, rules, pattern

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        over, loop, headers = asyncio.Event(), asyncio.get_running_loop(), _texts(scope["headers"])
        visit = Visit(self._guard, scope.get("method", "WEBSOCKET"), scope["path"], scope["query_string"].decode(),
                      headers, lambda: loop.call_soon_threadsafe(over.set))  # fmt: skip
        if visit.path.startswith(PATH) and scope["type"] == "http":
            return await _respond(await asyncio.to_thread(visit.reserved), scope, send)
        kept = [(name, without_our_cookies(value) if name == "cookie" else value)
                for name, value in headers if name != HEADER]  # fmt: skip
        scope = {**scope, KEY: visit, "headers": _bytes(kept), "extensions": {}}
        try:
            rule = self._rules(scope)
            if rule:
                await asyncio.to_thread(visit.admit, rule, self._pattern(scope))
        except Refused as refused:
            return await _respond(visit.refusal(refused), scope, send)
        await _run(self._app(scope, receive, _gate(visit, send)), visit, over, scope, send)


async def _run(application: Any, visit: Visit, over: asyncio.Event, scope: Any, send: Any) -> None:
    """Run the application until it ends, or until its access ends."""
    running, ending = asyncio.ensure_future(application), asyncio.ensure_future(over.wait())
    try:
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not visit.code:
            return running.result()
        if scope["type"] == "http" and visit.has_begun:
            raise Cut  # the server breaks the connection off, so that a part can't be taken for the whole
        await asyncio.wait_for(_respond(visit.refusal(Refused("window_ended")), scope, send), 1)
    finally:
        ending.cancel()
        running.cancel()
        # Asked to end, but not waited for: an application can ignore it, and its messages go nowhere.
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        visit.release()


def _gate(visit: Visit, send: Any) -> Any:
    """Return a `send` that hands slices over, and nothing after the access has ended."""

    async def gate(message: Any) -> None:
        body, sent = message.get("body", b""), 0
        for part in visit.slices(body):
            if message["type"] in ("http.response.start", "websocket.accept"):
                headers = visit.headers(_texts(message.get("headers", [])))
                message, visit.has_begun = {**message, "headers": _bytes(headers)}, True
            sent += len(part)
            rest = {"body": part, "more_body": message.get("more_body", False) or sent < len(body)}
            await send({**message, **rest} if message["type"] == "http.response.body" else message)

    return gate


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]


def _bytes(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _respond(response: Response, scope: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": POLICY_VIOLATION})
    await send({"type": "http.response.start", "status": response[0], "headers": _bytes(response[1])})
    await send({"type": "http.response.body", "body": response[2]})
