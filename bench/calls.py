"""Measure what one call of the API, or one page, costs: processor time here and in the database, and its statements.

The calls run in this process, one after the other, through the same handler as in the web server, and without the
server's own part. So the numbers do not depend on how busy the machine is, but they are lower bounds.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import resolve

from bench.measure import Result, of_session
from lockbox_site import statements
from lockbox_site.serving.handler import Handler
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.doors.api.authentication import BearerAuthentication
from tests.cast import Cast

#: How many times each call is made before it is measured.
WARM_UP = 15


@dataclass(frozen=True)
class _Call:
    name: str
    environ: dict[str, Any]
    aim: str = ""
    #: Whether the view of the API is also measured alone, without the middleware.
    has_view: bool = False


def run(cast: Cast, bar: Any, *, times: int, only_aims: bool) -> list[Result]:
    """Make each call so many times: all of them, or those with an aim."""
    # As in the web server, whose connections have limits.
    statements.bound()
    handler, results = Handler(), []
    calls = [call for call in _calls(cast) if call.aim or not only_aims]
    ticking = bar.add_task("calls", total=len(calls))
    for call in calls:
        results.append(_measured(call.name, partial(_through, handler, call.environ), call.aim, times))
        if call.has_view and not only_aims:
            results.append(_measured(f"{call.name}, its view alone", partial(_view, call.environ), "", times))
            results.append(_measured(f"{call.name}, its token alone", partial(_token, call.environ), "", times))
        bar.advance(ticking)
    return results


def _calls(cast: Cast) -> list[_Call]:
    row = cast.confirmed(ticket=cast.ticket())
    for _ in range(49):
        cast.confirmed(ticket=cast.ticket())
    scopes = frozenset({Scope.REQUESTS_READ})
    secret = operations.issue_access_token(cast.own_client("Reader", sorted(scopes)).row, scopes=scopes).secret
    api = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
    found = [
        _Call("API: one access request", _environ(f"/api/v1/access-requests/{row.pk}", api), "≤ 2 ms, ≤ 4", True),
        _Call("API: 50 access requests", _environ("/api/v1/access-requests?limit=50", api), "≤ 5 ms", True),
        _Call("API: me", _environ("/api/v1/me", api), "", True),
    ]
    for who, path, name, aim in (
        ("ada", "/", "home of an approver of the customer", "≤ 8 ms"),
        ("pat", "/", "home of an approver of the provider", "≤ 8 ms"),
        ("priya", "/", "home of an engineer", "≤ 8 ms"),
        ("ada", f"/access-requests/{row.pk}/", "one access request, its page", ""),
        ("ada", "/access-requests/", "list of access requests", ""),
    ):
        browser = Client()
        browser.force_login(cast.people[who])
        cookie = "; ".join(f"{morsel.key}={morsel.value}" for morsel in browser.cookies.values())
        found.append(_Call(name, _environ(path, {"HTTP_COOKIE": cookie}), aim))
    return found


def _environ(path: str, more: dict[str, str]) -> dict[str, Any]:
    path, _mark, query = path.partition("?")
    return {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http",
        "HTTP_HOST": settings.ALLOWED_HOSTS[0], **more,
    }  # fmt: skip


def _through(handler: Handler, environ: dict[str, Any]) -> None:
    response = handler({**environ, "wsgi.input": io.BytesIO()}, lambda *_: bytes)
    status = response.status_code
    response.close()
    if status != 200:
        raise SystemExit(f"no: {environ['PATH_INFO']}: {status}")


def _view(environ: dict[str, Any]) -> None:
    request = RequestFactory().generic("GET", environ["PATH_INFO"], QUERY_STRING=environ["QUERY_STRING"], **{
        name: value for name, value in environ.items() if name.startswith("HTTP_")
    })  # fmt: skip
    found = resolve(environ["PATH_INFO"])
    response = found.func(request, *found.args, **found.kwargs)
    if response.status_code != 200:
        raise SystemExit(f"no: {environ['PATH_INFO']}: {response.status_code}")


def _token(environ: dict[str, Any]) -> None:
    request = RequestFactory().get("/", HTTP_AUTHORIZATION=environ["HTTP_AUTHORIZATION"])
    if BearerAuthentication().authenticate(request) is None:
        raise SystemExit("no: the token")


def _measured(name: str, call: Callable[[], None], aim: str, times: int) -> Result:
    for _ in range(WARM_UP):
        call()
    seconds, begun, database = [], time.perf_counter(), of_session()
    for _ in range(times):
        started = time.thread_time()
        call()
        seconds.append(time.thread_time() - started)
    spent = (of_session() - database) / times * 1000
    statements = _statements(call)
    says = [f"{statements} statements", *([f"{spent:.2f} ms in the database"] if spent else [])]
    says += [f"aim: {aim}"] if aim else []
    numbers = {"statements": float(statements), "database": spent}
    return Result(f"{name}, CPU", seconds, time.perf_counter() - begun, ", ".join(says), numbers=numbers)


def _statements(call: Callable[[], None]) -> int:
    with _counted() as found:
        call()
    return len(found)


@contextmanager
def _counted() -> Iterator[list[str]]:
    found: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        found.append(sql)
        return execute(sql, *rest)

    # The handler closes old connections at the end of a call, but keeps this one.
    with connection.execute_wrapper(note):
        yield found
