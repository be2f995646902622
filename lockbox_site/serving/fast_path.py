"""Answers calls to the decision point on the event loop, without Django's middleware and without a thread.

Django answers every call that is unusual in a way that a middleware cares about: with a cookie, a query, a long body,
another encoding, an unknown host, or without TLS where it is needed. For all other calls, the middleware only adds
headers, a line in the log and a count, which this module adds too. `tests/site/test_fast_path.py` compares both ways,
and fails if the list of middlewares changes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, cast

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import resolve, reverse
from django.utils.module_loading import import_string
from structlog.contextvars import bound_contextvars

from lockbox_site import views
from lockbox_site.middleware import REQUEST_ID
from lockbox_site.monitoring import counters, tracing
from lockbox_site.serving import request_log
from lockbox_site.serving.handler import Request
from lockbox_site.serving.pool import Full, Pool
from requests_app.domain import clock
from requests_app.domain.deciding import Asked
from requests_app.doors.api import exchange
from requests_app.doors.api.exchange import Answer, Call, Exchange, Steps
from requests_app.platform import outcome

#: A longer body would keep the event loop busy for too long.
LONGEST_BODY = 16 * 1024
#: How many calls can wait for the engine in one process. One client can have half of them.
MOST_WAITING = 1024
#: The middlewares whose work this module does itself, and the one for static files, which is slow to make.
DONE_HERE = frozenset(
    {
        "lockbox_site.monitoring.watching.WatchingMiddleware",
        "lockbox_site.middleware.RequestIdMiddleware",
        "lockbox_site.middleware.StaticFilesMiddleware",
        "lockbox_site.middleware.RequestLogMiddleware",
    }
)
#: How many combinations of host and scheme are remembered.
_MOST_SEEN = 64

log = structlog.get_logger(request_log.NAME)


@dataclass(frozen=True, slots=True)
class Route:
    pattern: str
    is_several: bool


@dataclass(frozen=True, slots=True)
class FastCall:
    """A call that is answered here, with its route, and whether it came over TLS."""

    call: Call
    route: Route
    is_secure: bool
    traceparent: str

    @property
    def method(self) -> str:
        return "POST"

    @property
    def META(self) -> dict[str, str]:
        return {"HTTP_TRACEPARENT": self.traceparent}

    @property
    def request_id(self) -> str:
        return self.call.request_id


class FastPath:
    """The calls that this process answers on its event loop. Only the event loop uses this object."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
        self._loop, self._pool, self._results = loop, pool, Results(loop)
        # With several languages, the words of an answer would depend on the caller.
        self._routes = _routes() if len(settings.LANGUAGES) == 1 else {}
        self._seen: dict[tuple[str, str | None, str], tuple[bool, bool]] = {}
        self._around: dict[bool, exchange.Headers] = {}
        self._proto_header = _header_of_proxy()
        self._waiting, self._waiting_of = 0, Counter[str]()

    def call_of(self, scope: Any, body: bytes | None, ip: str) -> FastCall | None:
        """Return the call, or None if Django must answer it."""
        route = self._routes.get(scope.path)
        if route is None or scope.method != "POST" or scope.query_string or body is None or len(body) > LONGEST_BODY:
            return None
        headers = scope.headers
        content_type = _value(headers, "content-type")
        if "cookie" in headers or (content_type not in exchange.USUAL and "charset" in content_type.lower()):
            return None
        is_known, is_secure = self._seen_as(headers, scope.scheme)
        if not is_known or (settings.SECURE_SSL_REDIRECT and not is_secure):
            return None
        offered = _value(headers, "x-request-id")
        call = Call(
            path=scope.path,
            is_several=route.is_several,
            body=body or None,
            authorization=_value(headers, "authorization"),
            accept=_value(headers, "accept") if "accept" in headers else "*/*",
            content_type=content_type,
            offered_id=offered,
            request_id=offered if REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex,
            ip=ip,
            has_key="idempotency-key" in headers,
        )
        if request_log.has_debug():
            agent = _value(headers, "user-agent") if "user-agent" in headers else None
            request_log.began(f"POST {call.path}", request_id=call.request_id, ip=ip, user_agent=agent)
        traceparent = _value(headers, "traceparent") if settings.TRACES else ""
        return FastCall(call, route, is_secure, traceparent)

    def _seen_as(self, headers: Any, scheme: str) -> tuple[bool, bool]:
        """Return whether the host is one of this site, and whether the call came over TLS, as Django sees both."""
        name = self._proto_header
        key = (_value(headers, "host"), _value(headers, name) if name and name in headers else None, scheme)
        found = self._seen.get(key)
        if found is None:
            found = _as_django_sees(*key)
            if len(self._seen) < _MOST_SEEN:
                self._seen[key] = found
        return found

    async def answer(self, quick: FastCall, *, client: str) -> Answer:
        """Return the answer with all of its headers. Raise Full if too many calls wait."""
        call, since = quick.call, clock.monotonic()
        with self._place(client):
            span = tracing.request_began(quick, is_current=False) if settings.TRACES else None
            answer = await self._answered(call, client, nullcontext if span is None else span.inside)
        if settings.METRICS:
            pattern, seconds = quick.route.pattern, clock.monotonic() - since
            counters.counted(lambda each: each.request(pattern, quick.method, answer.status, seconds))
        if span is not None:
            span.ended(quick.route.pattern, answer.status)
        return Answer(answer.status, self._headers(call, answer, is_secure=quick.is_secure), answer.body)

    @contextmanager
    def _place(self, client: str) -> Iterator[None]:
        if self._waiting >= MOST_WAITING or self._waiting_of[client] >= MOST_WAITING // 2:
            raise Full
        self._waiting += 1
        self._waiting_of[client] += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._waiting_of[client] -= 1
            if not self._waiting_of[client]:
                del self._waiting_of[client]

    async def _answered(self, call: Call, client: str, inside: Callable[[], AbstractContextManager[Any]]) -> Answer:
        one = Exchange(call)
        try:
            answer = await self._driven(one.steps(), client, inside)
        except Full:
            raise
        except Exception:
            return _failed(call, one.about)
        request = f"POST {call.path}"
        is_put_off = answer.is_put_off
        request_log.finished(request, answer.status, request_id=call.request_id, ip=call.ip, is_put_off=is_put_off)
        return answer

    async def _driven(self, steps: Steps, client: str, inside: Callable[[], AbstractContextManager[Any]]) -> Answer:
        go_on: Callable[[Any], Any] = steps.send
        result: Any = None
        while True:
            try:
                with inside():
                    wanted = go_on(result)
            except StopIteration as end:
                return cast(Answer, end.value)
            try:
                with inside():
                    coming = self._begun(wanted, client)
                go_on, result = steps.send, await coming
            except Exception as error:
                go_on, result = steps.throw, error

    def _begun(self, wanted: Sequence[Asked] | Callable[[], Any], client: str) -> asyncio.Future[Any]:
        if callable(wanted):
            return self._pool.submit(partial(_in_thread, wanted), self._loop, client=client).future
        return self._results.of(exchange.LANE.submit(wanted))

    def _headers(self, call: Call, answer: Answer, *, is_secure: bool) -> exchange.Headers:
        around = self._around.get(is_secure)
        if around is None:
            around = self._around[is_secure] = headers_around(call.path, is_secure=is_secure)
        found = [*answer.headers, ("Content-Length", str(len(answer.body))), *around]
        if not any(name == "X-Request-ID" for name, _value in answer.headers):
            found.append(("X-Request-ID", call.request_id))
        return found


