"""The fast path gives the same answers and log lines as Django's way, byte for byte, through the real web server."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import gc
import json
import random
import re
import socket
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import uvloop
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.test import Client as Browser
from django.test import override_settings
from structlog.testing import capture_logs

from lockbox_site.serving import as_django, fast_path, outlet, request_log, results
from lockbox_site.serving.bridge import Bridge
from lockbox_site.serving.handler import Handler
from lockbox_site.serving.results import ClientGone, Results
from requests_app.domain import api_secrets, clock
from requests_app.domain.actors import Actor
from requests_app.domain.api_secrets import Kind
from requests_app.domain.deciding import Asked, Decided, TokenRefused
from requests_app.domain.errors import (
    Busy,
    InsufficientScope,
    NotAllowed,
    OutcomeUnknown,
    SecondFactorRequired,
    ServiceClientOnly,
    StoreUnavailable,
)
from requests_app.domain.evaluation import Ended, Verdict
from requests_app.domain.scopes import Scope
from requests_app.doors.api import exchange
from requests_app.platform.together import together
from requests_app.work import supervisor
from requests_app.work.supervisor import web_answers
from tests.caller import access_token, client_of, token_of
from tests.cast import Cast
from tests.conftest import sample
from tests.ports import free_port
from tests.site.test_serving import Proto, scope
from tests.tasks.conftest import Running, Start, wait_for
from tests.tasks.conftest import start as start  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.real_clock, pytest.mark.django_db(transaction=True)]

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"
#: Why the fast path need not run these middlewares. `DONE_HERE` has those whose work it does itself.
PASSED_BY = {
    "requests_app.doors.api.forward_auth.ForwardAuthMiddleware": "answers other addresses",
    "django.middleware.security.SecurityMiddleware": "adds headers, and does not redirect addresses for programs",
    "lockbox_site.lighter.PolicyMiddleware": "adds headers",
    "django_permissions_policy.PermissionsPolicyMiddleware": "adds headers",
    "django.middleware.clickjacking.XFrameOptionsMiddleware": "adds headers",
    "lockbox_site.middleware.IsolationMiddleware": "adds headers; Django answers calls without TLS",
    "lockbox_site.crossing.CharsetMiddleware": "Django answers calls that name an unusual encoding",
    "lockbox_site.middleware.ProbeMiddleware": "answers other addresses",
    "lockbox_site.crossing.CrossingMiddleware": "lets through what is for programs",
    "lockbox_site.crossing.BodyLimitMiddleware": "Django answers calls with a long body",
    "lockbox_site.compressing.CompressionMiddleware": "compresses answers to GET",
    "lockbox_site.middleware.FirstPieceMiddleware": "is for streams",
    "lockbox_site.middleware.StoreUnavailableMiddleware": "the exchange answers failures of the database",
    "lockbox_site.token_calls.TokenCallMiddleware": "is for other addresses",
    "django.contrib.sessions.middleware.SessionMiddleware": "Django answers calls with a cookie",
    "django.middleware.locale.LocaleMiddleware": "adds headers; there is one language",
    "django.middleware.common.CommonMiddleware": "Django answers calls to an unknown host",
    "django.middleware.csrf.CsrfViewMiddleware": "does not check views of the API",
    "django.contrib.auth.middleware.AuthenticationMiddleware": "Django answers calls with a cookie",
    "lockbox_site.middleware.SessionLimitsMiddleware": "Django answers calls with a cookie",
    "django.contrib.messages.middleware.MessageMiddleware": "is for pages",
    "requests_app.doors.web.middleware.ActorMiddleware": "Django answers calls with a cookie",
    "requests_app.doors.web.signed_out.SignedOutMiddleware": "is for forms",
    "requests_app.doors.web.once.OnceMiddleware": "is for forms",
    "requests_app.doors.web.gate.SecondFactorMiddleware": "is for pages",
    "requests_app.doors.web.stepping.StepUpMiddleware": "is for pages",
    "allauth.account.middleware.AccountMiddleware": "is for pages",
    "django_htmx.middleware.HtmxMiddleware": "is for pages",
    "lockbox_site.token_calls.AfterAllMiddleware": "is never called",
}


def test_every_middleware_has_a_reason_to_be_passed_by() -> None:
    """If you add a middleware that can refuse a call, the fast path must leave such calls to Django."""
    assert PASSED_BY.keys() | as_django.DONE_HERE == set(settings.MIDDLEWARE)


# --- Two servers -----------------------------------------------------------------------------------------


class Pair:
    """Two web servers with one database: one with the fast path, and one without."""

    def __init__(self, start: Start, **env: str) -> None:
        # Python orders sets by this seed, and a header lists the members of one.
        env |= {"PYTHONHASHSEED": "0", "STATEMENT_SECONDS": "1"}
        self.ports = [free_port(), free_port()]
        modules = ("lockbox_site.rsgi", "tests.site.without_fast_path")
        self.servers = [_served(start, port, module, env) for port, module in zip(self.ports, modules, strict=True)]

    def answers(self, request: bytes) -> list[tuple[list[str], bytes]]:
        return [comparable(answer(port, request)) for port in self.ports]

    def lines(self) -> list[list[dict[str, Any]]]:
        """Return the lines of both logs, without what differs in each call."""
        return [
            [_plain(json.loads(line)) for line in each.log.splitlines() if line[:1] == "{"] for each in self.servers
        ]


def _served(start: Start, port: int, module: str, env: dict[str, str]) -> Running:
    with override_settings(HOST="127.0.0.1", PORT=port, WEB_WORKERS=1):
        command = [*supervisor.web_command()[:-1], f"{module}:application"]
    # Both give the same address in their answers.
    running = start(command=command, PORT=str(port), BASE_URL="https://lockbox.example", **env)
    wait_for(lambda: web_answers("127.0.0.1", port) or running.process.poll() is not None, within=60)
    assert running.process.poll() is None, running.log[-3000:]
    return running


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    id_is_made = re.fullmatch("[0-9a-f]{32}", line.get("request_id", ""))
    return {
        name: value for name, value in line.items() if name != "timestamp" and not (name == "request_id" and id_is_made)
    }


def answer(port: int, request: bytes) -> bytes:
    """Send a request on a new connection. Return everything that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        plain.sendall(request)
        found = b""
        try:
            while piece := plain.recv(65536):
                found += piece
        except ConnectionResetError:
            pass
        return found


