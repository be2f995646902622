"""What Django would see in a call, add to its answer, and answer to a bug. The fast path needs this without Django."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import resolve
from django.utils.module_loading import import_string
from structlog.contextvars import bound_contextvars

from lockbox_site import views
from lockbox_site.serving import request_log
from lockbox_site.serving.handler import Request
from requests_app.doors.api.exchange import Answer, Call, Headers
from requests_app.platform import outcome

#: The middlewares whose work the fast path does itself, and the one for static files, which is slow to make.
DONE_HERE = frozenset(
    {
        "lockbox_site.monitoring.watching.WatchingMiddleware",
        "lockbox_site.middleware.RequestIdMiddleware",
        "lockbox_site.middleware.StaticFilesMiddleware",
        "lockbox_site.middleware.RequestLogMiddleware",
    }
)

log = structlog.get_logger(request_log.NAME)


def header_of_proxy() -> str:
    """Return the name of the header in which a proxy says whether the caller has used TLS, or ""."""
    setting = settings.SECURE_PROXY_SSL_HEADER
    return setting[0].removeprefix("HTTP_").lower().replace("_", "-") if setting else ""


class _Request(Request):
    def get_host(self) -> str:
        """Return any host: the middlewares refuse no host of the calls that are answered here."""
        return "localhost"


def _environ(path: str, host: str, proto: str | None, scheme: str) -> dict[str, Any]:
    found = {
        "REQUEST_METHOD": "POST", "PATH_INFO": path, "HTTP_HOST": host, "wsgi.url_scheme": scheme,
        "wsgi.input": BytesIO(), "SERVER_NAME": "localhost", "SERVER_PORT": "80", "REMOTE_ADDR": "127.0.0.1",
    }  # fmt: skip
    if proto is not None:
        found[settings.SECURE_PROXY_SSL_HEADER[0]] = proto
    return found


def seen(host: str, proto: str | None, scheme: str) -> tuple[bool, bool]:
    request = Request(_environ("/", host, proto, scheme))
    try:
        request.get_host()
    except DisallowedHost:
        return False, False
    return bool(host), request.is_secure()


@lru_cache(maxsize=64)
def is_secure(proto: str | None, scheme: str) -> bool:
    """Return whether a call came over TLS, as Django sees it."""
    return Request(_environ("/", "localhost", proto, scheme)).is_secure()


def _empty(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Cache-Control": "no-store"})


def headers_around(path: str, *, is_secure: bool) -> Headers:
    """Return the headers that the middlewares add to an answer at this address, in their order."""
    proto = "https" if is_secure and settings.SECURE_PROXY_SSL_HEADER else None
    request = _Request(_environ(path, "localhost", proto, "https" if is_secure else "http"))
    request.resolver_match = resolve(path)
    answer: Callable[[HttpRequest], HttpResponseBase] = _empty
    for name in reversed(settings.MIDDLEWARE):
        if name not in DONE_HERE:
            with suppress(MiddlewareNotUsed):
                answer = import_string(name)(answer)
    inner = ("Content-Type", "Content-Length", "Cache-Control")
    return [(name, value) for name, value in answer(request).items() if name not in inner]


def failed(call: Call, about: tuple[str, str]) -> Answer:
    """Return the answer to a call that failed because of a bug, and log the failure, as Django does."""
    request = Request(_environ(call.path, "localhost", None, "http"))
    request.request_id = call.request_id  # type: ignore[attr-defined]  # read by the views of errors
    with bound_contextvars(request_id=call.request_id, ip=call.ip), outcome.watched():
        log.exception("request_failed", code=500, request=f"POST {call.path}")
        if about[0]:
            outcome.note(*about, claim=None)
        found = views.server_error(request)
    return Answer(found.status_code, list(found.items()), found.content)
