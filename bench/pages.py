"""Open every page, and measure what it costs with a million access requests and a million entries of one customer.

The pages come from the site's addresses, so none is forgotten, and so do the calls of the API that only read. They are
opened in this process, through the same handler as in the web server.
"""

from __future__ import annotations

import gzip
import io
import statistics
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.urls.converters import IntConverter

from bench.calls import _counted, _environ
from bench.measure import Result, of_session, quantile
from bench.page_world import Rows, reference
from lockbox_site.serving.handler import Handler
from requests_app.domain.states import State, TicketState
from requests_app.doors.api.azure import API_VERSION
from requests_app.doors.api.grants import STATES as GRANT_STATES
from requests_app.models import AccessRequest, Person, Ticket, Token
from requests_app.platform.waiting import Waiting
from requests_app.queries.inbox import Cursor
from tests.caller import access_token, client_of, token_of
from tests.cast import Cast
from tests.factors import force_login
from tests.isolation.world import SLUGS, Route, routes

#: One person for each role.
PEOPLE = ("ada", "mia", "otto", "ines", "priya", "pat", "stella")
#: Programs that call the API: of the customer, and of the provider.
PROGRAMS = {"program": "contoso", "helpdesk": None}
#: Whose calls of the API are measured, unless those of everybody are wanted.
CALLERS = ("ada", "pat")
#: How often a page is measured that may be slow, how often one that is not, and how long at most, in seconds.
TIMES, FEW, ENOUGH = 9, 3, 1
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
    database: list[float] = field(default_factory=list)
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
        return quantile(self.wall, 0.95)

    @property
    def busy(self) -> float:
        """Return the milliseconds of processor time, here and in the database, that 95 of 100 calls do not exceed."""
        return quantile([here + there for here, there in zip(self.cpu, self.database, strict=True)], 0.95)

    @property
    def is_over(self) -> bool:
        return self.p95 > MILLISECONDS or self.sent > BYTES

    def __str__(self) -> str:
        here, there = (statistics.median(times) * 1000 for times in (self.cpu, self.database))
        return (
            f"{'OVER ' if self.is_over else '     '}{self.median:7.1f} {self.p95:7.1f} ms"
            f"  cpu {here:6.1f} + {there:6.1f}, p95 {self.busy:6.1f}"
            f"  {self.statements:3d} st  {self.size:8,} B  {self.packed:7,} gz  {self.sent:7,} sent"
            f"  {self.who:8} {self.name}  {self.path}"
        )


def run(cast: Cast, rows: Rows, bar: Any, *, only: str = "", each: bool = False) -> tuple[list[Result], list[str]]:
    """Measure every page. With `each`, every page is measured 9 times, and every role calls the API.

    Without it, only pages that may be slow are measured so often, and two roles call the API.
    `only` is a part of the names of the pages that are wanted. Return one result for all, and a line for each page:
    those over an aim first, and then the slowest.
    """
    settings.API_CALLS_PER_MINUTE = 10**9
    handler, found = Handler(), []
    callers = (*PEOPLE, *PROGRAMS) if each or only else CALLERS
    wanted = [page for page in _pages(cast, rows, callers) if only in f"{page.who} {page.name} {page.path}"]
    ticking = bar.add_task("opening pages", total=len(wanted))
    cookies = {who: _cookie(cast.people[who]) for who in PEOPLE}
    known = list(Token.objects.values_list("pk", flat=True))
    tokens = _tokens(cast)
    for page in wanted:
        headers = _of_program(tokens[page.who]) if page.name.startswith("api:") else {"HTTP_COOKIE": cookies[page.who]}
        _measure(handler, page, headers, each=each or bool(only))
        bar.advance(ticking)
        if page.status == 200:
            found.append(page)
    # The world stays, and lists of tokens must not be longer in the next run.
    Token.objects.exclude(pk__in=known).delete()
    found.sort(key=lambda page: (not page.is_over, -page.p95))
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


def _tokens(cast: Cast) -> dict[str, str]:
    """Return the secret of a token for each caller of the API, with all the scopes that it can have."""
    programs = {
        name: access_token(*client_of(cast, tenant)).json()["access_token"] for name, tenant in PROGRAMS.items()
    }
    return {who: token_of(cast, who) for who in PEOPLE} | programs


def _of_program(token: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token}", "HTTP_ACCEPT": "application/json"}


