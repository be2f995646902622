"""The bridge gives the same requests and responses as WSGI, byte for byte, except for the differences listed here."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.conf import settings

from tests.ports import free_port
from tests.tasks.conftest import wait_for

pytestmark = pytest.mark.slow


@contextmanager
def served(interface: str, module: str) -> Iterator[int]:
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", str(port),
        "--http", "1", "--loop", "uvloop", "--no-ws", "--log-level", "critical", f"tests.site.{module}:application",
    ]  # fmt: skip
    # WSGI puts the environment into each request, where such a variable would look like a header.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HTTP_", "CONTENT_"))}
    env["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=env)
    try:
        wait_for(lambda: listens(port), within=20)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[int, int]]:
    """Yield two ports: of a server that uses WSGI, and of a server that uses the bridge."""
    with ExitStack() as stack:
        yield stack.enter_context(served("wsgi", "served")), stack.enter_context(served("rsgi", "bridged"))


def answer(port: int, request: bytes) -> bytes:
    """Send a request on a new connection. Return everything that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall(request)
        found = b""
        try:
            while piece := plain.recv(65536):
                found += piece
        except ConnectionResetError:
            pass
        return found


def comparable(found: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines of the response's head, sorted and without the time, and its body."""
    head, _blank, body = found.partition(b"\r\n\r\n")
    lines = re.sub(rb"date: [^\r]*|(?<=: ) +", b"", head, flags=re.IGNORECASE).split(b"\r\n")
    return [lines[0], *sorted(line.lower() for line in lines[1:] if line)], unchunked(lines, body)


def unchunked(head: list[bytes], body: bytes) -> bytes:
    """Join the chunks of a body, because the same bytes can be split into chunks in many ways."""
    if b"transfer-encoding: chunked" not in {line.lower() for line in head}:
        return body
    found = b""
    while body:
        size, _end, body = body.partition(b"\r\n")
        if not int(size, 16):
            return found + b"<whole>"
        found, body = found + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return found


HOST = b"Host: 127.0.0.1\r\nConnection: close\r\n"
ALIKE = {
    "a path and a query": b"GET /a%20b/%C3%A9/x%2Fy;z?q=%C3%A9&r=a+b&q=2 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a query that is not encoded": b"GET /a?q=\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n",
    "two slashes": b"GET //evil.example/a HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute address": b"GET http://evil.example/a?b HTTP/1.1\r\n" + HOST + b"\r\n",
    "dots": b"GET /a/../b/%2e%2e/c HTTP/1.1\r\n" + HOST + b"\r\n",
    "headers that come twice": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\nX-A: 2\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    "forwarded twice": b"GET / HTTP/1.1\r\n" + HOST + b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n",
    "a header that is no ASCII": b"GET / HTTP/1.1\r\n" + HOST + b"X-L: caf\xe9\r\n\r\n",
    "an empty header": b"GET / HTTP/1.1\r\n" + HOST + b"X-E:\r\n\r\n",
    "a form": b"POST /f HTTP/1.1\r\n" + HOST + b"Content-Type: a/b; c=d\r\nContent-Length: 5\r\n\r\na=b&\xff",
    "an empty form": b"POST /f HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    "a form without a length": b"POST /f HTTP/1.1\r\n" + HOST + b"\r\n",
    "a body with PUT": b"PUT /f HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    "a body with DELETE": b"DELETE /f HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    "a method in small letters": b"post /f HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    "a method of nobody": b"FROB /f HTTP/1.1\r\n" + HOST + b"\r\n",
    "all of the server": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a length twice": b"POST /f HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a length of nothing": b"POST /f HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\nabcd",
    "a line break in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n X-B: 2\r\n\r\n",
    "too many headers": b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n",
    "a head of answers": b"HEAD /long HTTP/1.1\r\n" + HOST + b"\r\n",
    "a head of a stream": b"HEAD /stream HTTP/1.1\r\n" + HOST + b"\r\n",
    "a head of a sized stream": b"HEAD /sized HTTP/1.1\r\n" + HOST + b"\r\n",
    "nothing": b"GET /204 HTTP/1.1\r\n" + HOST + b"\r\n",
    "nothing new": b"GET /304 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a long answer": b"GET /long HTTP/1.1\r\n" + HOST + b"\r\n",
    "a part of one": b"GET /long HTTP/1.1\r\n" + HOST + b"Range: bytes=0-9\r\n\r\n",
    "a stream": b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n",
    "a stream of a length": b"GET /sized HTTP/1.1\r\n" + HOST + b"\r\n",
    "a stream for an old client": b"GET /stream HTTP/1.0\r\n\r\n",
    "cookies": b"GET /cookies HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("name", ALIKE)
def test_a_request_and_its_answer_are_alike(both: tuple[int, int], name: str) -> None:
    by_wsgi, bridged = (comparable(answer(port, ALIKE[name])) for port in both)
    assert bridged == by_wsgi


@pytest.mark.parametrize("path", [b"/cut", b"/fails"])
def test_an_answer_that_fails_half_way_is_seen_to_be_cut(both: tuple[int, int], path: bytes) -> None:
    _head, body = comparable(answer(both[1], b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n"))
    assert body == b"a" * 50_000, "all that was made, and not the end"


def served_request(port: int, request: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer(port, request).partition(b"\r\n\r\n")[2])
    return found


def test_an_empty_answer_without_a_length_has_one(both: tuple[int, int]) -> None:
    """With WSGI, such a response was chunked and had no chunks."""
    head, body = comparable(answer(both[1], b"GET /302 HTTP/1.1\r\n" + HOST + b"\r\n"))
    assert head[0] == b"HTTP/1.1 302 Found"
    assert {b"content-length: 0", "location: /ü?a=b".encode()} <= set(head)
    assert body == b""


def test_a_chunked_body_is_read_and_has_a_length(both: tuple[int, int]) -> None:
    """With WSGI, Django saw an empty body."""
    request = b"POST /f HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    found = served_request(both[1], request)
    assert (found["body"], found["environ"]["CONTENT_LENGTH"]) == ("abcde", "5")


def test_a_header_with_an_underscore_poses_as_no_other(both: tuple[int, int]) -> None:
    request = b"GET / HTTP/1.1\r\n" + HOST + b"X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"
    assert served_request(both[1], request)["environ"]["HTTP_X_FORWARDED_FOR"] == "1.1.1.1"
    request = b"GET / HTTP/1.1\r\n" + HOST + b"X_Forwarded_Proto: https\r\n\r\n"
    assert "HTTP_X_FORWARDED_PROTO" not in served_request(both[1], request)["environ"]


def test_a_client_that_expects_100_continue_gets_it(both: tuple[int, int]) -> None:
    for port in both:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            plain.sendall(b"POST /f HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert plain.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            plain.sendall(b"abc")
            assert plain.recv(15) == b"HTTP/1.1 200 OK"


def test_a_connection_is_used_again(both: tuple[int, int]) -> None:
    once = b"POST /f HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc"
    last = b"GET /long HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    for port in both:
        found = answer(port, once * 3 + last)
        assert found.count(b"HTTP/1.1 200 OK") == 4


@pytest.mark.parametrize(
    "sent", [b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nd"]
)
def test_a_body_that_breaks_off_is_not_acted_on(both: tuple[int, int], sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", both[1]), timeout=20) as plain:
        plain.sendall(b"POST /f HTTP/1.1\r\n" + HOST + sent)
        plain.shutdown(socket.SHUT_WR)
        assert b" 200 " not in plain.recv(100)


def test_a_too_long_body_is_refused_and_the_answer_is_read(both: tuple[int, int]) -> None:
    for framing, pieces in (
        (b"Content-Length: 2097152\r\n\r\n", [b"x" * 1024 * 1024] * 2),
        (b"Transfer-Encoding: chunked\r\n\r\n", [b"100000\r\n" + b"x" * 1024 * 1024 + b"\r\n"] * 2 + [b"0\r\n\r\n"]),
    ):
        found = answer(both[1], b"POST /f HTTP/1.1\r\n" + HOST + framing + b"".join(pieces))
        # Without the product's middleware, the framework refuses to read the body, with status 500.
        assert found.startswith(b"HTTP/1.1 5"), found[:100]
