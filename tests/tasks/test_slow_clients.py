"""A real web server with more slow clients than threads. All other clients get their responses as usual."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit_app.models import ChainHead
from lockbox_site.demo.browser import Browser
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.models import ContentAccess, Grant, Token
from requests_app.operations.streams import MOST_PER_GRANT
from tests.cast import PASSWORD, gather
from tests.content import fill
from tests.factors import a_code
from tests.guards import ONE, client_of_guards, token_of_guard
from tests.ports import free_port
from tests.stopwatch import WrongTime, in_time
from tests.tasks.conftest import STOP_SECONDS, Running, Start, wait_for, web_alone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timed,
    pytest.mark.real_clock,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells what a client has taken"),
]

THREADS = 4
#: Three times the number of threads, half of them requests and half streams.
SLOW = 24
#: How many guards follow the feed.
GUARDS = 50
#: In seconds. A slow client takes at least ten seconds, so this shows that nobody waited for one.
AT_ONCE = 8.0
SIZE = 8 * 1024 * 1024


class Site:
    def __init__(self, port: int) -> None:
        self.port, self.cast = port, gather()
        self.running: Running | None = None
        self._open: list[socket.socket] = []

    def send(self, text: str, *, takes: int = 65536) -> socket.socket:
        """Open a new connection, send the text, and leave the connection open."""
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        plain.settimeout(30)
        plain.connect(("127.0.0.1", self.port))
        plain.sendall(text.replace("\n", "\r\n").encode())
        self._open.append(plain)
        return plain

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=AT_ONCE)
        with contextlib.closing(line):
            try:
                line.request("GET", path, headers=headers)
                answer = line.getresponse()
                return answer.status, answer.read()
            except TimeoutError as late:
                raise WrongTime(path) from late

    def sign_in(self, name: str) -> Browser:
        person = self.cast.people[name]
        browser = Browser(f"http://127.0.0.1:{self.port}", person.email, PASSWORD, lambda: a_code(person))
        browser.sign_in()
        return browser

    def answers(self) -> None:
        """Assert that a person's sign-in and the probe are answered without a wait."""
        began = time.monotonic()
        assert self.get("/healthz")[0] == 200
        in_time(time.monotonic() - began < AT_ONCE)
        browser = self.sign_in("ada")
        began = time.monotonic()
        assert browser.get("/").status == 200
        in_time(time.monotonic() - began < AT_ONCE)

    def window(self) -> Grant:
        return self.cast.opened(ticket=self.cast.ticket(service_id=self.cast.sharepoint.pk))

    def token(self, number: int) -> str:
        scopes = [Scope.LOG_READ]
        made = operations.create_client(
            tenant_id=self.cast.contoso.pk, name=f"SIEM {number}", scopes=scopes, actor=self.cast.as_("ines")
        )
        return operations.issue_access_token(made.row, scopes=frozenset(scopes)).secret

    def ends(self, status: int) -> list[dict[str, Any]]:
        """Return the lines in the server's log about requests that ended with this status."""
        assert self.running is not None
        lines = self.running.log.splitlines()
        found = [json.loads(line) for line in lines if '"request_finished"' in line and line.endswith("}")]
        return [line for line in found if line["code"] == status]

    def hang_up(self) -> None:
        while self._open:
            self._open.pop().close()


@pytest.fixture
def site(start: Start, tmp_path: Path) -> Iterator[Site]:
    content = tmp_path / "content"
    fill(content)
    with (content / "contoso/docs/legal/big.bin").open("wb") as file:
        file.truncate(SIZE)
    port = free_port()
    site = Site(port)
    site.running = running = web_alone(
        start,
        port,
        CONTENT_ROOT=str(content),
        WEB_THREADS=str(THREADS),
        WEB_STREAMS="160",
        DJANGO_SETTINGS_MODULE="tests.tasks.web_settings",
    )
    yield site
    site.hang_up()
    running.stop(within=STOP_SECONDS)


