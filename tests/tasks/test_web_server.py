"""The real web server gets expensive requests (threat 36).

It answers or closes the connection, and continues to work.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from requests_app.work.processes import tree
from tests.caller import token_of
from tests.cast import gather
from tests.ports import free_port
from tests.tasks.conftest import STOP_SECONDS, Running, Start, web_alone

pytestmark = [pytest.mark.slow, pytest.mark.real_clock]

#: The processor time that a hostile call may cost, in normal calls. This does not depend on the machine's speed.
CALLS = 50


class Site:
    def __init__(self, port: int, running: Running, token: str) -> None:
        self.port, self.running = port, running
        self.head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    def send(self, *pieces: bytes) -> int:
        """Send these pieces. Return the status of the response, or 0 if the server closed the connection."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        try:
            for piece in pieces:
                plain.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has already answered or closed the connection
        answer = http.client.HTTPResponse(plain)
        try:
            answer.begin()
        except (http.client.HTTPException, ConnectionError):
            return 0
        finally:
            plain.close()
        return answer.status

    def call(self, method: str, path: str, headers: str = "", *pieces: bytes) -> int:
        return self.send(f"{method} {path} HTTP/1.1\r\n{self.head}{headers}\r\n".encode(), *pieces)

    def spent(self) -> float:
        """Return the processor time, in seconds, that the server's processes have used so far."""
        ticks = 0
        for pid in tree(self.running.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / 100


@pytest.fixture
def site(start: Start) -> Iterator[Site]:
    port, cast = free_port(), gather()
    running = web_alone(start, port, WEB_THREADS="4", DJANGO_SETTINGS_MODULE="tests.tasks.web_settings")
    yield Site(port, running, token_of(cast, "priya"))
    running.stop(within=STOP_SECONDS)


def test_nothing_that_is_made_to_be_expensive_is(site: Site) -> None:
    me, ask = "/api/v1/me", "/api/v1/access-requests"
    megabyte = b"x" * 1024 * 1024
    deep = b'{"tried":' * 100_000
    assert site.call("GET", me) == 200, site.running.log[-2000:]
    hostile = {
        "10,000 header lines": lambda: site.call("GET", me, "".join(f"X-{n}: 1\r\n" for n in range(10_000))),
        "a header of a megabyte": lambda: site.call("GET", me, f"X-Long: {'x' * 1024 * 1024}\r\n"),
        "an address of a megabyte": lambda: site.call("GET", f"{me}?a={'x' * 1024 * 1024}"),
        "a hundred megabytes": lambda: site.call("POST", ask, "Content-Length: 104857600\r\n", *[megabyte] * 100),
        "more than was said": lambda: site.call("POST", ask, "Content-Length: 2\r\n", b"{}" + megabyte),
        "pieces without end": lambda: site.call(
            "POST", ask, "Transfer-Encoding: chunked\r\n", *[b"100000\r\n" + megabyte + b"\r\n"] * 100, b"0\r\n\r\n"
        ),
        "a deep body": lambda: site.call("POST", ask, f"Content-Length: {len(deep)}\r\n", deep),
        "a bomb": lambda: site.call(
            "POST", ask, "Content-Encoding: gzip\r\nContent-Length: 8\r\n", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
        ),
        "an empty name": lambda: site.call("GET", me, ": x\r\n"),
        "two lengths": lambda: site.call("POST", ask, "Content-Length: 2\r\nContent-Length: 3\r\n", b"{}x"),
        "a length and pieces": lambda: site.call(
            "POST", ask, "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"
        ),
    }
    before = site.spent()
    assert [site.call("GET", me) for _ in range(20)] == [200] * 20
    bound = CALLS * max(site.spent() - before, 0.1) / 20
    answered, costs = {}, {}
    for name, attack in hostile.items():
        before = site.spent()
        answered[name] = attack()
        costs[name] = site.spent() - before
        assert site.call("GET", me) == 200, name
    assert {name: status for name, status in answered.items() if status not in (0, *range(400, 500))} == {}
    assert {name: cost for name, cost in costs.items() if cost > bound} == {}, json.dumps(costs)
