"""Counts and traces each request by the pattern of its route. The path is never used: it can contain secrets."""

from __future__ import annotations

import sys
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponseBase

from lockbox_site.middleware import GetResponse, ProbeMiddleware, StaticFilesMiddleware
from lockbox_site.monitoring import counters, parts, tracing
from requests_app.domain import clock
from requests_app.platform.waiting import Waiting

#: Addresses that are answered before a route is looked up. What follows is not part of the name.
EARLY = ("/forward-auth/", "/.lockbox/")
#: The name of requests for which no route was found, or whose route was not looked up.
NO_ROUTE = "none"
#: The part of the installation that a command runs.
PARTS = {"cluster": "worker", "beat": "beat", "tool_proxy": "tools"}


def start(part: str = "") -> None:
    """Begin to count and to trace in this process. Without `part`, the command line says what the process is.

    The supervisor of a part is not the part, although an operator starts it with the same word.
    """
    program, word = [*sys.argv, "", ""][:2]
    if not part and program.endswith(("manage.py", "__main__.py")):
        part = PARTS.get(word, "")
    if settings.METRICS:
        counters.start(part)
    if settings.METRICS_PORT:
        parts.install()
    if settings.TRACES:
        tracing.start(part)


def route_of(request: HttpRequest) -> str:
    """Return the pattern of the route. There are only as many as the product has routes."""
    if request.resolver_match is not None:
        return f"/{request.resolver_match.route}"
    path = request.path_info
    if path in ProbeMiddleware.PROBES:
        return path
    if path in StaticFilesMiddleware.paths:
        return f"/{settings.STATIC_URL.strip('/')}/*"
    return next((f"{early}*" for early in EARLY if path.startswith(early)), NO_ROUTE)


class WatchingMiddleware:
    """Counts and traces each request. The time of a waiting call is not counted, because it waits on purpose."""

    def __init__(self, get_response: GetResponse) -> None:
        if not (settings.METRICS or settings.TRACES):
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        since = clock.monotonic()
        span = tracing.request_began(request) if settings.TRACES else None
        response = self.get_response(request)
        if isinstance(response, Waiting):
            response.tell_end(_at_end(request, span))
            return response
        _ended(request, response.status_code, span, clock.monotonic() - since)
        return response


def _at_end(request: HttpRequest, span: tracing.RequestSpan | None) -> Callable[[int | None], None]:
    # 499 is what nginx logs for a client that has disconnected.
    return lambda status: _ended(request, status or 499, span, None)


def _ended(request: HttpRequest, status: int, span: tracing.RequestSpan | None, seconds: float | None) -> None:
    route, method = route_of(request), request.method or ""
    if settings.METRICS:
        counters.counted(lambda each: each.request(route, method, status, seconds))
    if span is not None:
        span.ended(route, status)