#: What differs in each call: the time, ids that the server makes, numbers of entries, and when the quota is full again.
DIFFERENT = re.compile(
    rb'("(?:at|evaluated_at|expires_at|evaluation_id|binding_token)": ?"|lockbox-now" content=")[^"]*'
    rb'|(nonce=")[^"]*|(\'nonce-)[^\']*|(date: )[^\r]*|("entry": ?|;t=|available in )\d+|(retry-after: )\d+'
    rb"|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"
)


def comparable(found: bytes) -> tuple[list[str], bytes]:
    """Return the head of a response in lines, in their order, and its body, both without what differs.

    The length of a body can differ by a digit of an entry's number. So the head says only whether it is right.
    """
    _head, _blank, whole = found.partition(b"\r\n\r\n")
    head, _blank, body = DIFFERENT.sub(rb"\1\2\3\4\5\6~", found).partition(b"\r\n\r\n")
    length = b"content-length: %d\r\n" % len(whole)
    return (head + b"\r\n").replace(length, b"content-length: right\r\n").decode("latin-1").split("\r\n"), body


def raw(
    path: str = ONE, body: bytes = b"", *, method: str = "POST", version: str = "1.1", **headers: str | None
) -> bytes:
    """Return the bytes of a request. A header of None is left out."""
    named: dict[str, str | None] = {
        "Host": "127.0.0.1", "Connection": "close", "Content-Type": "application/json",
        "Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()},
    }  # fmt: skip
    lines = [f"{name}: {value}" for name, value in named.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", ""]).encode("utf-8", "surrogateescape") + body


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> World:
    return World(cast)


class World:
    """Tokens of several callers, and a question about an open window. `more` are headers of every call."""

    more: dict[str, str] = {}  # noqa: RUF012 - replaced for each stand

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.grant = cast.opened()
        self.tokens = {
            "provider": _access(cast, None, Scope.EVALUATE),
            "asking": _access(cast, None, Scope.EVALUATE, Scope.REQUESTS_ASK),
            "contoso": _access(cast, "contoso", Scope.EVALUATE),
            "fabrikam": _access(cast, "fabrikam", Scope.EVALUATE),
            "no scope": _access(cast, None, Scope.LOG_READ),
            "otto": token_of(cast, "otto"), "priya": token_of(cast, "priya"), "stella": token_of(cast, "stella"),
            "ended": token_of(cast, "otto", Scope.LOG_READ), "unknown": "lockbox_pat_" + "x" * 46, "rubbish": "rubbish",
        }  # fmt: skip

    def question(self, **context: Any) -> dict[str, Any]:
        found: dict[str, Any] = {
            "subject": {"type": "engineer", "id": self.cast.priya.email},
            "action": {"name": "read"},
            "resource": {"type": "exchange-online", "id": str(self.cast.resource().pk)},
        }
        return {**found, "context": context} if context else found

    def bearer(self, name: str) -> str:
        return f"Bearer {self.tokens[name]}"

    def raw(self, path: str, body: bytes, **options: str | None) -> bytes:
        """Return a request with the headers that the proxy of this stand adds."""
        return raw(path, body, **{**self.more, **options})  # type: ignore[arg-type]  # method and version are texts


def _access(cast: Cast, tenant: str | None, *scopes: Scope) -> str:
    return str(access_token(*client_of(cast, tenant, *scopes)).json()["access_token"])


def bodies(world: World) -> dict[str, bytes]:
    asked = world.question()
    known: dict[str, Any] = {
        "advice": asked,
        "access": world.question(purpose="access", item="7.mail"),
        "access, not ASCII": world.question(purpose="access", item="für \u2028 \U0001f600"),
        "an approval": world.question(approval={"id": str(world.grant.pk)}),
        "another approval": {**world.question(approval={"id": "x"}), "action": {"name": "act_as"}},
        "denied": {**asked, "action": {"name": "act_as"}},
        "an unknown action": {**asked, "action": {"name": "write"}},
        "an unknown resource": {**asked, "resource": {"type": "x", "id": "y"}},
        "a tenant": world.question(tenant="contoso"),
        "no question": {},
        "a wrong type": {**asked, "subject": "priya"},
        "a wrong purpose": world.question(purpose="acess"),
        "too long a text": world.question(item="x" * 1025),
        "half a character": world.question(item="\ud800"),
        "several": {**asked, "evaluations": [{}, {"action": {"name": "list"}}, {"action": {}}]},
        "several accesses": {**world.question(purpose="access"), "evaluations": [{}, {"action": {"name": "act_as"}}]},
        "several, none readable": {**asked, "evaluations": [{"action": {}}, {"action": {"name": 7}}]},
        "until a denial": {
            **world.question(purpose="access"), "options": {"evaluations_semantic": "deny_on_first_deny"},
            "evaluations": [{}, {"action": {"name": "act_as"}}, {}],
        },
        "until a permission": {
            **asked, "options": {"evaluations_semantic": "permit_on_first_permit"},
            "evaluations": [{"action": {}}, {"action": {"name": "act_as"}}, {}, {}],
        },
        "no list": {**asked, "evaluations": []},
        "too many": {**asked, "evaluations": [{}] * 101},
        "an unknown semantic": {**asked, "evaluations": [{}], "options": {"evaluations_semantic": "x"}},
        "long": {**asked, "padding": "x" * fast_path.LONGEST_BODY},
    }  # fmt: skip
    raw_bodies = {
        "nothing": b"", "null": b"null", "a list": b"[]", "text": b'"read"', "half": b"{", "NaN": b'{"subject": NaN}',
        "no UTF-8": b"\xff\xfe{", "a mark": b"\xef\xbb\xbf{}",
        "cut off": json.dumps(asked).encode() + b"\xc3",
        "deep": b"[" * 10_000, "twice": b'{"subject": 1, "subject": {}}', "a surrogate": b'{"subject": "\\ud800"}',
        "spaces": b"  " + json.dumps(asked).encode() + b"\r\n",
    }  # fmt: skip
    return {**{name: json.dumps(each).encode() for name, each in known.items()}, **raw_bodies}


#: The headers that a call can have, each with unusual values. None leaves the header out.
HEADERS: dict[str, tuple[str | None, ...]] = {
    "Accept": (
        "*/*", "application/json", "", "text/html", "application/json; indent=2", "application/json;q=0.1, text/plain",
        "application/*", "x", "text/html, */*;q=0.8", "a/b," * 100, "application/json; indent=x",
    ),
    "Content-Type": (
        None, "", "application/json; charset=utf-8", "application/json;charset=UTF-8",
        "application/json; charset=us-ascii",
        "application/json; charset=utf-16", "APPLICATION/JSON", "text/plain", "application/*", "*/*",
        "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json; x=y",
        "application/json; charset*=utf-8''utf-16", "application/json" + " " * 300, "json", "application/xml",
    ),
    "Host": ("localhost", "evil.example", "127.0.0.1:8000", "127.0.0.1:x", "LOCALHOST", "localhost.", None, "", "a,b"),
    "X-Request-ID": (
        "abcdefgh", "a b c d e f", "x" * 64, "x" * 65, "x" * 201, "a\tb", "ü" * 8, "", '"><script>', "0" * 32,
    ),
    "X-Forwarded-For": ("1.2.3.4", "1.2.3.4, 5.6.7.8", "ü", "", " , ", "2001:db8::1", "x" * 60, "<a>\\\"", "a\tb"),
    "X-Forwarded-Proto": ("https", "http", "https, http", "", "HTTPS", "ü"),
    "Cookie": ("a=b", "", "lockbox_session=x"),
    "Accept-Language": ("de", "en", "x" * 600),
    "Origin": ("https://evil.example", "null"),
    "Sec-Fetch-Site": ("cross-site", "same-origin"),
    "Idempotency-Key": ("k-1", ""),
    "HX-Request": ("true",),
    "X-HTTP-Method-Override": ("GET",),
    "Expect": ("x",),
    "Content_Type": ("text/plain",),
    "Authorization_": ("Bearer x",),
    "User-Agent": ("curl/8", ""),
}  # fmt: skip
PATHS = (ONE, MANY)
ODD_PATHS = (
    f"{ONE}?a=b",
    f"{ONE}?",
    f"{MANY}?{'&'.join('a' * 600)}",
    f"{ONE}/",
    "//access/v1/evaluation",
    "/access/v1/%65valuation",
)
METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "FROB", "post")


