"""Proxies of web tools get the same answers on the event loop as in Django, byte for byte, with the same entries."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import uvloop
from django.conf import settings
from django.db import connections
from django.test import override_settings

from audit_app.models import AuditEntry
from bench.gates import session_of
from lockbox_site.serving import fast_gate, fast_path
from lockbox_site.serving.bridge import Bridge
from lockbox_site.serving.handler import Handler
from lockbox_site.serving.pool import Pool
from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.api import exchange
from requests_app.identity import sessions
from requests_app.models import ContentAccess, GateProxy, IdempotencyKey, Service, TokenKey, gate_calls, token_keys
from requests_app.models.gate_calls import GateQuery
from requests_app.operations import gates
from requests_app.operations._decision_lane import DecisionLane
from requests_app.queries import gates as queries
from tests.cast import PROXY_SECRET, Cast
from tests.conftest import sample
from tests.grant_tokens import grant_token
from tests.site.test_fast_path import Pair, difference, raw
from tests.site.test_serving import Proto, scope
from tests.tasks.conftest import Start
from tests.tasks.conftest import start as start  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.real_clock, pytest.mark.django_db(transaction=True)]

ORIGINAL, FORWARDED = "/forward-auth/original", "/forward-auth/forwarded"
EARLIER = ("lockbox_site.monitoring.watching.WatchingMiddleware", "lockbox_site.middleware.RequestIdMiddleware")
ASKED = {"method": "GET", "uri": "/tenants/7/pages", "host": "quillo.example"}


def test_only_what_the_event_loop_does_itself_comes_before_the_gate() -> None:
    """If you add a middleware before this one, `lockbox_site.serving.fast_gate` must do its work, too."""
    place = settings.MIDDLEWARE.index("requests_app.doors.api.forward_auth.ForwardAuthMiddleware")
    assert tuple(settings.MIDDLEWARE[:place]) == EARLIER


class World:
    """A web tool with a proxy, and an engineer with a session there and a grant token."""

    more: dict[str, str] = {}  # noqa: RUF012 - replaced for each stand

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        cast.web_tool()
        cast.proxy()
        self.grant = cast.in_quillo()
        self.cookie = f"__Host-lockbox={session_of(self.grant)}"
        with override_settings(BASE_URL="https://lockbox.example"):
            self.token = grant_token(self.grant)

    def raw(self, path: str = ORIGINAL, /, **headers: str | None) -> bytes:
        """Return a question. Among the headers, `way` and `method` can be given."""
        way, method = headers.pop("way", "original"), headers.pop("method", "GET")
        of = {f"X-{way}-{name}": value for name, value in ASKED.items()}
        named: dict[str, str | None] = {
            **of, "X-Lockbox-Proxy": PROXY_SECRET, "Cookie": self.cookie, "Content-Type": None, "Content-Length": None,
            **self.more, **{name.replace("_", "-"): value for name, value in headers.items()},
        }  # fmt: skip
        return raw(path, **{"method": method, **named})  # type: ignore[arg-type]  # the method is a text


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> World:
    return World(cast)


def values(world: World) -> dict[str, tuple[str | None, ...]]:
    """Return the headers that a question can have, each with unusual values. None leaves the header out."""
    return {
        "Cookie": (None, "", "a=b", f"a=b; {world.cookie}; c=d", f"{world.cookie}; {world.cookie}",
                   "__Host-lockbox=guessed", "__Host-lockbox=", "ü", "x" * 5000),
        "Authorization": (f"Bearer {world.token}", f"bearer  {world.token} ", "Bearer x", "Basic eDp5", "Bearer", "ü"),
        "Lockbox-Grant": (world.token, "x", "", f"{world.token}x"),
        "X-Lockbox-Proxy": (None, "", "x" * 64, PROXY_SECRET[:-1], f"{PROXY_SECRET} ", "ü" * 40),
        "X-Original-URI": (
            None, "", "/", "/tenants/7", "/tenants/f-7/pages", "/tenants/8/pages", "/elsewhere", "/tenants/7/../8",
            "//tenants/7", "/tenants/7/pages?secret=x", "/tenants/7/pages?other=x", "/tenants/7/%2e%2e/x",
            "/tenants/7/ü", "/tenants/7/" + "x" * 2000, "http://quillo.example/tenants/7/pages",
        ),
        "X-Original-Method": (None, "", "POST", "HEAD", "get", "TRACE", "DELETE"),
        "X-Original-Host": (None, "", "QUILLO.example", "quillo.example:443", "other.example"),
        "X-Original-Upgrade": ("websocket", ""),
        "X-Forwarded-Host": ("other.example",),
        "Connection": ("upgrade, close",),
        "Upgrade": ("websocket",),
        "Accept": ("text/html", "text/html,*/*;q=0.8", "text/event-stream", ""),
        "X-HTTP-Method-Override": ("DELETE",),
        "X_HTTP_Method": ("DELETE",),
        "X.Method": ("DELETE",),
        "Host": ("evil.example", "", None, "a,b"),
        "X-Request-ID": ("abcdefgh", "a b", "x" * 65, "ü" * 8, ""),
        "X-Forwarded-For": ("1.2.3.4", "ü", "", "a, b"),
        "X-Forwarded-Proto": ("http", "https, http", ""),
        "Accept-Language": ("de",),
        "Content-Type": ("application/json; charset=utf-16",),
        "Content-Length": ("0",),
    }  # fmt: skip


PATHS = (ORIGINAL, f"{ORIGINAL}/tenants/7/pages", f"{ORIGINAL}?x=y", f"{ORIGINAL}/", f"{ORIGINAL}/ü%20%ff")
ODD_PATHS = (
    FORWARDED, "/forward-auth/", "/forward-auth/other", f"{ORIGINAL}/../forwarded", f"{ORIGINAL}/../../.lockbox/open",
    "/forward-auth//original", f"{ORIGINAL}x", "/forward-auth", "//forward-auth/original", "/forward-auth/%6friginal",
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "FROB", "get")


def questions(world: World) -> Iterator[tuple[str, bytes]]:
    """Yield questions that differ from a usual one in one thing."""
    for path in (*PATHS, *ODD_PATHS):
        for proxy in (PROXY_SECRET, None):
            yield f"{path}, {proxy}", world.raw(path, X_Lockbox_Proxy=proxy)
    for method in METHODS:
        yield method, world.raw(f"{ORIGINAL}/x", method=method)
        yield f"{method}, refused", world.raw(method=method, Cookie=None)
    yield "forwarded", world.raw(FORWARDED, way="forwarded")
    for name, found in values(world).items():
        for value in found:
            yield f"{name}: {value}", world.raw(**{name: value})
            yield f"a page, {name}: {value}", world.raw(**{"Accept": "text/html", name: value})
    for name in ("Authorization", "Lockbox-Grant"):
        for token in values(world)[name]:
            yield f"no cookie, {name}: {token}", world.raw(Cookie=None, **{name: token})
            yield (
                f"no cookie, {name}, other host: {token}",
                world.raw(Cookie=None, X_Original_Host="other.example", **{name: token}),
            )
    for name in ("Cookie", "X-Lockbox-Proxy", "X-Original-URI", "X-Request-ID"):
        yield f"{name} twice", world.raw().replace(b"\r\n", f"\r\n{name}: abcdefgh\r\n".encode(), 1)
    yield "with a body", world.raw(Content_Length="4") + b"body"
    yield "with a body that is too long", world.raw(Content_Length=str(2**21)) + b"x" * 2**21


def generated(world: World, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield questions that differ from a usual one in several things."""
    chosen, known = random.Random(seed), values(world)
    for number in range(count):
        headers = {name: chosen.choice(known[name]) for name in chosen.sample(list(known), chosen.randint(1, 4))}
        path = chosen.choice(ODD_PATHS if chosen.random() < 0.1 else PATHS)
        yield f"{seed}/{number}", world.raw(path, method=chosen.choice(METHODS), **headers)


