"""Answers calls to the decision point on the event loop, without Django's middleware and without a thread.

Django answers every call that is unusual in a way that a middleware cares about: with a cookie, a query, a long body,
another encoding, an unknown host, or without TLS where it is needed. For all other calls, the middleware only adds
headers, a line in the log and a count, which this module adds too. `tests/site/test_fast_path.py` compares both ways,
and fails if the list of middlewares changes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from django.conf import settings
from django.db import close_old_connections
from django.urls import resolve, reverse

from lockbox_site.middleware import id_of
from lockbox_site.monitoring import counters, tracing
from lockbox_site.serving import as_django, request_log
from lockbox_site.serving.pool import Full, Pool
from lockbox_site.serving.results import ClientGone, Results
from requests_app.domain import clock
from requests_app.domain.deciding import CROWD, TOO_BUSY, Asked
from requests_app.domain.errors import Busy
from requests_app.doors.api import exchange
from requests_app.doors.api.exchange import Answer, Call, Exchange
from requests_app.operations.evaluation import Call as Waiting

#: A longer body would keep the event loop busy for too long.
LONGEST_BODY = 16 * 1024
#: How many calls can wait for the decision lane in one process. One client can have half of them.
MOST_WAITING = 1024
#: How many questions one client can have there. Otherwise a few calls with a hundred questions each would fill it.
MOST_QUESTIONS = CROWD // 2
#: How many combinations of host and scheme are remembered.
_MOST_SEEN = 64

#: A context for a part of a call, such as its span.
Inside = Callable[[], AbstractContextManager[Any]]
#: What the steps of an answer need: answers of the decision lane, or a function that needs a thread.
Wanted = Sequence[Asked] | Waiting | Callable[[], Any]
T = TypeVar("T")


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
        self._lines = request_log.Lines(loop)
        # With several languages, the words of an answer would depend on the caller.
        self._routes = _routes() if len(settings.LANGUAGES) == 1 else {}
        self._seen: dict[tuple[str, str | None, str], tuple[bool, bool]] = {}
        self._around: dict[bool, exchange.Headers] = {}
        self._proto_header = as_django.header_of_proxy()
        self._waiting, self._waiting_of = 0, Counter[str]()
        self._questions_of = Counter[str]()

    def call_of(self, scope: Any, body: bytes | None, ip: str) -> FastCall | None:
        """Return the call, or None if Django must answer it."""
        route = self._routes.get(scope.path)
        if route is None or scope.method != "POST" or scope.query_string or body is None or len(body) > LONGEST_BODY:
            return None
        headers = scope.headers
        content_type = value_of(headers, "content-type")
        if "cookie" in headers or (content_type not in exchange.USUAL and "charset" in content_type.lower()):
            return None
        is_known, is_secure = self._seen_as(headers, scope.scheme)
        if not is_known or (settings.SECURE_SSL_REDIRECT and not is_secure):
            return None
        offered = value_of(headers, "x-request-id")
        call = Call(
            path=scope.path,
            is_several=route.is_several,
            body=body or None,
            authorization=value_of(headers, "authorization"),
            accept=value_of(headers, "accept") if "accept" in headers else "*/*",
            content_type=content_type,
            offered_id=offered,
            request_id=id_of(offered),
            ip=ip,
            has_key="idempotency-key" in headers,
        )
        if request_log.has_debug():
            agent = value_of(headers, "user-agent") if "user-agent" in headers else None
            request_log.began(f"POST {call.path}", request_id=call.request_id, ip=ip, user_agent=agent)
        traceparent = value_of(headers, "traceparent") if settings.TRACES else ""
        return FastCall(call, route, is_secure, traceparent)

    def _seen_as(self, headers: Any, scheme: str) -> tuple[bool, bool]:
        """Return whether the host is one of this site, and whether the call came over TLS, as Django sees both."""
        name = self._proto_header
        key = (value_of(headers, "host"), value_of(headers, name) if name and name in headers else None, scheme)
        found = self._seen.get(key)
        if found is None:
            found = as_django.seen(*key)
            if found[0] and len(self._seen) < _MOST_SEEN:
                self._seen[key] = found
        return found

    async def answer(self, quick: FastCall, proto: Any, *, client: str) -> Answer:
        """Return the answer with all of its headers. Raise Full if too many calls wait, or ClientGone."""
        call, since = quick.call, clock.monotonic()
        with self.place(client):
            span = tracing.request_began(quick, is_current=False) if settings.TRACES else None
            answer = await self._answered(call, proto, client, nullcontext if span is None else span.inside)
        if settings.METRICS:
            pattern, seconds = quick.route.pattern, clock.monotonic() - since
            counters.counted(lambda each: each.request(pattern, quick.method, answer.status, seconds))
        if span is not None:
            span.ended(quick.route.pattern, answer.status)
        return Answer(answer.status, self._headers(call, answer, is_secure=quick.is_secure), answer.body)

    async def end(self, *, seconds: float) -> None:
        """Refuse the calls that the decision lane has not begun with, and wait until all calls have their answers."""
        exchange.LANE.close()
        until = clock.monotonic() + seconds
        while self._waiting and clock.monotonic() < until:
            await asyncio.sleep(0.01)

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
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

    async def _answered(self, call: Call, proto: Any, client: str, inside: Inside) -> Answer:
        one = Exchange(call)
        try:
            answer = await self.driven(one.steps(), proto, client, inside)
        except ClientGone:
            request_log.cancelled(f"POST {call.path}", request_id=call.request_id, ip=call.ip)
            raise
        except Full:
            raise
        except Exception:
            return as_django.failed(call, one.about)
        request_log.finished(
            f"POST {call.path}",
            answer.status,
            request_id=call.request_id,
            ip=call.ip,
            is_put_off=answer.is_put_off,
            lines=self._lines,
        )
        return answer

    async def driven(self, steps: Generator[Any, Any, T], proto: Any, client: str, inside: Inside) -> T:
        """Do what the steps need, and return what they return. Raise ClientGone if the caller has gone."""
        go_on: Callable[[Any], Any] = steps.send
        result: Any = None
        while True:
            try:
                with inside():
                    wanted = go_on(result)
            except StopIteration as end:
                return cast(T, end.value)
            try:
                with inside():
                    coming = self._begun(wanted, proto, client)
                go_on, result = steps.send, await coming
            except ClientGone:
                raise
            except Full:
                # An earlier question of the call may have an entry, so the exchange answers.
                go_on, result = steps.throw, Busy(TOO_BUSY)
            except Exception as error:
                go_on, result = steps.throw, error

    def _begun(self, wanted: Wanted, proto: Any, client: str) -> Awaitable[Any]:
        if callable(wanted):
            return self._pool.submit(partial(_in_thread, wanted), self._loop, client=client).future
        return self._asked(wanted, proto, client)

    async def _asked(self, wanted: Sequence[Asked] | Waiting, proto: Any, client: str) -> Any:
        if isinstance(wanted, Waiting):
            size, submit = wanted.size, partial(exchange.LANE.enter, wanted)
        else:
            size, submit = len(wanted), partial(exchange.LANE.submit, wanted)
        if self._questions_of[client] + size > MOST_QUESTIONS:
            raise Full
        self._questions_of[client] += size
        try:
            return await self._results.of(submit(), proto)
        finally:
            self._questions_of[client] -= size
            if not self._questions_of[client]:
                del self._questions_of[client]

    def _headers(self, call: Call, answer: Answer, *, is_secure: bool) -> exchange.Headers:
        around = self._around.get(is_secure)
        if around is None:
            around = self._around[is_secure] = as_django.headers_around(call.path, is_secure=is_secure)
        found = [*answer.headers, ("Content-Length", str(len(answer.body))), *around]
        if not any(name == "X-Request-ID" for name, _value in answer.headers):
            found.append(("X-Request-ID", call.request_id))
        return found


def _routes() -> dict[str, Route]:
    addresses = {reverse("api:evaluation"): False, reverse("api:evaluations"): True}
    return {path: Route(f"/{resolve(path).route}", is_several) for path, is_several in addresses.items()}


def value_of(headers: Any, name: str) -> str:
    """Return the value of a header, as the environment of Django has it. A header that comes twice is joined."""
    if name not in headers:
        return ""
    values = headers.get_all(name)
    return values[0] if len(values) == 1 else ",".join(values)


def _in_thread(work: Callable[[], Any]) -> Any:
    """Run a function in a context of its own. Afterwards release the database connection, as after every request."""
    try:
        return Context().run(work)
    finally:
        close_old_connections()