def tokens(world: World) -> tuple[str | None, ...]:
    odd = (None, "", "Bearer", "Bearer ", " Bearer x", "Basic eDp5", "bearer  " + world.tokens["provider"], "Bearer ü",
           f"Bearer {world.tokens['provider']}, x")  # fmt: skip
    return (*(world.bearer(name) for name in world.tokens), *odd)


def table(world: World) -> Iterator[tuple[str, bytes]]:
    """Yield calls that differ from a usual one in one thing."""
    known, good = bodies(world), world.bearer("provider")
    asked = known["advice"]
    for path in PATHS:
        for name, body in known.items():
            yield f"{path}, {name}", world.raw(path, body, Authorization=good)
        for name in ("advice", "access", "denied", "several accesses", "no question"):
            for token in tokens(world):
                yield f"{path}, {name}, {token}", world.raw(path, known[name], Authorization=token)
        for method in METHODS:
            for token in (good, None):
                yield f"{method} {path}", world.raw(path, asked, method=method, Authorization=token)
    for path in ODD_PATHS:
        yield path, world.raw(path, asked, Authorization=good)
    for header, values in HEADERS.items():
        for value in values:
            for body in (asked, b"{}"):
                yield f"{header}: {value}", world.raw(ONE, body, **{"Authorization": good, header: value})
    yield "HTTP/1.0", world.raw(ONE, asked, version="1.0", Authorization=good)
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(asked), asked)
    head = world.raw(ONE, b"", Authorization=good, Content_Length=None, Transfer_Encoding="chunked")
    yield "in chunks", head + chunks
    yield "no length", world.raw(ONE, b"", Authorization=good, Content_Length=None)
    yield "too short", world.raw(ONE, asked, Authorization=good, Content_Length="5")
    yield "too large", world.raw(ONE, b"x" * (1024 * 1024 + 1), Authorization=good)
    for name in ("Authorization", "Host", "Content-Type", "X-Request-ID", "Accept", "X-Forwarded-For"):
        once = world.raw(ONE, asked, Authorization=good)
        yield f"{name} twice", once.replace(b"\r\n", f"\r\n{name}: abcdefgh\r\n".encode(), 1)


