"""Writes the lines of requests that went well, and those of all requests that were answered on the event loop."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping

import structlog
from django.conf import settings
from structlog.contextvars import bound_contextvars, get_contextvars

from lockbox_site.logs import SECRET_PATHS
from requests_app.domain import clock

#: The name under which every request is logged.
NAME = "django_structlog.middlewares.request"
#: Text that looks the same in JSON, and needs no processor.
_PLAIN = re.compile(r"[A-Za-z0-9._:-]*")
_PLAIN_REQUEST = re.compile(r"[A-Z]+ [A-Za-z0-9._/-]*")
#: What the context of a request has. Anything else is left to structlog.
_CONTEXT = frozenset({"request_id", "ip", "user_id"})
_requests = logging.getLogger(NAME)
log = structlog.get_logger(NAME)


class Lines:
    """Writes the lines of one turn of the event loop together, when it ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._lines = loop, list[str]()

    def add(self, line: str) -> None:
        if not self._lines:
            self._loop.call_soon(self._write)
        self._lines.append(line)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        _write(lines)


def began(request: str, *, request_id: str, ip: str, user_agent: str | None) -> None:
    with bound_contextvars(request_id=request_id, ip=ip):
        log.debug("request_started", request=request, user_agent=user_agent)


def has_debug() -> bool:
    return _requests.isEnabledFor(logging.DEBUG)


def finished(request: str, status: int, *, request_id: str, ip: str, is_put_off: bool = False, lines: Lines) -> None:
    """Log a request. `request` is a text of this product, without a secret."""
    if status == 200 and settings.LOG_FORMAT == "json" and _PLAIN.fullmatch(ip) and _PLAIN.fullmatch(request_id):
        _finished_well(request, request_id, ip, lines)
        return
    is_calm = status < 500 or is_put_off
    level = logging.INFO if status < 400 else logging.WARNING if is_calm else logging.ERROR
    with bound_contextvars(request_id=request_id, ip=ip):
        log.log(level, "request_finished", code=status, request=request)


def cancelled(request: str, *, request_id: str, ip: str) -> None:
    """Log a request whose client has disconnected before anybody began with it."""
    with bound_contextvars(request_id=request_id, ip=ip):
        log.info("request_cancelled", request=request)


def finished_plainly(request: str, status: int) -> bool:
    """Log a request that went well, in its context. Return False, and log nothing, if the line needs structlog."""
    if status >= 400 or settings.LOG_FORMAT != "json" or not _PLAIN_REQUEST.fullmatch(request):
        return False
    context = get_contextvars()
    is_plain = all(name in _CONTEXT and _PLAIN.fullmatch(value) for name, value in context.items())
    if not is_plain or SECRET_PATHS.search(request):
        return False
    if _requests.isEnabledFor(logging.INFO):
        _write([_line(request, status, context)])
    return True


def _finished_well(request: str, request_id: str, ip: str, lines: Lines) -> None:
    if _requests.isEnabledFor(logging.INFO):
        lines.add(_line(request, 200, {"request_id": request_id, "ip": ip}))


def _line(request: str, status: int, context: Mapping[str, str]) -> str:
    """Return the line that structlog would make of plain values, in a fraction of the time."""
    at = clock.here().isoformat().replace("+00:00", "Z")
    about = "".join([f'"{name}": "{value}", ' for name, value in context.items()])
    return (
        f'{{"code": {status}, "request": "{request}", "event": "request_finished", {about}'
        f'"logger": "{NAME}", "level": "info", "timestamp": "{at}"}}'
    )


def _write(lines: list[str]) -> None:
    event = {"event": "request_finished", "lines": len(lines)}
    record = logging.LogRecord(NAME, logging.INFO, __file__, 0, event, None, None)
    record.line = "\n".join(lines)
    _requests.handle(record)