def test_slow_bodies_and_slow_readers_hold_nobody_up_and_windows_end(site: Site) -> None:
    send_bodies_slowly(site)
    site.hang_up()
    take_little(site)


def test_those_who_wait_for_news_hold_nobody_up_and_hear_it_or_are_refused(site: Site) -> None:
    wait_for_news(site)
    site.hang_up()
    lose_a_role_while_waiting(site)
    site.hang_up()
    stop_while_they_wait(site)


def test_fifty_guards_hold_nobody_up_and_hear_of_an_end_in_a_second(site: Site) -> None:
    grant = site.cast.in_quillo()
    clients = [client_of_guards(site.cast) for number in range(2)]
    tokens = [token_of_guard(client)[1] for client in clients]
    path, head = f"/api/v1/guard/feed?guard={ONE}&version=1", "HTTP/1.1\nHost: 127.0.0.1\n"
    feeds = [site.send(f"GET {path} {head}Authorization: Bearer {token}\n\n") for token in tokens * (GUARDS // 2)]
    for feed in feeds:
        assert b"event: state" in until(feed, b"event: state")
    site.answers()
    operations.revoke(grant.access_request_id, actor=site.cast.as_("ada"))
    began = time.monotonic()
    for feed in feeds:
        assert str(grant.pk).encode() in until(feed, b"revoked")
    in_time(time.monotonic() - began < 1.0)
    # A feed of a token that was revoked is cut, and the others go on.
    Token.objects.filter(account=clients[0].account).update(revoked_at=clock.now())
    began = time.monotonic()
    assert b": token_ended" in until(feeds[0], b"token_ended")
    in_time(time.monotonic() - began < 5.0)
    assert b"event: sign" in until(feeds[1], b"event: sign")


def send_bodies_slowly(site: Site) -> None:
    form = "Host: localhost\nContent-Type: application/x-www-form-urlencoded\n"
    slow = [
        f"POST {path} HTTP/1.1\n{form}{length}\n\n{begun}"
        for path in ("/accounts/login/", "/oauth/token", "/api/v1/tickets")
        for length, begun in (("Content-Length: 100", "a"), ("Transfer-Encoding: chunked", "1\na\n"))
    ]
    clients = [site.send(text) for text in slow * (SLOW // len(slow))]
    site.answers()
    late = site.send(f"POST /oauth/token HTTP/1.1\n{form}Content-Length: 11\n\ngrant")
    time.sleep(0.5)
    late.sendall(b"_type=x")
    answer = late.recv(12)
    in_time(answer != b"HTTP/1.1 408", "half a second was too long")
    assert answer == b"HTTP/1.1 400", "what is whole in time is answered as ever"
    # The slow clients get a response, and the server no longer waits for them.
    assert {client.recv(12) for client in clients} == {b"HTTP/1.1 408"}


def take_little(site: Site) -> None:
    priya = site.sign_in("priya")
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in priya.jar)
    grants = [site.window() for _ in range(SLOW // MOST_PER_GRANT)]
    for grant in grants:
        resource = grant.access_request.scope.get().resource_id
        path = reverse("web:window_raw", args=[grant.pk, resource], query={"id": "big.bin"})
        for _ in range(MOST_PER_GRANT):
            reader = site.send(f"GET {path} HTTP/1.1\nHost: 127.0.0.1\nCookie: {cookies}\n\n", takes=4096)
            assert reader.recv(12) == b"HTTP/1.1 200"
    site.answers()
    ada, grant = site.sign_in("ada"), grants[0]
    page = ada.get(f"/access-requests/{grant.access_request_id}/revoke/")
    assert ada.submit(page, page.form("/revoke/")).status == 200
    wait_for(lambda: ContentAccess.objects.filter(grant=grant, kind="cut").count() == MOST_PER_GRANT, within=AT_ONCE)


def wait_for_news(site: Site) -> None:
    row = site.cast.confirmed()
    size = ChainHead.objects.get(pk=site.cast.contoso.pk).size
    path, waiting, streams = f"/api/v1/tenants/{site.cast.contoso.pk}/events", [], []
    for number in range(SLOW // 2):
        head = f"Host: 127.0.0.1\nAuthorization: Bearer {site.token(number)}\n"
        size = ChainHead.objects.get(pk=site.cast.contoso.pk).size
        waiting.append(head)
        streams.append(site.send(f"GET {path} HTTP/1.1\n{head}Accept: text/event-stream\n\n"))
    size = ChainHead.objects.get(pk=site.cast.contoso.pk).size
    assert {stream.recv(12) for stream in streams} == {b"HTTP/1.1 200"}
    polls = [a_call_that_waits(site, f"GET {path}?after={size}&wait=30 HTTP/1.1\n{head}\n") for head in waiting]
    site.answers()
    operations.withdraw(row.pk, actor=site.cast.as_("priya"), note="Found it.")
    for poll in polls:
        answer = http.client.HTTPResponse(poll)
        answer.begin()
        [item, *_rest] = json.loads(answer.read())["items"]
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert item["type"] == "access_request.withdrawn"
        assert answer.headers["X-Request-ID"]
    for stream in streams:
        assert b"access_request.withdrawn" in until(stream, b"access_request.withdrawn")


def a_call_that_waits(site: Site, text: str) -> socket.socket:
    """Send the request twice, for a caller that has a stream. Return the connection of the one that waits.

    A caller can have two waiting calls, and the stream is one. So the server refuses the later of these two, and
    either can be the later one.
    """
    both = [site.send(text) for _ in range(2)]
    [refused], _, _ = select.select(both, [], [], 30)
    assert refused.recv(12) == b"HTTP/1.1 429"
    both.remove(refused)
    return both[0]


def lose_a_role_while_waiting(site: Site) -> None:
    path = f"/api/v1/tenants/{site.cast.contoso.pk}/events"
    head = f"Host: 127.0.0.1\nAuthorization: Bearer {site.token(SLOW)}\n"
    stream = site.send(f"GET {path} HTTP/1.1\n{head}Accept: text/event-stream\n\n")
    assert stream.recv(12) == b"HTTP/1.1 200"
    poll = a_call_that_waits(site, f"GET {path}?wait=30 HTTP/1.1\n{head}\n")
    Token.objects.update(expires_at="2001-01-01T00:00:00Z")
    assert b"not_allowed" in until(stream, b"not_allowed")
    assert poll.recv(12) == b"HTTP/1.1 403"
    wait_for(lambda: site.ends(403), within=AT_ONCE)
    [line] = site.ends(403)
    assert (line["request"], line["level"]) == (f"GET {path}", "warning"), "logged with the answer that it got"
    assert line["request_id"]


def stop_while_they_wait(site: Site) -> None:
    """Nobody gets a broken answer, and the server need not wait until its streams are killed."""
    path, streams, polls = f"/api/v1/tenants/{site.cast.contoso.pk}/events", [], []
    # A new client is an event, which would answer the calls that wait.
    for token in [site.token(2 * SLOW + number) for number in range(4)]:
        head = f"Host: 127.0.0.1\nAuthorization: Bearer {token}\n"
        streams.append(site.send(f"GET {path} HTTP/1.1\n{head}Accept: text/event-stream\n\n"))
        assert b"here" in until(streams[-1], b"here")
        polls.append(a_call_that_waits(site, f"GET {path}?wait=30 HTTP/1.1\n{head}\n"))
    assert site.running is not None
    site.running.process.terminate()
    for stream in streams:
        assert b": the server restarts\n\n" in until(stream, b"0\r\n\r\n")
    for poll in polls:
        answer = http.client.HTTPResponse(poll)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["items"]) == (200, [])
    assert site.running.process.wait(STOP_SECONDS) == 0
    assert "Killing worker" not in site.running.log


def until(plain: socket.socket, wanted: bytes) -> bytes:
    found = b""
    while wanted not in found:
        piece = plain.recv(65536)
        assert piece, found
        found += piece
    return found