def generated(world: World, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield calls that differ from a usual one in several things."""
    chosen = random.Random(seed)
    known, secrets = list(bodies(world).values()), tokens(world)
    for number in range(count):
        names = chosen.sample(list(HEADERS), chosen.randint(0, 4))
        headers = {name: chosen.choice(HEADERS[name]) for name in names}
        headers.setdefault(
            "Authorization", chosen.choice(secrets) if chosen.random() < 0.5 else world.bearer("provider")
        )
        method = chosen.choice(METHODS) if chosen.random() < 0.1 else "POST"
        path = chosen.choice(ODD_PATHS) if chosen.random() < 0.05 else chosen.choice(PATHS)
        yield f"{seed}/{number}", world.raw(path, chosen.choice(known), method=method, **headers)


def difference(one: tuple[list[str], bytes], other: tuple[list[str], bytes]) -> list[str]:
    first, second = ([*head, *body.decode("latin-1").splitlines()] for head, body in (one, other))
    return [line for line in difflib.unified_diff(first, second, n=0) if line[:2] not in ("@@", "--", "++")]


#: How the servers stand: alone, behind a proxy that ends TLS, and with a quota that is soon used up.
STANDS: dict[str, dict[str, str]] = {
    "alone": {},
    "behind a proxy": {"TRUSTED_PROXY_COUNT": "1", "SSL_REDIRECT": "on", "HSTS_SECONDS": "60", "SECURE_COOKIES": "on"},
    "with a small quota": {"EVALUATIONS_PER_MINUTE": "3"},
}


@pytest.mark.parametrize("stand", STANDS)
def test_both_ways_give_the_same_answers_and_lines(world: World, start: Start, stand: str) -> None:
    if "TRUSTED_PROXY_COUNT" in STANDS[stand]:
        world.more = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    pair = Pair(start, **STANDS[stand])
    different = []
    calls = [*table(world), *generated(world, seed=7, count=sample(5_000, 400))]
    for name, request in calls:
        one, other = pair.answers(request)
        if one != other:
            different.append((name[:100], difference(one, other)))
    assert different == []
    one_log, other_log = pair.lines()
    assert [each for each in zip(one_log, other_log, strict=False) if each[0] != each[1]] == []
    assert len(one_log) == len(other_log) > len(calls) // 2


# --- In this process, with a decision lane that answers what the test wants ---------------------------------------


class LaneOfTest:
    """Gives each question this answer. With `None`, it never answers."""

    def __init__(self, decided: Decided | None) -> None:
        self._decided, self._waiting = decided, list[Future[list[Decided]]]()

    def decide(self, asked: Sequence[Asked]) -> list[Decided]:
        assert self._decided is not None
        return [self._decided] * len(asked)

    def submit(self, asked: Sequence[Asked]) -> Future[list[Decided]]:
        found = Future[list[Decided]]()
        if self._decided is not None:
            found.set_result(self.decide(asked))
        else:
            self._waiting.append(found)
        return found

    def close(self) -> None:
        for each in self._waiting:
            each.set_result([Decided(refused=Busy())])


HEADERS_OF_A_CALL = {
    "host": "testserver", "content_type": "application/json", "x_request_id": "abcdefgh",
    "authorization": f"Bearer {api_secrets.make(Kind.ACCESS)}",
}  # fmt: skip
QUESTION = b'{"subject": {"type": "x", "id": "x"}, "action": {"name": "x"}, "resource": {"type": "x", "id": "x"}}'


def through_the_bridge(path: str = ONE, body: bytes = QUESTION, *, count: int = 1, **headers: str) -> list[Proto]:
    """Send the same call several times at once through the bridge with the product's handler. Return the answers."""

    async def main() -> list[Proto]:
        found = Bridge(Handler(), threads=2, streams=4, longest_body=1024 * 1024)
        found.__rsgi_init__(asyncio.get_running_loop())
        answers = [Proto(body) for _ in range(count)]
        asked = scope(path, "POST", **{**HEADERS_OF_A_CALL, "content_length": str(len(body)), **headers})
        calls = [asyncio.ensure_future(found.__rsgi__(asked, each)) for each in answers]
        await asyncio.wait(calls, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        for call in calls:
            call.cancel()
        return answers

    return uvloop.run(main())


@pytest.mark.parametrize(
    "refused",
    [
        OperationalError("hunter2"), InterfaceError("hunter2"), ZeroDivisionError("hunter2"), UnicodeError("hunter2"),
        OutcomeUnknown(current={"subject_type": "grant", "subject_id": str(UUID(int=1))}), StoreUnavailable(), Busy(),
        InsufficientScope("evaluate"), SecondFactorRequired(), ServiceClientOnly(), NotAllowed(), TokenRefused(),
    ],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
@pytest.mark.parametrize("about", [("", ""), ("grant", str(UUID(int=2)))])
def test_a_refusal_of_the_lane_is_the_same_both_ways(
    monkeypatch: pytest.MonkeyPatch, refused: Exception, about: tuple[str, str]
) -> None:
    """For example, the database has gone, also after an entry was committed for an earlier question of the call."""
    verdict = Verdict(decision=True, reason="window_open", at=clock.here())
    before = [Decided(verdict=verdict, actor=Actor.system("test"), about=about)] if about[0] else []
    monkeypatch.setattr(LaneOfTest, "decide", lambda _self, _asked: [*before, Decided(refused=refused)])
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(Decided()))
    body = b'{"evaluations": [{}, {}], ' + QUESTION[1:] if about[0] else QUESTION
    path = MANY if about[0] else ONE
    named = {name.replace("_", "-"): value for name, value in HEADERS_OF_A_CALL.items()}
    with capture_logs() as lines:
        browser = Browser(raise_request_exception=False)
        wanted = browser.post(path, body, content_type="application/json", headers=named)
    with capture_logs() as fast_lines:
        [found] = through_the_bridge(path, body)
    assert (found.status, found.body) == (wanted.status_code, wanted.content)
    assert b"hunter2" not in found.body
    assert found.headers == dict(wanted.items())
    # The test captures lines of every level; the fast path writes those for debugging only if somebody wants them.
    assert fast_lines == [line for line in lines if line["log_level"] != "debug"]


@pytest.mark.parametrize(
    ("refused", "status"),
    [(StoreUnavailable(), 503), (Busy(), 503), (OperationalError("hunter2"), 503), (NotAllowed(), 403)],
    ids=lambda each: type(each).__name__,
)
def test_a_refused_question_leaves_the_others_their_answers(
    monkeypatch: pytest.MonkeyPatch, refused: Exception, status: int
) -> None:
    """One question of the call waits in vain for the log of its tenant. The next one is about another tenant."""
    verdict = Verdict(decision=True, reason="window_open", at=clock.here(), entry=7)
    after = Decided(verdict=verdict, actor=Actor.system("test"), about=("grant", str(UUID(int=2))))
    both = [Decided(refused=refused), after]
    monkeypatch.setattr(LaneOfTest, "decide", lambda _self, asked: both if len(asked) > 1 else [Decided()])
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(Decided()))
    body = b'{"evaluations": [{}, {}], ' + QUESTION[1:]
    headers = {name.replace("_", "-"): value for name, value in HEADERS_OF_A_CALL.items()}
    slow = Browser(raise_request_exception=False).post(MANY, body, content_type="application/json", headers=headers)
    [fast] = through_the_bridge(MANY, body)
    for code, content in ((slow.status_code, slow.content), (fast.status, fast.body)):
        assert code == 200
        assert b"hunter2" not in content
        first, second = json.loads(content)["evaluations"]
        assert (first["decision"], first["context"]["error"]["status"]) == (False, status)
        assert (second["decision"], second["context"]["entry"]) == (True, 7)


@pytest.mark.parametrize("semantic", ["deny_on_first_deny", "permit_on_first_permit"])
def test_a_refused_question_after_an_answer_is_no_refusal_of_the_call(
    monkeypatch: pytest.MonkeyPatch, semantic: str
) -> None:
    """With these semantics, the decision lane gets one question after the other."""
    goes_on = semantic == "deny_on_first_deny"
    verdict = Verdict(decision=goes_on, reason="window_open", at=clock.here())
    known = Decided(actor=Actor.system("test"))
    answers = iter([replace(known, verdict=verdict), replace(known, refused=Busy())])
    monkeypatch.setattr(
        LaneOfTest, "decide", lambda _self, asked: [known if each.question is None else next(answers) for each in asked]
    )
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(Decided()))
    options = json.dumps({"evaluations_semantic": semantic}).encode()
    body = b'{"evaluations": [{}, {}], "options": ' + options + b", " + QUESTION[1:]
    [found] = through_the_bridge(MANY, body)
    assert found.status == 200
    first, second = json.loads(found.body)["evaluations"]
    assert (first["decision"], second["decision"]) == (goes_on, False)
    assert second["context"]["error"]["status"] == 503


