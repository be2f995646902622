"""The guard around a WSGI application."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from lockbox_guard.guard import Guard
from lockbox_guard.lockbox import Refused
from lockbox_guard.visit import KEY, PATH, SLICE, Cut, Response, Rule, Visit, without_our_cookies

#: Where servers put the connection's socket.
SOCKETS = ("gunicorn.socket", "werkzeug.socket", "lockbox_guard.socket")
#: Makes a closed connection forget what it has not yet sent.
RESET = struct.pack("ii", 1, 0)


class WSGIGuard:
    """Guards the requests that `rules` gives a rule for. Without `rules`, the application calls `admit` itself."""

    def __init__(
        self, guard: Guard, app: Any, rules: Callable[[dict[str, Any]], Rule | None] = lambda environ: None
    ) -> None:
        self._guard, self._app, self._rules = guard, app, rules

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        headers = [(name[5:].replace("_", "-").lower(), environ[name]) for name in environ if name.startswith("HTTP_")]
        visit = Visit(self._guard, environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers,
                      lambda: _disconnect(environ))  # fmt: skip
        if path.startswith(PATH):
            return _respond(visit.reserved(), start_response)
        environ.update({KEY: visit, "HTTP_COOKIE": without_our_cookies(environ.get("HTTP_COOKIE", ""))})

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            write = start_response(status, visit.headers(headers), *error)
            return lambda data: [write(part) for part in _Body(visit, [data])]

        try:
            rule = self._rules(environ)
            if rule:
                visit.admit(rule)
            body = self._app(environ, start)
        except Refused as refused:
            return _respond(visit.refusal(refused), start_response)
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
            for at in range(0, len(chunk) or 1, SLICE):
                if self._visit.is_over():
                    raise Cut
                yield chunk[at : at + SLICE]

    def close(self) -> None:
        self._visit.release()
        getattr(self._body, "close", lambda: None)()


def _respond(response: Response, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response(f"{response[0]} {HTTPStatus(response[0]).phrase}", response[1])
    return [response[2]]


def _disconnect(environ: dict[str, Any]) -> None:
    """End the connection though the application is blocked, if the server shows its socket."""
    for connection in filter(None, map(environ.get, SOCKETS)):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.shutdown(socket.SHUT_RDWR)