def entries() -> list[dict[str, Any]]:
    """Return what was recorded, without what differs in each entry."""
    found = []
    for row in AuditEntry.objects.order_by("pk"):
        entry = json.loads(bytes(row.canonical))
        entry["detail"].pop("access", None)
        found.append({name: entry.get(name) for name in ("tenant", "event", "actor", "access_request", "detail")})
    return found


#: How the servers stand: alone, and behind a proxy that ends TLS.
STANDS: dict[str, dict[str, str]] = {
    "alone": {},
    "behind a proxy": {"TRUSTED_PROXY_COUNT": "1", "SSL_REDIRECT": "on", "HSTS_SECONDS": "60", "SECURE_COOKIES": "on"},
}


@pytest.mark.parametrize("stand", STANDS)
def test_both_ways_give_the_same_answers_lines_and_entries(world: World, start: Start, stand: str) -> None:
    if "TRUSTED_PROXY_COUNT" in STANDS[stand]:
        world.more = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    pair = Pair(start, SECRET_KEY=settings.SECRET_KEY, **STANDS[stand])
    # From here on, the last question of the proxy is not stored.
    GateProxy.objects.update(asked_at=clock.now() + dt.timedelta(hours=1))
    different, before = [], len(entries())
    calls = [*questions(world), *generated(world, seed=7, count=sample(2_000, 150))]
    statuses = set()
    for name, request in calls:
        one, other = pair.answers(request)
        statuses.add(one[0][0][:12])
        if one != other:
            different.append((name[:100], difference(one, other)))
    assert different == []
    assert statuses >= {"HTTP/1.1 200", "HTTP/1.1 401", "HTTP/1.1 403"}
    one_log, other_log = pair.lines()
    assert [each for each in zip(one_log, other_log, strict=True) if each[0] != each[1]] == []
    made = entries()[before:]
    assert len(made) > 100
    assert made[::2] == made[1::2]


