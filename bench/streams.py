"""Measure what 900 streams and pages, as many downloads as are allowed, and 10,000 open windows cost, and how fast a
revocation cuts them.

Streams, pages and downloads come from different addresses of the loopback network, because one address can have at most
half of a process's streams. A download is read slowly until its window is revoked, and then fast. What still comes then
is what the buffers had. On PostgreSQL, a second host follows: a web server with a data directory of its own, which
hears no chime of the first one.
"""

from __future__ import annotations

import datetime as dt
import http.client
import itertools
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import connection
from django.urls import reverse

from bench import asking, measure, product
from bench.measure import Result
from requests_app.domain import api_secrets, clock
from requests_app.domain.scopes import Scope
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    Client,
    Grant,
    Person,
    QueueAssignment,
    Tenant,
    Token,
)
from requests_app.platform import chime
from requests_app.work.processes import tree
from tests.caller import token_of
from tests.cast import Cast

AIM_OF_A_CUT, AIM_ACROSS, AIM_OF_A_PAGE = "≤ 100 ms", "≤ 1 s", "p99 ≤ 300 ms"
#: How long the product rests, or other pages are asked, while everything is held.
SECONDS = 5
#: A download that is not being cut is read so often, and at most this much each time. The server ends one that takes
#: less than 4 KiB a second.
READ_EVERY, AT_A_TIME = 0.5, 8 * 1024
#: If a connection has ended before it is cut, this is noticed within so many seconds.
ENDED_WITHIN = 0.1
#: So many downloads are opened at once.
AT_ONCE = 8
#: So many refusals in a row mean that no more downloads are allowed.
REFUSALS = 12
#: A larger item is refused.
SIZE = 48 * 1024 * 1024
#: A download that is being cut is read at up to 32 MiB a second, so that it does not end by itself first.
PIECE, PAUSE = 64 * 1024, 0.002


def content_with_a_big_item(cast: Cast) -> Path:
    """Write a file of SIZE into a resource, and return the directory of all content."""
    content = Path(settings.CONTENT_ROOT)
    library = content / cast.resource(name="legal").locator
    library.mkdir(parents=True, exist_ok=True)
    with (library / "big.bin").open("wb") as file:
        file.truncate(SIZE)
    return content


