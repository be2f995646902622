"""A real web server, and clients that stop reading.

Nobody else waits for these clients, and their windows still end.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.urls import reverse

from lockbox_site.demo.browser import Browser
from lockbox_site.serving import outlet
from requests_app.domain import clock
from requests_app.models import ContentAccess, Grant
from tests.cast import PASSWORD, events_of, gather
from tests.content import fill
from tests.factors import a_code
from tests.ports import free_port
from tests.stopwatch import in_time
from tests.tasks.conftest import STOP_SECONDS, Start, wait_for, web_alone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_clock,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel's buffers are not limited"),
]

SIZE = 40 * 1024 * 1024
#: How many bytes a client can still get after the end, as docs/operators-worker.md says.
BOUND = 256 * 1024
#: The product promises one second. A busy machine gets more: the time that four plain pages take on it. Without the
#: end, a stalled stream waits a minute.
PROMISED, PAGES = 1.5, 4


class Site:
    """A web server with one process that allows two downloads, and a person who is signed in."""

    def __init__(self, port: int) -> None:
        self.port, self.cast = port, gather()

    def sign_in(self, name: str) -> Browser:
        person = self.cast.people[name]
        browser = Browser(f"http://127.0.0.1:{self.port}", person.email, PASSWORD, lambda: a_code(person))
        browser.sign_in()
        return browser

    def window(self) -> Grant:
        return self.cast.opened(ticket=self.cast.ticket(service_id=self.cast.sharepoint.pk))

    def ask(self, browser: Browser, grant: Grant) -> tuple[socket.socket, bytes]:
        """Request the large document with a small receive buffer.

        Return the socket, and the start of the response.
        """
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar)
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(10)
        plain.connect(("127.0.0.1", self.port))
        head = f"GET {big(grant)} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {cookies}\r\n\r\n"
        plain.sendall(head.encode())
        return plain, plain.recv(1024)


def bound(browser: Browser) -> float:
    """Return the time limit for a stream in seconds.

    It is computed from the slowest of three requests for an ordinary page.
    """
    return PROMISED + PAGES * max(_seconds_of_a_page(browser) for _ in range(3))


def _seconds_of_a_page(browser: Browser) -> float:
    began = time.monotonic()
    assert browser.get("/").status == 200
    return time.monotonic() - began


def big(grant: Grant) -> str:
    resource = grant.access_request.scope.get().resource_id
    return reverse("web:window_raw", args=[grant.pk, resource], query={"id": "big.bin"})


@pytest.fixture
def site(start: Start, tmp_path: Path) -> Iterator[Site]:
    content = tmp_path / "content"
    fill(content)
    with (content / "contoso/docs/legal/big.bin").open("wb") as file:
        file.truncate(SIZE)
    port = free_port()
    site = Site(port)
    running = web_alone(
        start,
        port,
        CONTENT_ROOT=str(content),
        WEB_THREADS="4",
        WEB_STREAMS="8",
        DJANGO_SETTINGS_MODULE="tests.tasks.web_settings",
    )
    yield site
    running.stop(within=STOP_SECONDS)


def close_now(browser: Browser, grant: Grant) -> None:
    page = browser.get(f"/access-requests/{grant.access_request_id}/revoke/")
    page = browser.submit(page, page.form("/revoke/"))
    assert page.status == 200, page.text[:300]


def run_out(browser: Browser, grant: Grant) -> None:
    """Wait until the window has ended, while its streams are not read."""
    assert browser.get(f"/access-requests/{grant.access_request_id}/").status == 200
    time.sleep(max(0.0, (grant.closes_at - clock.now()).total_seconds()))


def cuts(grant: Grant) -> int:
    return ContentAccess.objects.filter(grant=grant, kind="cut").count()


def rest_of(plain: socket.socket) -> int:
    """Read until the connection ends for any reason. Return how many bytes arrived."""
    taken = 0
    try:
        while piece := plain.recv(65536):
            taken += len(piece)
    except ConnectionResetError:
        pass
    return taken


@pytest.mark.timed
def test_stalled_downloads_hold_nobody_up_and_are_cut_within_a_second(site: Site) -> None:
    priya, ada = site.sign_in("priya"), site.sign_in("ada")
    read_and_end(site, priya, ada)
    for end in (close_now, run_out):
        stall_and_end(site, end, priya, ada)


def stall_and_end(site: Site, end: Callable[[Browser, Grant], None], priya: Browser, ada: Browser) -> None:
    grant, other = site.window(), site.window()
    if end is run_out:
        grant.closes_at = clock.now() + dt.timedelta(seconds=6)
        grant.save()
    stalled = [site.ask(priya, grant) for _ in range(2)]
    assert [head.split(b"\r\n")[0] for _, head in stalled] == [b"HTTP/1.1 200 OK"] * 2
    for window, words in ((grant, "running in this access window"), (other, "are running at the moment")):
        refused = priya.get(big(window))
        assert refused.status == 429
        assert words in refused.text
    time.sleep(0.5)
    within = bound(ada)
    began = time.monotonic()
    end(ada, grant)
    ended = time.monotonic()
    in_time(end is run_out or ended - began < within, "whoever closes a window waits for no reader")
    wait_for(lambda: cuts(grant) == 2, within=within)
    in_time(time.monotonic() - ended < within)
    assert [rest_of(plain) < BOUND for plain, _ in stalled] == [True, True]
    time.sleep(3 * 0.25)
    events = events_of(grant.access_request_id)[3:]
    assert sorted(events) == sorted(
        ["content.downloaded"] * 2 + ["act.refused"] + events_of_end(end) + ["content.cut"] * 2
    )
    assert events_of(other.access_request_id)[3:] == ["act.refused"], "nothing says that it was opened"
    for plain, _ in stalled:
        plain.close()
    again, head = site.ask(priya, other)
    assert head.startswith(b"HTTP/1.1 200 "), "who is gone leaves room"
    again.close()


def events_of_end(end: Callable[[Browser, Grant], None]) -> list[str]:
    # No worker runs here, so the entry about an elapsed window comes later.
    return ["grant.revoked"] if end is close_now else []


def read_and_end(site: Site, priya: Browser, ada: Browser) -> None:
    """Read a download without a pause, and close its window meanwhile."""
    grant = site.window()
    taken, closed, within = 0, 0.0, bound(ada)
    with priya.stream(big(grant)) as answer, contextlib.suppress(http.client.IncompleteRead, ConnectionResetError):
        while piece := answer.read(64 * 1024):
            taken += len(piece)
            time.sleep(0.01)
            if not closed and taken > SIZE // 20:
                close_now(ada, grant)
                closed = time.monotonic()
    in_time(time.monotonic() - closed < within)
    assert SIZE // 20 < taken < SIZE
    assert events_of(grant.access_request_id)[3:] == ["content.downloaded", "grant.revoked", "content.cut"]


def test_the_buffers_together_stay_within_what_is_promised() -> None:
    assert outlet.WINDOW + outlet.PIECE < BOUND