# --- In this process -----------------------------------------------------------------------------------------


class NoDjango(Handler):
    """Fails if it is asked."""

    def __call__(self, *_args: Any) -> Any:
        raise AssertionError("The event loop answers this.")


def asked_at_once(world: World, *, count: int = 1, method: str = "GET", **headers: str) -> list[Proto]:
    """Ask several times at once on the event loop. Return the answers."""

    async def main() -> list[Proto]:
        bridge = Bridge(NoDjango(), threads=2, streams=4, longest_body=1024 * 1024)
        bridge.__rsgi_init__(asyncio.get_running_loop())
        of = {f"x_original_{name}": value for name, value in ASKED.items()}
        named = {**of, "x_lockbox_proxy": PROXY_SECRET, "cookie": world.cookie, **headers}
        answers = [Proto() for _ in range(count)]
        question = scope(ORIGINAL, method, **named)
        await asyncio.wait_for(asyncio.gather(*(bridge.__rsgi__(question, each) for each in answers)), timeout=60)
        return answers

    return uvloop.run(main())


def test_questions_at_once_are_read_together_and_each_has_its_entry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    portions = list[int]()

    def read(asked: Sequence[GateQuery]) -> Any:
        portions.append(len(asked))
        return gate_calls.read_gate_calls(asked)

    monkeypatch.setattr(gates, "read_gate_calls", read)
    # All of them wait before the decision lane begins.
    monkeypatch.setattr(gates, "LANE", lane := Late(gates._no_quota))
    monkeypatch.setattr(exchange, "LANE", lane)
    answers = asked_at_once(world, count=20)
    assert [(each.status, each.body, each.headers["X-Lockbox-Stream"]) for each in answers] == [(200, b"", "no")] * 20
    assert portions == [20]
    assert ContentAccess.objects.filter(grant=world.grant, item_ref="GET /tenants/7/pages").count() == 20
    assert len({each.headers["X-Request-ID"] for each in answers}) == 20


def test_identities_of_one_portion_are_signed_without_a_thread_by_a_key_that_is_read_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Service.objects.filter(key="quillo").update(gate_identity=True)
    # A thread makes the first key.
    [first] = asked_at_once(world)
    with monkeypatch.context() as patched:
        read = list[Sequence[TokenKey]]()

        def keys_of() -> Sequence[TokenKey]:
            read.append(token_keys.keys_of())
            return read[-1]

        patched.setattr(gates, "keys_of", keys_of)
        patched.setattr(Pool, "submit", lambda *_args, **_more: pytest.fail("The event loop signs these."))
        patched.setattr(gates, "LANE", lane := Late(gates._no_quota))
        patched.setattr(exchange, "LANE", lane)
        answers = asked_at_once(world, count=20)
    assert len(read) == 1
    identities = {each.headers["X-Lockbox-Identity"] for each in [first, *answers]}
    assert len(identities) == 21
    found = [token_keys.verified(identity, typ=gates.IDENTITY_TYPE) for identity in identities]
    assert {claims and claims["sub"] for claims in found} == {str(world.cast.priya.pk)}

    operations.roll_token_keys(is_due_only=False, at_once=True, actor=world.cast.system("sweep"))
    assert token_keys.verified(identities.pop(), typ=gates.IDENTITY_TYPE) is None
    [after] = asked_at_once(world)
    assert token_keys.verified(after.headers["X-Lockbox-Identity"], typ=gates.IDENTITY_TYPE) is not None