def test_the_lines_of_calls_that_are_answered_together_are_written_together(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Each call has its own line, but writing them one by one would cost more than the rest of the log."""
    settings.LOG_FORMAT = "json"
    verdict = Verdict(decision=True, reason="window_open", at=clock.here())
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(Decided(verdict=verdict, actor=Actor.system("test"))))
    written = list[Any]()
    monkeypatch.setattr(request_log._requests, "isEnabledFor", lambda _level: True)
    monkeypatch.setattr(request_log, "has_debug", lambda: False)
    monkeypatch.setattr(request_log._requests, "handle", written.append)
    answers = through_the_bridge(count=3)
    assert [each.status for each in answers] == [200] * 3
    [record] = written
    lines = [json.loads(line) for line in record.line.splitlines()]
    assert [(line["event"], line["code"], line["request"]) for line in lines] == [
        ("request_finished", 200, f"POST {ONE}")
    ] * 3


def test_a_call_whose_client_has_gone_has_a_line_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PATIENT_FOR", 0.01)
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(None))
    monkeypatch.setattr(Proto, "client_disconnect", lambda _self: asyncio.sleep(0.01))
    with capture_logs() as lines:
        [answer] = through_the_bridge()
    assert answer.status == 0
    # The test captures lines of every level.
    [line] = [line for line in lines if line["log_level"] != "debug"]
    assert (line["event"], line["request"]) == ("request_cancelled", f"POST {ONE}")


def test_a_server_that_ends_answers_the_calls_that_wait_for_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """The web server has stopped the loop by then."""
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(None))
    found = Bridge(Handler(), threads=2, streams=4, longest_body=1024 * 1024)
    asked = scope(ONE, "POST", **{**HEADERS_OF_A_CALL, "content_length": str(len(QUESTION))})

    async def begin() -> tuple[Proto, asyncio.Task[None]]:
        answer = Proto(QUESTION)
        call = asyncio.ensure_future(found.__rsgi__(asked, answer))
        await asyncio.sleep(0.05)
        assert answer.status == 0
        return answer, call

    with contextlib.closing(uvloop.new_event_loop()) as loop:
        found.__rsgi_init__(loop)
        answer, call = loop.run_until_complete(begin())
        found.__rsgi_del__(loop)
        assert call.done()
    assert answer.status == 503


class OnlyKnown(LaneOfTest):
    """Says at once who asks, and never answers a question."""

    def __init__(self) -> None:
        super().__init__(None)

    def submit(self, asked: Sequence[Asked]) -> Future[list[Decided]]:
        found = super().submit(asked)
        if asked[0].question is None:
            found.set_result([Decided()])
            self._waiting.remove(found)
        return found


@pytest.mark.parametrize(
    ("lane", "most"),
    [
        pytest.param(OnlyKnown(), 7, id="a call of somebody who is known has the room of its questions"),
        pytest.param(LaneOfTest(None), 2, id="before, it has the room of one"),
    ],
)
def test_one_client_can_have_half_of_the_questions_that_wait(
    monkeypatch: pytest.MonkeyPatch, lane: LaneOfTest, most: int
) -> None:
    """Otherwise a few calls would fill the decision lane, and everybody would be refused. Anybody can send a call
    without a token that works, and nobody pays for its questions.
    """
    monkeypatch.setattr(exchange, "LANE", lane)
    monkeypatch.setattr(fast_path, "MOST_QUESTIONS", most)
    body = b'{"evaluations": [{}, {}, {}], ' + QUESTION[1:]
    answers = through_the_bridge(MANY, body, count=3)
    assert sorted(each.status for each in answers) == [0, 0, 503]
    [busy] = [each for each in answers if each.status]
    assert json.loads(busy.body)["code"] == "busy"


def test_too_many_calls_that_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(None))
    monkeypatch.setattr(fast_path, "MOST_WAITING", 4)
    answers = through_the_bridge(count=3)
    assert sorted(each.status for each in answers) == [0, 0, 503], "one client has half of the places"
    [busy] = [each for each in answers if each.status]
    assert json.loads(busy.body)["code"] == "busy"


def test_a_call_is_counted_under_its_route(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.METRICS = True
    counted = list[tuple[str, str, int]]()

    class Counters:
        def request(self, route: str, method: str, status: int, seconds: float) -> None:
            assert seconds >= 0
            counted.append((route, method, status))

    monkeypatch.setattr(fast_path.counters, "counted", lambda count: count(Counters()))
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(Decided(refused=NotAllowed())))
    through_the_bridge(ONE)
    through_the_bridge(MANY)
    assert counted == [("/access/v1/evaluation", "POST", 403), ("/access/v1/evaluations", "POST", 403)]


def test_a_long_answer_is_sent_only_as_fast_as_its_client_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Ended(
        grant_id=UUID(int=1), access_request_id=UUID(int=2), closed_at=clock.here(), close_reason="revoked",
        closed_by="x" * 1000,
    )  # fmt: skip
    verdict = Verdict(decision=False, reason="window_not_open", at=clock.here(), ended=ended)
    monkeypatch.setattr(exchange, "LANE", LaneOfTest(Decided(verdict=verdict, actor=Actor.system("test"))))
    sent = list[int]()
    send = Proto.send_bytes

    async def noted(self: Proto, data: bytes) -> None:
        sent.append(len(data))
        await send(self, data)

    monkeypatch.setattr(Proto, "send_bytes", noted)
    [found] = through_the_bridge(MANY, b'{"evaluations": [' + b", ".join([b"{}"] * 100) + b"], " + QUESTION[1:])
    assert len(json.loads(found.body)["evaluations"]) == 100
    assert (found.status, found.headers["Content-Length"]) == (200, str(len(found.body)))
    assert len(sent) > 1
    assert max(sent) <= outlet.PIECE


# --- Results of the decision lane -----------------------------------------------------------------------------------


def test_results_that_come_together_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        found, woken = Results(loop), list[int]()
        wake = loop.call_soon_threadsafe

        def counted(*work: Any) -> Any:
            woken.append(1)
            return wake(*work)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        futures = [Future[int]() for _ in range(20)]
        calls = [asyncio.ensure_future(found.of(each, Proto())) for each in futures]
        await asyncio.sleep(0)

        def batch() -> None:
            with together():
                for number, each in enumerate(futures):
                    each.set_result(number)
                    # The loop would take it now, if it had been woken.
                    assert not woken
                    assert not any(call.done() for call in calls)

        await asyncio.gather(*calls, loop.run_in_executor(None, batch))
        assert [call.result() for call in calls] == list(range(20))
        # The second one says that the thread has ended.
        assert len(woken) == 2

    uvloop.run(main())


class GoneAsInGranian:
    """Granian's future. It refers to its callback also after it was cancelled, and no garbage collector sees that."""

    _asyncio_future_blocking = True

    def add_done_callback(self, callback: Any, **_: Any) -> None:
        self.callback = callback

    def cancel(self) -> None:
        pass


@pytest.mark.parametrize("has_waited", [False, True])
def test_an_answered_call_leaves_nothing_for_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch, has_waited: bool
) -> None:
    """Python would stop for tens of milliseconds to collect what thousands of calls have left."""
    monkeypatch.setattr(results, "PATIENT_FOR", 0.01)
    monkeypatch.setattr(Proto, "client_disconnect", lambda _self: GoneAsInGranian())

    async def main() -> list[Any]:
        found = Results(asyncio.get_running_loop())
        future, proto = Future[str](), Proto()
        seen = [weakref.ref(future), weakref.ref(proto)]
        call = asyncio.ensure_future(found.of(future, proto))
        await asyncio.sleep(0)
        if has_waited:
            [wait] = found._waits
            while wait.gone is None:
                await asyncio.sleep(0.01)
            seen.append(weakref.ref(wait.gone))
            del wait
        future.set_result("decided")
        del future, proto
        assert await call == "decided"
        del call
        await asyncio.sleep(0)
        return seen

    gc.disable()
    try:
        assert {each() for each in uvloop.run(main())} == {None}
    finally:
        gc.enable()


def test_a_call_whose_client_has_gone_is_cancelled_unless_the_engine_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PATIENT_FOR", 0.01)

    async def main() -> None:
        found = Results(asyncio.get_running_loop())
        waits, begun, stays = (Future[str]() for _ in range(3))
        begun.set_running_or_notify_cancel()
        gone, away, here = Proto(), Proto(), Proto()
        calls = [
            asyncio.ensure_future(found.of(future, proto))
            for future, proto in ((waits, gone), (begun, away), (stays, here))
        ]
        await asyncio.sleep(0)
        for proto in (gone, away):
            proto.gone.set_result(None)
        with pytest.raises(ClientGone):
            await asyncio.wait_for(calls[0], 60)
        assert waits.cancelled()
        for future in (begun, stays):
            future.set_result("decided")
        assert await asyncio.gather(*calls[1:]) == ["decided", "decided"]
        assert found._waits == {}

    uvloop.run(main())