def _measure(handler: Handler, page: Page, headers: Mapping[str, str], *, each: bool) -> None:
    """Open a page once, and again if its first time is more than half of the aim: FEW times, or TIMES if it is over it.

    The first call may also import and compile. It counts only if it is the only one. Without `each`, a very slow page
    is opened for some seconds only. With it, every page is measured TIMES times.
    """
    environ = _environ(page.path, {"HTTP_ACCEPT_ENCODING": "gzip", **headers})
    with _counted() as statements:
        page.status, body, plain = _timed(handler, page, environ)
    if page.status != 200:
        return
    page.statements = len(statements)
    page.size, page.sent = len(plain), len(body)
    page.packed = len(body) if len(body) < len(plain) else len(gzip.compress(plain, 6))
    if not each and (page.median <= MILLISECONDS / 2 or page.wall[0] > ENOUGH):
        return
    for times in (page.wall, page.cpu, page.database):
        times.clear()
    while len(page.wall) < TIMES:
        if not each and (sum(page.wall) > ENOUGH or (len(page.wall) >= FEW and page.p95 <= MILLISECONDS)):
            return
        _timed(handler, page, environ)


def _timed(handler: Handler, page: Page, environ: dict[str, Any]) -> tuple[int, bytes, bytes]:
    cache.clear()  # the limits of calls; not measured, because on SQLite it waits for the disk
    database, wall, cpu = of_session(), time.perf_counter(), time.thread_time()
    found = _get(handler, environ)
    page.wall.append(time.perf_counter() - wall)
    page.cpu.append(time.thread_time() - cpu)
    page.database.append(of_session() - database)
    return found


def _get(handler: Handler, environ: dict[str, Any]) -> tuple[int, bytes, bytes]:
    """Return the status, the body as it is sent, and the body that the browser has in the end.

    Event streams, downloads and answers that wait for news are no pages. Their status is 0 here.
    """
    response = handler({**environ, "wsgi.input": io.BytesIO()}, lambda *_: bytes)
    if isinstance(response, Waiting) or response.streaming:
        response.close()
        return 0, b"", b""
    body = b"".join(response)
    response.close()
    plain = gzip.decompress(body) if response.get("Content-Encoding") == "gzip" else body
    return response.status_code, body, plain


# --- Which pages ---------------------------------------------------------------------------------------------


def _pages(cast: Cast, rows: Rows, callers: tuple[str, ...]) -> Iterator[Page]:
    for who in PEOPLE:
        for route in routes():
            if route.namespace in ("web", "admin", "") and route.is_path:
                for path in _paths(route, rows):
                    yield Page(who, f"{route.namespace}:{route.name}", path)
        for name, path in _searches(who, cast):
            yield Page(who, name, path)
    for who in callers:
        for route in routes():
            if route.namespace == "api" and route.is_path and "get" in route.methods:
                for path in _paths(route, rows):
                    for asked in ("", *_orders(route)):
                        yield Page(who, f"api:{route.name}", f"{path}?{asked}" if asked else path)
        for path in _lists(rows):
            yield Page(who, "api: a list", path)


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
            path = reverse(f"{route.namespace}:{route.name}" if route.namespace else route.name, kwargs=value)
        except NoReverseMatch:
            continue
        yield f"{path}?api-version={API_VERSION}" if route.name.startswith("azure_") else path


def _orders(route: Route) -> list[str]:
    """Return queries for the largest page of a list, in each of its orders."""
    orders = getattr(getattr(route.entry.callback, "cls", None), "orders", ())
    return ["limit=200", *(f"order={order}&limit=200" for order in orders[1:])] if orders else []


def _lists(rows: Rows) -> Iterator[str]:
    """Yield filters and later pages of the longest lists of the API."""
    middle = _middle("AR", AccessRequest)
    later = {"cursor": _cursor(middle.submitted_at), "limit": "200"}
    of_tenant, of_engineer = {"tenant": rows["tenants"][0]}, {"engineer": str(middle.requested_by_id)}
    lists: dict[str, list[dict[str, str]]] = {
        "access_requests": [
            later, of_tenant, of_engineer, {"ticket": rows["tickets"][-1]}, {"reference": str(middle)},
            {"submitted_since": "2026-06-01T00:00:00Z", "submitted_before": "2026-06-02T00:00:00Z"},
            *({"state": state} for state in State.values),
        ],
        "tickets": [later, of_tenant, *({"state": state} for state in TicketState.values)],
        "grants": [later, of_tenant, of_engineer, *({"state": state} for state in GRANT_STATES)],
    }  # fmt: skip
    for name, queries in lists.items():
        for asked in queries:
            yield f"{reverse(f'api:{name}')}?{urlencode(asked)}"


def _cursor(position: Any) -> str:
    """Return the cursor of a page that begins at this value of the list's order."""
    return b64encode(urlencode({"p": str(position)}).encode()).decode()


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