class Late(DecisionLane):
    """Begins only when twenty calls wait."""

    def __init__(self, take: Any) -> None:
        super().__init__(take)
        self._calls = list[Any]()

    def enter(self, call: Any) -> Any:
        self._calls.append(call)
        if len(self._calls) == 20:
            for each in self._calls:
                each.begin()
            threading.Thread(target=self._begin).start()
        return call.future

    def _begin(self) -> None:
        try:
            self._work(self._calls)
        finally:
            connections.close_all()


def test_what_has_ended_passes_no_more(world: World) -> None:
    assert asked_at_once(world)[0].status == 200
    operations.revoke(world.grant.access_request_id, actor=world.cast.as_("ada"))
    [found] = asked_at_once(world)
    assert (found.status, json.loads(found.body)["code"]) == (403, "window_not_open")
    sessions.end_elsewhere(world.grant.engineer)
    [found] = asked_at_once(world)
    assert (found.status, json.loads(found.body)["code"]) == (401, "no_session")
    operations.remove_proxy(GateProxy.objects.get().pk, actor=world.cast.as_("stella"))
    [found] = asked_at_once(world)
    assert (found.status, json.loads(found.body)["code"]) == (403, "unknown_proxy")
    assert ContentAccess.objects.count() == 1


def test_the_same_request_id_gives_an_entry_for_each_question(world: World) -> None:
    """A browser chooses this header, so a repeated one must not hide an access."""
    for _time in range(2):
        [found] = asked_at_once(world, x_request_id="chosen-by-a-browser")
        assert (found.status, found.headers["X-Request-ID"]) == (200, "chosen-by-a-browser")
    assert ContentAccess.objects.count() == 2
    assert AuditEntry.objects.filter(event="content.access_allowed").count() == 2
    assert not IdempotencyKey.objects.filter(subject_type="entry").exists()


def test_a_question_that_nobody_begins_with_is_refused_with_403(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx turns any other status into an error page."""
    monkeypatch.setattr(fast_path, "MOST_WAITING", 0)
    [found] = asked_at_once(world)
    assert (found.status, json.loads(found.body)["code"]) == (403, "unavailable")
    monkeypatch.undo()
    monkeypatch.setattr(fast_path, "MOST_QUESTIONS", 0)
    [found] = asked_at_once(world)
    assert (found.status, json.loads(found.body)["code"]) == (403, "unavailable")
    assert not ContentAccess.objects.exists()


def test_a_question_that_fails_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = gate_calls._facts

    def faulty(row: Any, query: Any) -> Any:
        if query.session == queries.hash_of("guessed"):
            raise ZeroDivisionError
        return facts(row, query)

    monkeypatch.setattr(gate_calls, "_facts", faulty)
    request = gates.GateRequest(host=ASKED["host"], method="GET", target=ASKED["uri"], headers={})
    proxy = queries.hash_of(PROXY_SECRET)
    secrets = [world.cookie.partition("=")[2], "guessed", world.cookie.partition("=")[2]]
    calls = [gates.GateCall(request, GateQuery(proxy=proxy, session=queries.hash_of(secret))) for secret in secrets]
    for call in calls:
        call.begin()
    gates.LANE._decide(list(calls))
    assert isinstance(calls[0].found(), gates.Pass)
    with pytest.raises(ZeroDivisionError):
        calls[1].found()
    assert isinstance(calls[2].found(), gates.Pass)
    assert ContentAccess.objects.count() == 2


def test_a_question_is_counted_under_its_address(world: World, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    counted = list[tuple[Any, ...]]()
    settings.METRICS = True
    monkeypatch.setattr(fast_gate.counters, "counted", lambda count: count(Counted(counted)))
    asked_at_once(world)
    asked_at_once(world, cookie="")
    assert [each for each in counted if each[0] == "/forward-auth/*"] == [
        ("/forward-auth/*", "GET", 200), ("/forward-auth/*", "GET", 401),
    ]  # fmt: skip


class Counted:
    def __init__(self, found: list[tuple[Any, ...]]) -> None:
        self._found = found

    def request(self, route: str, method: str, status: int, _seconds: float | None) -> None:
        self._found.append((route, method, status))
