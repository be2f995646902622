"""Guarded applications on real servers: what passes, what is refused, and what is cut in the middle."""

from __future__ import annotations

import base64
import hashlib
import html
import http.client
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from werkzeug.serving import make_server as make_threaded

from lockbox_guard import ASGIGuard, Guard, Rule, WSGIGuard
from lockbox_guard.visit import COOKIE, LOCAL, TRY, _packed, _unpacked
from tests.guard.conftest import NewGuard, until
from tests.guard.fake import ADDRESS, FakeLockbox, encoded
from tests.guard.test_feed import GRANT, pass_time
from tests.stopwatch import in_time

pytestmark = pytest.mark.timed

CHUNK = b"x" * 1000


def rule(path: str, engineer: str | None = ADDRESS) -> Rule | None:
    if not path.startswith("/w/"):
        return None
    return Rule(tenant="contoso", identifier=path.split("/")[2], engineer=engineer, pattern="/w/{id}/{page}")


class Shop:
    """An application: pages that end, trickle, block, and send much at once."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.requests: list[str] = []
        self.closed = threading.Event()
        self.unblock = threading.Event()

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        path = environ["PATH_INFO"]
        self.requests.append(str({name: value for name, value in environ.items() if name not in os.environ}))
        self.seen.append((environ["REQUEST_METHOD"], path, environ.get("HTTP_COOKIE", "")))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "public, max-age=600")])
        return self.body(path.rpartition("/")[2])

    def body(self, page: str) -> Iterator[bytes]:
        try:
            yield CHUNK
            if page == "trickle":
                while not self.unblock.wait(0.05):
                    yield CHUNK
            if page == "block":
                self.unblock.wait(20)
                yield b"after the end"
            if page == "huge":
                yield b"y" * 50_000_000
        finally:
            self.closed.set()

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        if scope["type"] == "lifespan":
            return
        self.requests.append(str(scope))
        cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode()
        self.seen.append((scope["method"], scope["path"], cookies))
        page = scope["path"].rpartition("/")[2]
        headers = [(b"content-type", b"text/event-stream" if page == "events" else b"text/plain")]
        if page == "unbegun":
            await asyncio.sleep(30)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while page in ("trickle", "events", "block", "deaf"):
                await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
                try:
                    await asyncio.sleep(0.05 if page != "block" else 20)
                except asyncio.CancelledError:
                    if page != "deaf":
                        raise
            body = b"y" * 50_000_000 if page == "huge" else CHUNK
            await send({"type": "http.response.body", "body": body})
        finally:
            self.closed.set()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def serve(guard: Guard) -> Iterator[Callable[..., int]]:
    """Serve an application with a server, and return its port."""
    with ExitStack() as stack:

        def start(shop: Shop, server: str, rules: Callable[[str], Rule | None] = rule) -> int:
            wsgi = WSGIGuard(guard, shop.wsgi, lambda environ: rules(environ["PATH_INFO"]))
            stack.callback(shop.unblock.set)
            if server == "uvicorn":
                asgi = ASGIGuard(shop.asgi, guard, lambda scope: rules(scope["path"]))
                running = uvicorn.Server(uvicorn.Config(asgi, port=0, log_level="critical", lifespan="off", ws="none"))
                thread = threading.Thread(target=running.run, daemon=True)
                thread.start()
                until(lambda: running.started)
                stack.callback(setattr, running, "force_exit", True)
                stack.callback(setattr, running, "should_exit", True)
                return int(running.servers[0].sockets[0].getsockname()[1])
            made: Any = (
                make_threaded("127.0.0.1", 0, wsgi, threaded=True, request_handler=None)
                if server == "werkzeug"
                else make_server("127.0.0.1", 0, wsgi, handler_class=_Quiet)
            )
            made.log = lambda *arguments: None
            threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(made.server_close)
            stack.callback(made.shutdown)
            return int(made.server_port)

        yield start
        for response in Response.made:
            response.answer.close()
            response.connection.close()
        Response.made.clear()


class Response:
    made: ClassVar[list[Response]] = []

    def __init__(self, port: int, path: str, token: str = "", method: str = "GET", **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        cookies = {"Cookie": f"sid=1; {COOKIE}={_packed(token)}"} if token else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, headers=cookies | named)
        self.answer = self.connection.getresponse()
        self.made.append(self)
        self.status, self.headers = self.answer.status, self.answer.headers

    def read(self) -> bytes:
        try:
            return self.answer.read()
        finally:
            self.connection.close()

    def code(self) -> str:
        return str(json.loads(self.read())["code"])

    def rest(self) -> tuple[int, bool]:
        """Read to the end. Return how much came, and whether the end was clean."""
        size = 0
        try:
            while part := self.answer.read1(65536):
                size += len(part)
            return size, True
        except (http.client.IncompleteRead, ConnectionError):
            return size, False
        finally:
            self.connection.close()


SERVERS = ["wsgiref", "werkzeug", "uvicorn"]


@pytest.mark.parametrize("server", SERVERS)
def test_requests_are_guarded_by_the_rules(serve: Callable[..., int], lockbox: FakeLockbox, server: str) -> None:
    shop = Shop()
    port, token = serve(shop, server), lockbox.token()
    assert Response(port, "/free").read() == CHUNK
    assert Response(port, "/w/w-17/page").code() == "no_token"
    assert Response(port, "/w/w-18/page", token).code() == "out_of_scope"
    assert Response(port, "/w/w-17/page", token, "POST").code() == "level_too_low"
    assert [path for _, path, _ in shop.seen] == ["/free"]
    response = Response(port, "/w/w-17/page?secret=1", token)
    assert (response.status, response.headers["Cache-Control"], response.read()) == (200, "private, no-store", CHUNK)
    assert shop.seen[-1] == ("GET", "/w/w-17/page", "sid=1")
    assert Response(port, "/w/w-17/page", lockbox_grant=token).read() == CHUNK
    until(lambda: len(lockbox.accesses) == 4)
    assert [(one["kind"], one["item"], one["action"]) for one in lockbox.accesses] == [
        ("refused", "GET /w/{id}/{page}", "view"), ("refused", "POST /w/{id}/{page}", "act_as"),
        ("access", "GET /w/{id}/{page}", "view"), ("access", "GET /w/{id}/{page}", "view"),
    ]  # fmt: skip


@pytest.mark.parametrize("server", ["wsgiref", "uvicorn"])
def test_tricks_with_methods_and_cookies_are_refused(
    serve: Callable[..., int], lockbox: FakeLockbox, server: str
) -> None:
    shop = Shop()
    port, token = serve(shop, server), lockbox.token()
    for header in ("X_HTTP_Method_Override", "X_HTTP_Method", "X_Method_Override"):
        assert Response(port, "/w/w-17/page", token, **{header: "DELETE"}).code() == "method_override"
    assert Response(port, "/w/w-17/page?_method=DELETE", token).code() == "method_override"
    two = f"{COOKIE}={_packed(token)}; {COOKIE}={_packed(lockbox.token())}"
    assert Response(port, "/w/w-17/page", Cookie=two).code() == "no_token"
    assert Response(port, "/w/w-17/page", Cookie=f"{COOKIE}=z.a.b.c").code() == "invalid_token"
    assert shop.seen == []


def test_the_engineer_must_be_the_one_who_is_signed_in(serve: Callable[..., int], lockbox: FakeLockbox) -> None:
    shop = Shop()
    for engineer in ("omar@provider.example", "", None):
        port = serve(shop, "wsgiref", lambda path, engineer=engineer: rule(path, engineer))
        assert Response(port, "/w/w-17/page", lockbox.token()).code() == "other_engineer"
    assert shop.seen == []


@pytest.mark.parametrize("server", ["wsgiref", "uvicorn"])
@pytest.mark.parametrize("way", ["cookie", "header"])
def test_the_application_never_sees_a_grant_token(
    serve: Callable[..., int], lockbox: FakeLockbox, server: str, way: str
) -> None:
    shop = Shop()
    port, token = serve(shop, server), lockbox.token()
    for path in ("/free", "/w/w-17/page"):
        response = Response(port, path, token) if way == "cookie" else Response(port, path, Lockbox_Grant=token)
        assert response.read() == CHUNK
    assert len(shop.requests) == 2
    for request in shop.requests:
        assert token not in request
        assert token.split(".")[2] not in request


@pytest.mark.parametrize("server", ["wsgiref", "uvicorn"])
def test_an_access_whose_window_ends_while_it_is_stored_does_not_reach_the_application(
    serve: Callable[..., int], guard: Guard, lockbox: FakeLockbox, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """A slow disk, or another process that writes, can hold up an access for seconds."""
    shop, plain = Shop(), guard._queue.append

    def slow(record: dict[str, Any]) -> None:
        plain(record)
        if record["kind"] == "access":
            lockbox.close(GRANT)
            until(lambda: GRANT in guard.feed.closed)

    port, token = serve(shop, server), lockbox.token(detail={"level": "act_as", "actions": ["view", "act_as"]})
    monkeypatch.setattr(guard._queue, "append", slow)
    assert Response(port, "/w/w-17/page", token, "POST").code() == "window_closed"
    assert shop.seen == []
    until(lambda: [(one["kind"], one["code"]) for one in lockbox.accesses] == [("access", ""), ("cut", "closed")])


def end(why: str, lockbox: FakeLockbox, patch: pytest.MonkeyPatch) -> None:
    if why == "closed":
        lockbox.close(GRANT)
    elif why == "silent":
        lockbox.cut_feed()
        pass_time(patch, 15)


@pytest.mark.parametrize("why", ["closed", "silent", "elapsed"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_download_is_cut_within_a_second(
    serve: Callable[..., int], lockbox: FakeLockbox, monkeypatch: pytest.MonkeyPatch, server: str, why: str
) -> None:
    shop = Shop()
    port = serve(shop, server)
    token = lockbox.token(window_end=lockbox.now() + 1, exp=int(lockbox.now()) + 200) if why == "elapsed" else None
    response = Response(port, "/w/w-17/trickle", token or lockbox.token())
    assert response.answer.read1(1000)
    end(why, lockbox, monkeypatch)
    begun = time.monotonic()
    _, is_clean = response.rest()
    in_time(time.monotonic() - begun < (1 if why != "elapsed" else 2))
    # wsgiref speaks HTTP/1.0, in which a body without a length ends with its connection.
    assert is_clean == (server == "wsgiref")
    assert shop.closed.wait(2)
    if why != "silent":
        until(lambda: [(one["kind"], one["code"]) for one in lockbox.accesses][1:] == [("cut", why)])


@pytest.mark.parametrize("server", ["werkzeug", "uvicorn"])
@pytest.mark.parametrize("page", ["block", "huge", "events"])
def test_a_response_that_yields_nothing_or_much_is_cut_too(
    serve: Callable[..., int], lockbox: FakeLockbox, server: str, page: str
) -> None:
    if (server, page) == ("werkzeug", "events"):
        page = "trickle"
    port = serve(Shop(), server)
    response = Response(port, f"/w/w-17/{page}", lockbox.token())
    response.answer.read1(10)
    if page == "huge":
        time.sleep(0.3)  # a client that reads slowly
    lockbox.close(GRANT)
    until(lambda: any(one["kind"] == "cut" for one in lockbox.accesses))
    begun = time.monotonic()
    size, is_clean = response.rest()
    in_time(time.monotonic() - begun < 1)
    assert not is_clean
    assert size < 20_000_000


def test_a_blocked_page_behind_a_server_without_its_socket_sends_nothing_more(
    serve: Callable[..., int], lockbox: FakeLockbox
) -> None:
    shop = Shop()
    response = Response(serve(shop, "wsgiref"), "/w/w-17/block", lockbox.token())
    assert response.answer.read1(1000) == CHUNK
    lockbox.close(GRANT)
    until(lambda: [one["kind"] for one in lockbox.accesses] == ["access", "cut"])
    shop.unblock.set()
    assert response.rest()[0] == 0


def test_an_application_that_ignores_its_end_sends_nothing_more(
    serve: Callable[..., int], lockbox: FakeLockbox
) -> None:
    response = Response(serve(Shop(), "uvicorn"), "/w/w-17/deaf", lockbox.token())
    response.answer.read1(1000)
    lockbox.close(GRANT)
    begun = time.monotonic()
    assert not response.rest()[1]
    in_time(time.monotonic() - begun < 1)


def test_a_response_that_has_not_begun_becomes_a_refusal(serve: Callable[..., int], lockbox: FakeLockbox) -> None:
    port, statuses = serve(Shop(), "uvicorn"), list[int]()
    thread = threading.Thread(target=lambda: statuses.append(Response(port, "/w/w-17/unbegun", lockbox.token()).status))
    thread.start()
    until(lambda: lockbox.accesses)
    lockbox.close(GRANT)
    thread.join(2)
    assert statuses == [403]


def test_other_requests_are_not_cut(serve: Callable[..., int], lockbox: FakeLockbox) -> None:
    shop = Shop()
    port = serve(shop, "uvicorn")
    free, held = Response(port, "/free/trickle"), Response(port, "/w/w-17/trickle", lockbox.token())
    lockbox.close(GRANT)
    assert not held.rest()[1]
    assert free.answer.read1(1000)
    assert free.answer.read1(1000)
    free.connection.close()


def test_holds_end_with_their_responses(serve: Callable[..., int], lockbox: FakeLockbox, guard: Guard) -> None:
    for server in SERVERS:
        port = serve(Shop(), server)
        Response(port, "/w/w-17/page", lockbox.token()).read()
        if server == "uvicorn":
            continue  # it does not end an application whose client has gone
        left = Response(port, "/w/w-17/trickle", lockbox.token())
        left.answer.read1(1000)
        sock: Any = left.connection.sock or left.answer.fp.raw._sock  # type: ignore[attr-defined] # after HTTP/1.0
        sock.shutdown(socket.SHUT_RDWR)
        left.connection.close()
    until(lambda: not guard.visits)


# --- The reserved path ----------------------------------------------------------------------------------------


def cookies_of(response: Response) -> dict[str, str]:
    return {
        header.partition("=")[0]: header.partition("=")[2] for header in response.headers.get_all("Set-Cookie") or []
    }


def opened(port: int, to: str = "/w/w-17/page") -> Response:
    return Response(port, f"/.lockbox/open?grant={GRANT}&to={to}")


@pytest.mark.parametrize("server", ["wsgiref", "uvicorn"])
def test_a_browser_gets_in_with_a_one_time_code(
    serve: Callable[..., int], lockbox: FakeLockbox, server: str, guard: Guard
) -> None:
    port = serve(Shop(), server)
    response = opened(port)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}
    assert (response.status, response.headers["Referrer-Policy"], response.headers["Cache-Control"]) == (
        302, "no-referrer", "no-store",
    )  # fmt: skip
    assert response.headers["Location"].startswith(f"{lockbox.issuer}/oauth/authorize?")
    assert (asked["client_id"], asked["redirect_uri"], asked["grant"]) == (
        "shop", "http://localhost:9/.lockbox/code", GRANT,
    )  # fmt: skip
    tried = cookies_of(response)[TRY]
    value, _, attributes = tried.partition("; ")
    assert attributes == "Max-Age=300; Path=/; Secure; HttpOnly; SameSite=Lax"
    lockbox.codes["abc"] = {
        "challenge": asked["code_challenge"], "redirect_uri": asked["redirect_uri"], "token": lockbox.token(),
    }  # fmt: skip
    back = f"/.lockbox/code?code=abc&state={asked['state']}"
    assert Response(port, f"{back}&iss=https://other.example", Cookie=f"{TRY}={value}").status == 401
    entered = Response(port, f"{back}&iss={lockbox.issuer}", Cookie=f"{TRY}={value}")
    assert (entered.status, entered.headers["Location"]) == (302, "/w/w-17/page")
    cookie, _, attributes = cookies_of(entered)[COOKIE].partition("; ")
    assert attributes.partition("; ")[2] == "Path=/; Secure; HttpOnly; SameSite=Lax"
    assert 3500 < int(attributes.partition(";")[0].removeprefix("Max-Age=")) <= 3600
    assert cookies_of(entered)[TRY].startswith("; Max-Age=0;")
    assert Response(port, "/w/w-17/page", Cookie=f"{COOKIE}={cookie}").read() == CHUNK
    assert Response(port, back, Cookie=f"{TRY}={value}").status == 401


#: The value in the cookie of the browser that the code is for.
TRIED = "x" * 43


def code_for(lockbox: FakeLockbox) -> dict[str, str]:
    challenge = encoded(hashlib.sha256(TRIED.encode()).digest())
    return {"challenge": challenge, "redirect_uri": "http://localhost:9/.lockbox/code", "token": lockbox.token()}


@pytest.mark.parametrize("cookie", ["", f"{TRY}=short", f"{TRY}={'y' * 43}", f"{TRY}={TRIED}; {TRY}={'y' * 43}"])
def test_a_code_that_comes_into_another_browser_is_used_up(
    serve: Callable[..., int], lockbox: FakeLockbox, cookie: str
) -> None:
    """Otherwise a reader of this request, for example in a log, could use it with the cookie of the right browser."""
    port, back = serve(Shop(), "wsgiref"), "/.lockbox/code?code=abc&state=/"
    lockbox.codes["abc"] = code_for(lockbox)
    assert Response(port, back, **({"Cookie": cookie} if cookie else {})).status == 401
    assert lockbox.codes == {}
    assert Response(port, back, Cookie=f"{TRY}={TRIED}").status == 401
    lockbox.codes["abc"] = code_for(lockbox)
    assert Response(port, back, Cookie=f"{TRY}={TRIED}").status == 302


BAD_PATHS = [
    "//evil.example", "/%5Cevil.example", "https://evil.example", "evil", "/%09/evil", "/a%0d%0ab", "/%5C/e",
    "%20/evil", "", "/" + "a" * 2001,
]  # fmt: skip


def test_there_is_no_open_redirect(serve: Callable[..., int], lockbox: FakeLockbox) -> None:
    port = serve(Shop(), "wsgiref")
    for to in BAD_PATHS:
        if to:
            assert opened(port, to).status == 400, to
        lockbox.codes["abc"] = code_for(lockbox)
        response = Response(port, f"/.lockbox/code?code=abc&state={to}", Cookie=f"{TRY}={TRIED}")
        assert (response.status, response.headers["Location"]) == (401, None), to
    assert LOCAL.match("/a/b?c=d#e")
    assert Response(port, "/.lockbox/open?grant=nothing&to=/").status == 400


def test_a_page_leads_a_browser_without_a_session_to_lockbox(serve: Callable[..., int], lockbox: FakeLockbox) -> None:
    response = Response(serve(Shop(), "uvicorn"), "/w/w-17/page", Accept="text/html,*/*")
    assert (response.status, response.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
    page = response.read().decode()
    assert f'<a href="{lockbox.issuer}/">' in page
    # Nothing runs and nothing is loaded. Only this page's own style counts.
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert response.headers["Content-Security-Policy"].split("; ") == [
        "default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        f"style-src 'sha256-{digest}'",
    ]  # fmt: skip


@pytest.mark.parametrize("server", ["uvicorn", "werkzeug"])
def test_a_browser_reads_why_it_is_refused_and_a_program_gets_a_code(
    serve: Callable[..., int], lockbox: FakeLockbox, server: str
) -> None:
    port, narrow, end = serve(shop := Shop(), server), lockbox.token(), lockbox.now() - 1
    for method, token, status, code, words in (
        ("POST", "", 401, "no_token", "Open it from your window in Customer Lockbox."),
        ("POST", narrow, 403, "level_too_low", "Your window does not allow this. Nothing was done."),
        ("GET", lockbox.token(window_end=end, exp=int(end) + 100), 403, "window_ended", "Your window has ended."),
    ):
        response = Response(port, "/w/w-17/page", token, method=method, Accept="text/html")
        assert (response.status, response.headers["Content-Type"]) == (status, "text/html; charset=utf-8"), code
        assert words in (page := response.read().decode())
        assert "Continue in the open window" not in page
        response = Response(port, "/w/w-17/page", token, method=method, Accept="*/*")
        assert (response.status, json.loads(response.read())["code"]) == (status, code)
    assert shop.seen == []


@pytest.mark.parametrize("server", ["uvicorn", "werkzeug"])
def test_a_token_that_has_ended_leads_back_through_lockbox_to_the_same_page(
    serve: Callable[..., int], lockbox: FakeLockbox, server: str
) -> None:
    port, now = serve(Shop(), server), int(lockbox.now())
    ended = lockbox.token(iat=now - 310, exp=now - 10)
    page = Response(port, "/w/w-17/p%C3%A4ge?a=%22%3E1&b=2", ended, Accept="text/html").read().decode()
    [link] = re.findall(r'<a href="([^"]*)">Continue in the open window', page)
    at = urlsplit(html.unescape(link))
    assert (at.scheme, at.netloc, at.path) == ("", "", "/.lockbox/open")
    assert parse_qs(at.query) == {"grant": [GRANT], "to": ["/w/w-17/p%C3%A4ge?a=%22%3E1&b=2"]}
    assert Response(port, html.unescape(link)).status == 302
    for method, path in (("POST", "/w/w-17/page"), ("POST", "/.lockbox/done")):
        response = Response(port, path, ended, method=method, Accept="text/html", **{"Sec-Fetch-Site": "same-origin"})
        assert response.status == 401
        assert "Continue in the open window" not in response.read().decode()


def test_the_status_tells_how_long_the_window_is_open(serve: Callable[..., int], lockbox: FakeLockbox) -> None:
    port, token = serve(Shop(), "uvicorn"), lockbox.token()
    state = json.loads(Response(port, "/.lockbox/status", token).read())
    assert state["open"]
    assert 3500 < state.pop("seconds_left") <= 3600
    assert {key: state[key] for key in ("grant", "reference", "level", "engineer")} == {
        "grant": GRANT, "reference": "AR-1", "level": "view", "engineer": ADDRESS,
    }  # fmt: skip
    assert json.loads(Response(port, "/.lockbox/status").read()) == {"open": False}
    lockbox.close(GRANT)
    until(lambda: json.loads(Response(port, "/.lockbox/status", token).read()) == {"open": False}, 1)


def test_done_releases_the_window_only_for_a_page_of_the_application(
    serve: Callable[..., int], lockbox: FakeLockbox
) -> None:
    port, token = serve(Shop(), "wsgiref"), lockbox.token()
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "same-site"}):
        assert Response(port, "/.lockbox/done", token, "POST", **headers).status == 403
    missing = Response(port, "/.lockbox/done", token, "GET", Origin="http://localhost:9")
    assert (missing.status, missing.read()) == (404, b"This page does not exist.")
    assert lockbox.closed == []
    response = Response(port, "/.lockbox/done", token, "POST", Origin="http://localhost:9")
    assert (response.status, response.headers["Location"]) == (303, f"{lockbox.issuer}/windows/{GRANT}/")
    assert cookies_of(response)[COOKIE].startswith("; Max-Age=0;")
    assert [ended["grant_id"] for ended in lockbox.closed] == [GRANT]


@pytest.mark.parametrize("server", ["wsgiref", "uvicorn"])
def test_a_token_that_ends_soon_is_renewed_once(serve: Callable[..., int], lockbox: FakeLockbox, server: str) -> None:
    port, now = serve(Shop(), server), int(lockbox.now())
    token = lockbox.token(iat=now - 200, exp=now + 100, window_end=now + 3600)
    renewed = [cookies_of(Response(port, "/w/w-17/page", token)).get(COOKIE) for _ in range(3)]
    assert len({_unpacked(str(cookie).partition(";")[0]) for cookie in renewed}) == 1
    assert [form["grant_type"].rpartition(":")[2] for form in lockbox.forms].count("token-exchange") == 1
    assert COOKIE not in cookies_of(Response(port, "/w/w-17/page", lockbox.token()))


def test_nobody_gets_a_new_token_without_being_the_engineer(serve: Callable[..., int], lockbox: FakeLockbox) -> None:
    port, now = serve(Shop(), "wsgiref"), int(lockbox.now())
    ending: dict[str, Any] = {"iat": now - 200, "exp": now + 100, "window_end": now + 3600}
    others = lockbox.token(**ending, sub="eve", email="eve@provider.example")
    for path, token, status in (
        ("/.lockbox/status", lockbox.token(**ending), 200),
        ("/.lockbox/status", others, 200),
        ("/w/w-17/page", others, 403),
    ):
        response = Response(port, path, token)
        assert (response.status, COOKIE in cookies_of(response)) == (status, False), path


def test_a_token_of_twenty_resources_fits_into_a_cookie(lockbox: FakeLockbox) -> None:
    import uuid

    [detail] = lockbox.claims()["authorization_details"]
    details = [detail | {"resource": str(uuid.uuid4()), "identifier": f"adele.vance{n}@contoso.com"} for n in range(20)]
    token = lockbox.token(authorization_details=details)
    assert len(token) > 9000
    assert len(_packed(token)) < 3500
    assert _unpacked(_packed(token)) == token


def test_a_compressed_bomb_is_not_unpacked() -> None:
    import zlib

    assert len(_unpacked(f"z.a.{encoded(zlib.compress(bytes(50_000_000)))}.c")) < 100_000


def test_the_middleware_waits_only_for_the_first_message(new_guard: NewGuard, lockbox: FakeLockbox) -> None:
    lockbox.before_feed = lambda: time.sleep(0.5)
    late = new_guard()
    late.wait_for_feed()
    assert late.feed.ready.is_set()
