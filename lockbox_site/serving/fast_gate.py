"""Answers the proxies of web tools on the event loop, as the fast path answers the decision point.

`forward_auth.steps` makes each answer, here and in Django's middleware. Nothing that Django would do before or after it
can refuse a question or change its answer, because that middleware is one of the first. A page for a browser needs a
thread, and so does a question with a token. Django answers what has a body that is too long.
`tests/site/test_fast_gate.py` compares both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from lockbox_site.middleware import id_of
from lockbox_site.monitoring import counters, tracing, watching
from lockbox_site.serving import as_django
from lockbox_site.serving.fast_path import FastPath, value_of
from requests_app.domain import clock
from requests_app.doors.api import forward_auth
from requests_app.doors.api.exchange import Answer
from requests_app.doors.api.forward_auth import ProxyCall


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a proxy, with what only the web server needs of it."""

    call: ProxyCall
    method: str
    request_id: str
    traceparent: str

    @property
    def META(self) -> dict[str, str]:
        return {"HTTP_TRACEPARENT": self.traceparent}


class FastGate:
    """The questions of proxies that this process answers on its event loop. Only the event loop uses this object."""

    def __init__(self, fast: FastPath) -> None:
        self._fast = fast
        self._proto_header = as_django.header_of_proxy()

    def question_of(self, scope: Any, body: bytes | None, ip: str) -> Question | None:
        """Return the question, or None if Django must answer."""
        path = scope.path
        if body is None or not forward_auth.is_question(path):
            return None
        headers = scope.headers
        found = _headers_of(headers)
        offered = found.get("x-request-id", "")
        name = self._proto_header
        is_secure = as_django.is_secure(value_of(headers, name) if name and name in headers else None, scope.scheme)
        return Question(
            call=ProxyCall(
                path=path, headers=found, is_safe=is_secure or not settings.SECURE_SSL_REDIRECT, ip=ip
            ),
            method=scope.method,
            request_id=id_of(offered),
            traceparent=found.get("traceparent", "") if settings.TRACES else "",
        )  # fmt: skip

    async def answer(self, question: Question, proto: Any, *, client: str) -> Answer:
        """Return the answer with all of its headers. Raise Full if too many calls wait, or ClientGone."""
        since = clock.monotonic()
        with self._fast.place(client):
            span = tracing.request_began(question, is_current=False) if settings.TRACES else None
            inside = nullcontext if span is None else span.inside
            response = await self._fast.driven(forward_auth.steps(question.call), proto, client, inside)
        if settings.METRICS:
            seconds = clock.monotonic() - since
            counters.counted(lambda each: each.request(_ROUTE, question.method, response.status_code, seconds))
        if span is not None:
            span.ended(_ROUTE, response.status_code)
        response["X-Request-ID"] = question.request_id
        return Answer(response.status_code, list(response.items()), response.content)

    def too_busy(self, question: Question) -> Answer:
        """Return the answer to a question that nobody begins with. A proxy understands no other refusal."""
        response = forward_auth.too_busy()
        response["X-Request-ID"] = question.request_id
        return Answer(response.status_code, list(response.items()), response.content)


#: The name under which `WatchingMiddleware` counts the questions.
_ROUTE = next(f"{early}*" for early in watching.EARLY if forward_auth.is_question(early))


def _headers_of(headers: Any) -> Mapping[str, str]:
    """Return the headers as the environment of Django has them."""
    found, left_out = dict[str, str](), list[str]()
    for name in headers.keys():  # noqa: SIM118 - not a dict
        if "_" in name:
            left_out.append(name)
        elif name not in ("content-type", "content-length"):
            found[name] = (";" if name == "cookie" else ",").join(headers.get_all(name))
    return forward_auth.with_left_out(found, left_out) if left_out else found