def run(cast: Cast, held: int, windows: int, cuts: int, bar: Any, *, only_aims: bool) -> tuple[list[Result], list[str]]:
    """Return the times of cuts and of other pages, and lines about memory and processor time.

    With `only_aims`, the only line is about the time when everything is held.
    """
    content = content_with_a_big_item(cast)
    world = World(cast)
    people = world.engineers(held // 2)
    pages = world.windows(people)
    streams = world.tokens(held - held // 2)
    downloads = world.windows([cast.people["priya"]] * settings.WEB_STREAMS)
    elsewhere = Elsewhere(world, cuts) if connection.vendor == "postgresql" else None
    others = itertools.cycle(Tenant.objects.filter(slug__startswith="tenant-").values_list("pk", flat=True))
    rest = max(0, windows - len(pages) - len(downloads))
    world.windows(list(itertools.islice(itertools.cycle(people), rest)), others)
    with product.running(CONTENT_ROOT=str(content)) as running:
        bench = Held(running, bar)
        notes = [] if only_aims else [bench.cost("with nobody")]
        with bench.read_slowly():
            # The first ones, because downloads take processor time of the web server as long as they are read.
            bench.open_streams(streams)
            if not only_aims:
                notes.append(bench.cost(f"with {len(streams)} event streams"))
            bench.open_downloads(downloads, asking.session_of(cast.people["priya"]))
            # The last ones, because a page is answered after half a minute.
            bench.open_pages(pages, {person.pk: asking.session_of(person) for person in people})
            held_now = f"{len(bench.downloads)} downloads, {len(streams)} event streams and {len(pages)} pages"
            notes.append(bench.cost(f"with {held_now}"))
            pages_beside = bench.others(asking.session_of(cast.people["ada"]))
            revoke = partial(_revoke, running, token_of(cast, "ada", Scope.GRANTS_CLOSE))
            found = bench.cut(revoke, cuts)
            if elsewhere is not None:
                found += elsewhere.cut(revoke, cuts, bar)
        if not only_aims:
            notes.append(bench.cost("after the cuts"))
    return [*pages_beside, *found], notes


class Elsewhere:
    """Calls, pages and downloads at a second host. The acts that end them are done at the first one."""

    def __init__(self, world: World, count: int) -> None:
        self._people = world.engineers(count)
        self._pages, self._streams = world.windows(self._people), world.tokens(count)
        self._priya = world.cast.people["priya"]
        self._downloads = world.windows([self._priya] * count)

    def cut(self, revoke: Callable[[Grant | None], None], count: int, bar: Any) -> list[Result]:
        ours = Path(settings.DATA_DIR)
        data = ours / "another-host"
        data.mkdir()
        for each in ours.iterdir():
            if each.name not in ("chimes", "run", data.name):
                (data / each.name).symlink_to(each)
        with product.running(CONTENT_ROOT=str(settings.CONTENT_ROOT), DATA_DIR=str(data)) as running:
            bench = Held(running, bar)
            with bench.read_slowly():
                bench.open_streams(self._streams)
                bench.open_downloads(self._downloads, asking.session_of(self._priya))
                bench.open_pages(self._pages, {person.pk: asking.session_of(person) for person in self._people})
                return bench.cut(revoke, count, "on another host: ", AIM_ACROSS)


class World:
    """Adds rows that are copies of those that operations have made."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self._numbers = itertools.count()
        self._grant = cast.opened(ticket=cast.ticket(service_id=cast.sharepoint.pk), window_for=4 * 3600)

    def engineers(self, count: int) -> list[Person]:
        priya = self.cast.people["priya"]
        people = [_copy(priya, email=self._new_email("provider.example"), human_id=uuid4()) for _ in range(count)]
        Person.objects.bulk_create(people)
        factors = Authenticator.objects.filter(user=priya)
        Authenticator.objects.bulk_create(_copy(row, user=person, pk=None) for person in people for row in factors)
        queues = QueueAssignment.objects.filter(person=priya)
        QueueAssignment.objects.bulk_create(_copy(row, person=person, pk=None) for person in people for row in queues)
        return people

    def _new_email(self, domain: str) -> str:
        return f"held{next(self._numbers)}@{domain}"

    def windows(self, engineers: list[Person], tenants: Iterator[UUID] | None = None) -> list[Grant]:
        """Add an open window for each of these engineers: of Contoso, or of these tenants in turn."""
        row, made, lines, grants = self._grant.access_request, list[Any](), list[Any](), list[Grant]()
        scope = row.scope.get()
        for engineer in engineers:
            whose = {"requested_by": engineer, "requester_human": engineer.human_id}
            of = {} if tenants is None else {"tenant_id": next(tenants)}
            asked = _copy(row, reference=f"S{next(self._numbers)}", **whose, **of)
            made.append(asked)
            lines.append(_copy(scope, access_request=asked, pk=uuid4() if isinstance(scope.pk, type(row.pk)) else None))
            grants.append(_copy(self._grant, access_request=asked, engineer=engineer, **of))
        AccessRequest.objects.bulk_create(made, batch_size=500)
        AccessRequestResource.objects.bulk_create(lines, batch_size=500)
        Grant.objects.bulk_create(grants, batch_size=500)
        return grants

    def tokens(self, count: int) -> list[tuple[Token, str]]:
        """Add a client with a token in each of many tenants. Return the tokens with their secrets."""
        at, found = clock.now(), list[tuple[Token, str]]()
        tenants = itertools.cycle(Tenant.objects.filter(slug__startswith="tenant-").order_by("slug")[:count])
        ines = self.cast.people["ines"]
        accounts, clients = list[Person](), list[Client]()
        for _ in range(count):
            account = Person(email=self._new_email("client.invalid"), name="SIEM", side="customer", kind="client")
            account.created_at = at
            account.set_unusable_password()
            accounts.append(account)
            facts = {"created_by": ines, "created_at": at, "secret_at": at, "scopes": [str(Scope.LOG_READ)]}
            clients.append(Client(account=account, tenant=next(tenants), secret_hash=secrets.token_hex(32), **facts))
            secret = api_secrets.make(api_secrets.Kind.ACCESS)
            token = Token(
                account=account,
                kind=Token.Kind.ACCESS,
                scopes=[str(Scope.LOG_READ)],
                secret_hash=api_secrets.hashed(secret),
                hint=api_secrets.hint(secret),
                created_at=at,
                expires_at=at + dt.timedelta(hours=1),
            )
            found.append((token, secret))
        Person.objects.bulk_create(accounts)
        Client.objects.bulk_create(clients)
        Token.objects.bulk_create(token for token, _secret in found)
        return found


def _copy(row: Any, **fields: Any) -> Any:
    made = copy(row)
    made._state = copy(row._state)
    made._state.adding, made._state.fields_cache = True, {}
    made.pk = uuid4()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@dataclass(eq=False)
class Line:
    """One connection that is held, and what it depends on."""

    plain: socket.socket
    grant: Grant | None = None
    token: Token | None = None

    def ended_at(self, patience: float) -> float:
        """Read everything that still comes, or the answer of a call that waits. Return when it has ended."""
        self.plain.settimeout(patience)
        with suppress(OSError):
            while piece := self.plain.recv(PIECE):
                # The connection itself stays open after an answer, and after the end of a stream.
                if b"HTTP/1.1 2" in piece[:16] or (self.token is not None and piece.endswith(b"0\r\n\r\n")):
                    break
                if self.token is None:
                    time.sleep(PAUSE)
        return time.monotonic()


class Held:
    def __init__(self, running: product.Product, bar: Any) -> None:
        self._running, self._bar = running, bar
        self._numbers = itertools.count()
        self.streams, self.pages, self.downloads = list[Line](), list[Line](), list[Line]()
        self._stopped = threading.Event()
        self._free = set[Line]()

    def _send(self, text: str, **facts: Any) -> Line:
        plain, number = socket.socket(), next(self._numbers)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        plain.settimeout(60)
        plain.bind((f"127.0.{number // 200 + 1}.{number % 200 + 1}", 0))
        plain.connect(("127.0.0.1", self._running.port))
        plain.sendall(text.replace("\n", "\r\n").encode())
        return Line(plain, **facts)

    def open_streams(self, tokens: list[tuple[Token, str]]) -> None:
        ticking = self._bar.add_task("event streams", total=len(tokens))
        for token, secret in tokens:
            path = f"/api/v1/tenants/{token.account.client.tenant_id}/events"
            head = f"Host: localhost\nAuthorization: Bearer {secret}\nAccept: text/event-stream\n\n"
            line = self._send(f"GET {path} HTTP/1.1\n{head}", token=token)
            _require(line, b"200")
            self.streams.append(line)
            self._bar.advance(ticking)

    def open_pages(self, grants: list[Grant], sessions: dict[Any, str]) -> None:
        ticking = self._bar.add_task("pages", total=len(grants))
        for grant in grants:
            self.pages.append(self._ask_page(grant, sessions[grant.engineer_id]))
            self._bar.advance(ticking)
            time.sleep(0.01)
        self._sessions = sessions
        time.sleep(2)

    def _ask_page(self, grant: Grant, session: str) -> Line:
        path = reverse("web:window_state", args=[grant.pk])
        return self._send(f"GET {path} HTTP/1.1\nHost: localhost\nHX-Request: true\nCookie: {session}\n\n", grant=grant)

    def open_downloads(self, grants: list[Grant], session: str) -> None:
        """Open a download for each of these windows, until no more are allowed."""
        ticking, refused = self._bar.add_task("downloads", total=len(grants)), 0
        scopes = AccessRequestResource.objects.filter(access_request__grant__in=grants)
        resources = dict(scopes.values_list("access_request_id", "resource_id"))

        def opened(grant: Grant) -> Line | None:
            resource = resources[grant.access_request_id]
            path = reverse("web:window_raw", args=[grant.pk, resource], query={"id": "big.bin"})
            line = self._send(f"GET {path} HTTP/1.1\nHost: localhost\nCookie: {session}\n\n", grant=grant)
            if b" 200 " in line.plain.recv(16):
                return line
            line.plain.close()
            return None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for begin in range(0, len(grants), AT_ONCE):
                for line in pool.map(opened, grants[begin : begin + AT_ONCE]):
                    refused = 0 if line else refused + 1
                    if line:
                        self.downloads.append(line)
                    self._bar.advance(ticking)
                if refused >= REFUSALS:
                    return

    def read_slowly(self) -> Reading:
        return Reading(self.downloads, self._free)

    def cost(self, what: str) -> str:
        """Return a line with the memory and the processor time of the product while nobody asks for anything."""
        time.sleep(1)
        web, database = self._running.used()
        time.sleep(SECONDS)
        web_after, database_after = self._running.used()
        memory = sum(map(measure.memory_of, tree(self._running.pid))) / 1e6
        share, more = (web_after - web) / SECONDS * 100, (database_after - database) / SECONDS * 100
        return f"{what}: web processes {memory:,.0f} MB, {share:.1f} % of a core; database {more:.1f} % of a core"

    def others(self, session: str) -> list[Result]:
        """Ask for other pages while everything is held."""
        found = asking.ask(self._running.port, {"/": session, "/accounts/login/": "", "/healthz": ""}, SECONDS)
        name = f"{{}} beside {len(self.streams)} + {len(self.pages)} + {len(self.downloads)}"
        return [Result(name.format(path), times, SECONDS, AIM_OF_A_PAGE) for path, times in found.items()]

    def cut(
        self, revoke: Callable[[Grant | None], None], count: int, where: str = "", aim: str = AIM_OF_A_CUT
    ) -> list[Result]:
        """End windows and tokens, one after the other. The clock begins when the act is known to be committed."""
        downloads = _times(self.downloads, count, lambda line: self._cut_one(line, partial(revoke, line.grant)))
        pages = _times(self.pages, count, lambda line: self._cut_page(line, revoke))
        streams = _times(self.streams, count, lambda line: self._cut_one(line, partial(_end_token, line.token)))
        return [
            Result(f"{where}{what}, max {max(times) * 1000:,.0f} ms", times, sum(times), aim)
            for what, times in (
                ("committed → download cut", downloads),
                ("committed → page told", pages),
                ("committed → stream cut", streams),
            )
            if times
        ]

    def _cut_page(self, line: Line, revoke: Callable[[Grant | None], None]) -> float:
        grant = line.grant
        assert grant is not None
        # A page is answered after half a minute, and asks again.
        line.plain.close()
        fresh = self._ask_page(grant, self._sessions[grant.engineer_id])
        time.sleep(0.5)
        return self._cut_one(fresh, partial(revoke, grant))

    def _cut_one(self, line: Line, act: Callable[[], None]) -> float:
        ended, free = list[float](), self._free
        free.add(line)
        reader = threading.Thread(target=lambda: ended.append(line.ended_at(30)))
        reader.start()
        reader.join(ENDED_WITHIN)
        if ended:
            raise EndedBefore
        act()
        committed = time.monotonic()
        reader.join()
        line.plain.close()
        return max(0.0, ended[0] - committed)


class EndedBefore(Exception):
    """The connection had ended before it was cut, for example because its client was too slow."""


def _times(lines: list[Line], count: int, cut: Callable[[Line], float]) -> list[float]:
    """Cut so many of these, one after the other, and return the times. Those that have ended before are left out.

    Raise SystemExit if that leaves too few.
    """
    found = list[float]()
    for line in lines:
        if len(found) == count:
            break
        with suppress(EndedBefore):
            found.append(cut(line))
    if len(found) < min(count, len(lines)) // 2:
        raise SystemExit(f"no: of {len(lines)} connections, only {len(found)} were there to be cut")
    return found


class Reading:
    """Reads all downloads slowly until the block ends, except for those that are being cut.

    It begins before they are opened: the server ends a download whose client reads nothing.
    """

    def __init__(self, lines: list[Line], free: set[Line]) -> None:
        self._lines, self._free, self._stopped = lines, free, threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Reading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._stopped.wait(READ_EVERY):
            for line in list(self._lines):
                if line not in self._free:
                    # Fails if nothing has come.
                    with suppress(OSError):
                        line.plain.recv(AT_A_TIME, socket.MSG_DONTWAIT)


def _end_token(token: Token | None) -> None:
    """Revoke a token in another process than that of its stream, with the chime of an act that has committed."""
    assert token is not None
    Token.objects.filter(pk=token.pk).update(revoked_at=clock.now())
    chime.strike()


def _revoke(running: product.Product, bearer: str, grant: Grant | None) -> None:
    assert grant is not None
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    path = f"/api/v1/access-requests/{grant.access_request_id}/revoke"
    for _attempt in range(3):
        line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        line.request("POST", path, json.dumps({}), headers)
        answer = line.getresponse()
        body = answer.read()
        line.close()
        # On a busy machine, SQLite may not say whether it has committed. The second call then finds a closed window.
        if answer.status in (200, 409):
            return
    raise SystemExit(f"no: {answer.status} {body!r}")


def _require(line: Line, status: bytes) -> None:
    found = line.plain.recv(16)
    if status not in found:
        raise SystemExit(f"no: {found!r}")
