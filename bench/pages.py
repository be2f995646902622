"""Open every page, and measure what it costs with a million access requests and a million entries of one customer.

The pages come from the site's addresses, so none is forgotten. They are opened in this process, through the same
handler as in the web server.
"""

from __future__ import annotations

import gzip
import io
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.urls.converters import IntConverter

from bench.calls import _counted, _environ
from bench.measure import Result, of_session
from bench.page_world import Rows, reference
from lockbox_site.serving.handler import Handler
from requests_app.models import AccessRequest, Person, Ticket
from requests_app.platform.waiting import Waiting
from requests_app.queries.inbox import Cursor
from tests.cast import Cast
from tests.factors import force_login
from tests.isolation.world import SLUGS, Route, routes

#: One person for each role.
PEOPLE = ("ada", "mia", "otto", "ines", "priya", "pat", "stella")
TIMES = 9
#: The aims: milliseconds at the server, and bytes on the line.
MILLISECONDS, BYTES = 50, 60_000


@dataclass
class Page:
    """What a page costs: seconds by the clock and of the processor, statements, and bytes."""

    who: str
    name: str
    path: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    database: float = 0.0
    statements: int = 0
    size: int = 0
    packed: int = 0
    sent: int = 0
    status: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.wall) * 1000

    @property
    def p95(self) -> float:
        ordered = sorted(self.wall)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] * 1000

    @property
    def busy(self) -> float:
        """Return the milliseconds of processor time, here and in the database."""
        return statistics.median(self.cpu) * 1000 + self.database

    @property
    def is_over(self) -> bool:
        return self.p95 > MILLISECONDS or self.sent > BYTES

    def __str__(self) -> str:
        return (
            f"{'OVER ' if self.is_over else '     '}{self.median:7.1f} {self.p95:7.1f} ms"
            f"  cpu {statistics.median(self.cpu) * 1000:6.1f} + {self.database:6.1f}"
            f"  {self.statements:3d} st  {self.size:8,} B  {self.packed:7,} gz  {self.sent:7,} sent"
            f"  {self.status} {self.who:7} {self.name}  {self.path}"
        )


def run(cast: Cast, rows: Rows, bar: Any, *, only: str = "", times: int = TIMES) -> tuple[list[Result], list[str]]:
    """Measure every page. `only` is a part of the names of those that are wanted, and are then opened several times.

    Return one result for all, and a line for each page, the slowest first.
    """
    handler, found = Handler(), []
    wanted = [page for page in _pages(cast, rows) if only in f"{page.who} {page.name} {page.path}"]
    ticking = bar.add_task("opening pages", total=len(wanted))
    cookies = {who: _cookie(cast.people[who]) for who in PEOPLE}
    for page in wanted:
        _measure(handler, page, cookies[page.who], times, each=bool(only))
        bar.advance(ticking)
        if page.status == 200:
            found.append(page)
    found.sort(key=lambda page: -page.median)
    return _results(found), [str(page) for page in found]


def _results(pages: list[Page]) -> list[Result]:
    if not pages:
        return []
    walls = [page.p95 / 1000 for page in pages]
    numbers: dict[str, float] = {
        "pages": len(pages),
        "slow": sum(page.p95 > MILLISECONDS for page in pages),
        "busy": sum(page.busy > MILLISECONDS for page in pages),
        "bytes": max(page.sent for page in pages),
    }
    return [Result("the p95 of each page", walls, sum(walls), f"≤ {MILLISECONDS} ms", numbers=numbers)]


def _cookie(person: Person) -> str:
    browser = Client()
    force_login(browser, person, is_fresh=True)
    return "; ".join(f"{morsel.key}={morsel.value}" for morsel in browser.cookies.values())


def _measure(handler: Handler, page: Page, cookie: str, times: int, *, each: bool) -> None:
    """Open a page so many times: each page, or only one whose first time is more than half of the aim."""
    environ = _environ(page.path, {"HTTP_COOKIE": cookie, "HTTP_ACCEPT_ENCODING": "gzip"})
    with _counted() as statements:
        page.status, body, plain = _get(handler, environ)
    if page.status != 200:
        return
    # The first call also imports and compiles, so its statements are those of the second one.
    with _counted() as statements:
        _get(handler, environ)
    page.statements = len(statements)
    page.size, page.sent, page.packed = len(plain), len(body), len(gzip.compress(plain, 6))
    database = of_session()
    while len(page.wall) < (times if each or (page.wall and page.median > MILLISECONDS / 2) else 1):
        wall, cpu = time.perf_counter(), time.thread_time()
        _get(handler, environ)
        page.wall.append(time.perf_counter() - wall)
        page.cpu.append(time.thread_time() - cpu)
    page.database = (of_session() - database) / len(page.wall) * 1000