class Results:
    """Brings the engine's results from its threads to the event loop. Several results wake the loop only once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready = deque[tuple[asyncio.Future[Any], Future[Any]]]()
        self._is_woken = False

    def of(self, future: Future[Any]) -> asyncio.Future[Any]:
        """Return a future of the loop with the same result. If it is cancelled, this cancels the engine's future."""
        waiting = self._loop.create_future()
        future.add_done_callback(lambda done: self._came(waiting, done))
        waiting.add_done_callback(lambda done: future.cancel() if done.cancelled() else None)
        return waiting

    def _came(self, waiting: asyncio.Future[Any], done: Future[Any]) -> None:
        self._ready.append((waiting, done))
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # Set before the first result is taken, so that a result that comes meanwhile wakes the loop again.
        self._is_woken = False
        while self._ready:
            waiting, done = self._ready.popleft()
            if waiting.done() or done.cancelled():
                waiting.cancel()
            elif (error := done.exception()) is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(done.result())


# --- What Django would do ------------------------------------------------------------------------------------


def _routes() -> dict[str, Route]:
    addresses = {reverse("api:evaluation"): False, reverse("api:evaluations"): True}
    return {path: Route(f"/{resolve(path).route}", is_several) for path, is_several in addresses.items()}


def _value(headers: Any, name: str) -> str:
    """Return the value of a header, as the environment of Django has it. A header that comes twice is joined."""
    if name not in headers:
        return ""
    values = headers.get_all(name)
    return values[0] if len(values) == 1 else ",".join(values)


def _header_of_proxy() -> str:
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


def _as_django_sees(host: str, proto: str | None, scheme: str) -> tuple[bool, bool]:
    request = Request(_environ("/", host, proto, scheme))
    try:
        request.get_host()
    except DisallowedHost:
        return False, False
    return bool(host), request.is_secure()


def _empty(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Cache-Control": "no-store"})


def headers_around(path: str, *, is_secure: bool) -> exchange.Headers:
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


def _in_thread(work: Callable[[], Any]) -> Any:
    """Run a function in a context of its own. Afterwards release the database connection, as after every request."""
    try:
        return Context().run(work)
    finally:
        close_old_connections()


def _failed(call: Call, about: tuple[str, str]) -> Answer:
    """Return the answer to a call that failed because of a bug, and log the failure, as Django does."""
    request = Request(_environ(call.path, "localhost", None, "http"))
    request.request_id = call.request_id  # type: ignore[attr-defined]  # read by the views of errors
    with bound_contextvars(request_id=call.request_id, ip=call.ip), outcome.watched():
        log.exception("request_failed", code=500, request=f"POST {call.path}")
        if about[0]:
            outcome.note(*about, claim=None)
        found = views.server_error(request)
    return Answer(found.status_code, list(found.items()), found.content)
