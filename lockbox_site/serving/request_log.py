"""Logs requests that were answered on the event loop, in the same lines as `RequestLogMiddleware`."""

from __future__ import annotations

import asyncio
import logging
import re

import structlog
from django.conf import settings
from structlog.contextvars import bound_contextvars

from requests_app.domain import clock

#: The name under which every request is logged.
NAME = "django_structlog.middlewares.request"
#: Text that looks the same in JSON, and needs no processor.
_PLAIN = re.compile(r"[A-Za-z0-9._:-]*")
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
        event = {"event": "request_finished", "lines": len(self._lines)}
        record = logging.LogRecord(NAME, logging.INFO, __file__, 0, event, None, None)
        record.line = "\n".join(self._lines)
        self._lines.clear()
        _requests.handle(record)


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


def _finished_well(request: str, request_id: str, ip: str, lines: Lines) -> None:
    """Write the line that structlog would write, in a fraction of the time."""
    if not _requests.isEnabledFor(logging.INFO):
        return
    at = clock.here().isoformat().replace("+00:00", "Z")
    lines.add(
        f'{{"code": 200, "request": "{request}", "event": "request_finished", "request_id": "{request_id}", '
        f'"ip": "{ip}", "logger": "{NAME}", "level": "info", "timestamp": "{at}"}}'
    )