def _get(handler: Handler, environ: dict[str, Any]) -> tuple[int, bytes, bytes]:
    """Return the status, the body as it is sent, and the body that the browser has in the end.

    Event streams, downloads and answers that wait for news are no pages. Their status is 0 here.
    """
    cache.clear()  # the limits of calls
    response = handler({**environ, "wsgi.input": io.BytesIO()}, lambda *_: bytes)
    if isinstance(response, Waiting) or response.streaming:
        response.close()
        return 0, b"", b""
    body = b"".join(response)
    response.close()
    plain = gzip.decompress(body) if response.get("Content-Encoding") == "gzip" else body
    return response.status_code, body, plain


# --- Which pages ---------------------------------------------------------------------------------------------


def _pages(cast: Cast, rows: Rows) -> Iterator[Page]:
    for who in PEOPLE:
        for route in routes():
            if route.namespace in ("web", "admin", "") and route.is_path:
                for path in _paths(route, rows):
                    yield Page(who, f"{route.namespace}:{route.name}", path)
        for name, path in _searches(who, cast):
            yield Page(who, name, path)


#: They end the session, or show nothing that depends on the size of the world.
_LEFT_OUT = {"account_logout", "jsi18n", "autocomplete"}


def _paths(route: Route, rows: Rows) -> Iterator[str]:
    """Yield the addresses of a route, for each known row of each collection that it names."""
    if route.name in _LEFT_OUT:
        return
    collections, converters = route.collections, route.entry.pattern.converters
    values: list[dict[str, Any]] = [{}]
    for name, converter in converters.items():
        if name in collections:
            known: list[Any] = rows.get(collections[name], [])
        elif isinstance(converter, IntConverter):
            known = [3]
        elif name == "action":
            known = list(SLUGS)
        else:
            known = [word for word in converter.regex.split("|") if word.isalnum()]
        values = [{**value, name: each} for value in values for each in known]
    for value in values:
        try:
            yield reverse(f"{route.namespace}:{route.name}" if route.namespace else route.name, kwargs=value)
        except NoReverseMatch:
            continue


def _searches(who: str, cast: Cast) -> Iterator[tuple[str, str]]:
    """Yield searches, filters and later pages of the lists, of the log, and of the administration."""
    middle = _middle("AR", AccessRequest)
    requests, tickets = "/access-requests/", "/tickets/"
    before = str(Cursor(middle.submitted_at, middle.pk))
    older = str(Cursor(middle.decide_by, middle.pk))
    for state in ("waiting", "open", "closed", "denied", "withdrawn", "expired"):
        yield f"access requests, {state}", f"{requests}?{urlencode({'state': state})}"
    yield "access requests, closed, half way", f"{requests}?{urlencode({'state': 'closed', 'before': older})}"
    yield "access requests, half way", f"{requests}?{urlencode({'before': before})}"
    named = (
        str(middle),
        reference("T", 0),
        "box17",
        "box17@contoso.example",
        "contoso",
        "engineer9@provider.example",
        "nobody",
    )
    for q in named:
        yield f"access requests, search {q}", f"{requests}?{urlencode({'q': q})}"
    yield "access requests, of a tenant", f"{requests}?{urlencode({'tenant': 'Contoso'})}"
    ticket = _middle("T", Ticket)
    place = str(Cursor(ticket.changed_at, ticket.pk))
    for view in ("mine", "queue", "all"):
        for state in ("live", "any", "NEW", "CLOSED", "RESOLVED"):
            yield f"tickets, {view}, {state}", f"{tickets}?{urlencode({'view': view, 'state': state})}"
    yield "tickets, half way", f"{tickets}?{urlencode({'state': 'any', 'after': place})}"
    for text in (str(ticket), "case 4321", "finds", "nothing"):
        yield f"tickets, search {text}", f"{tickets}?{urlencode({'state': 'any', 'text': text})}"
    log = reverse("web:log", args=[cast.contoso.pk])
    for asked in _LOG:
        yield f"log, {'+'.join(asked)}", f"{log}?{urlencode(asked)}"
    for path in ("accessrequest", "ticket", "grant", "decision", "contentaccess", "person", "resource"):
        yield "administration, search", f"/admin/requests_app/{path}/?q={middle}"
        yield "administration, last page", f"/admin/requests_app/{path}/?p=100"
    yield "administration, the log", f"/admin/audit_app/auditentry/?q={cast.contoso.pk}"


_LOG: tuple[dict[str, str], ...] = (
    {"before": "500000"}, {"after": "500000"}, {"entry": "400000"}, {"event": "content.opened"},
    {"event": "access_request.denied_by_provider"}, {"event": "grant.revoked"}, {"person": "priya@provider.example"},
    {"person": "Priya"}, {"person": "nobody"}, {"request": reference("AR", 999_000)},
    {"since": "2026-06-01", "until": "2026-06-10"}, {"since": "2026-06-01", "event": "access_request.submitted"},
)  # fmt: skip


def _middle(prefix: str, model: type[AccessRequest] | type[Ticket]) -> Any:
    """Return a row in the middle of the table."""
    rows = model.objects.filter(reference__startswith=f"{prefix}-").count()
    return model.objects.get(reference=reference(prefix, rows // 2 + 9))
