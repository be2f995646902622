"""The bridge between the event loop and the threads: what waits where, what is refused, and what is released."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import uvloop
from django.core.exceptions import RequestDataTooBig
from django.core.signals import request_finished
from django.db import OperationalError, connection, connections
from django.http import (
    FileResponse,
    HttpResponse,
    HttpResponseBase,
    HttpResponsePermanentRedirect,
    StreamingHttpResponse,
)
from pytest_django import Settings
from structlog.testing import capture_logs

from lockbox_site.middleware import RequestIdMiddleware, RequestLogMiddleware, StaticFilesMiddleware
from lockbox_site.serving import bodies, bridge, environ, outlet, pool
from lockbox_site.serving.bridge import Bridge
from lockbox_site.serving.handler import Handler
from requests_app.operations.streams import WindowClosed
from requests_app.platform import hashing, waiting

View = Callable[[Any], HttpResponseBase]


class Headers(dict[str, str]):
    def get_all(self, name: str) -> list[str]:
        return [self[name]]


def scope(path: str = "/", method: str = "GET", client: str = "127.0.0.1:9", **headers: str) -> Any:
    named = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return SimpleNamespace(
        path=path, method=method, client=client, headers=named, server="127.0.0.1:8000", query_string="",
        http_version="1.1", scheme="http",
    )  # fmt: skip


class Proto:
    """A client whose body arrives in these pieces. A number between two pieces is a pause in seconds."""

    def __init__(self, *pieces: bytes | float) -> None:
        self._pieces = pieces
        self.status, self.body, self.has_ended = 0, b"", False
        self.headers: dict[str, str] = {}
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                await asyncio.sleep(piece)
        yield b""

    def client_disconnect(self) -> asyncio.Future[None]:
        # The server may cancel this future, but not the shielded one.
        return asyncio.shield(self.gone)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body, self.has_ended = status, dict(headers), body, True

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.response_bytes(status, headers, b"")

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Proto:
        self.status, self.headers = status, dict(headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self.gone.done():
            raise RuntimeError("the transport is closed")
        self.body += data


class Views(Handler):
    """The product's handler without middleware. It answers every request with one view."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def load_middleware(self, is_async: bool = False) -> None:
        pass

    def get_response(self, request: Any) -> HttpResponseBase:
        return self._view(request)


def run(view: View, test: Callable[[Bridge], Awaitable[None]], *, threads: int = 2, streams: int = 16) -> None:
    async def main() -> None:
        found = Bridge(Views(view), threads=threads, streams=streams, longest_body=1024 * 1024)
        found.__rsgi_init__(asyncio.get_running_loop())
        async with asyncio.timeout(60):
            await test(found)

    uvloop.run(main())


class Gate:
    """A view that waits until the test releases it."""

    def __init__(self) -> None:
        self.opened, self.begun = threading.Event(), 0
        self._lock = threading.Lock()

    def __call__(self, _request: Any) -> HttpResponse:
        with self._lock:
            self.begun += 1
        assert self.opened.wait(120)
        return HttpResponse("through")

    async def holds(self, count: int) -> None:
        while self.begun < count:
            await asyncio.sleep(0.01)


@contextmanager
def finished() -> Iterator[list[int]]:
    """Yield a list that gets an item for each request that Django has finished."""
    reported: list[int] = []

    def note(**_: Any) -> None:
        reported.append(1)

    request_finished.connect(note)
    try:
        yield reported
    finally:
        request_finished.disconnect(note)


# --- Requests --------------------------------------------------------------------------------------------


def test_with_too_many_waiting_one_more_is_refused_immediately() -> None:
    gate = Gate()

    async def test(found: Bridge) -> None:
        most = 2 + 2 * bridge.WAITING_PER_THREAD
        clients = [Proto() for _ in range(most)]
        calls = [asyncio.create_task(found.__rsgi__(scope(), client)) for client in clients]
        await gate.holds(2)
        refused = Proto()
        await found.__rsgi__(scope(), refused)
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert json.loads(refused.body)["code"] == "busy"
        for path, accept, kind in (
            ("/", "text/html", "text/html; charset=utf-8"),
            ("/api/v1/me", "text/html", "application/problem+json"),
        ):
            refused = Proto()
            await found.__rsgi__(scope(path, accept=accept), refused)
            assert (refused.status, refused.headers["content-type"]) == (503, kind)
            assert b"This attempt changed nothing." in refused.body
        assert gate.begun == 2
        gate.opened.set()
        await asyncio.gather(*calls)
        assert {client.body for client in clients} == {b"through"}
        assert gate.begun == most

    run(gate, test)


def test_one_clients_many_requests_wait_behind_each_other_and_not_before_others() -> None:
    gate, order = Gate(), list[str]()

    def view(request: Any) -> HttpResponse:
        if request.path == "/first":
            return gate(request)
        order.append(request.META["REMOTE_ADDR"])
        return HttpResponse("")

    async def test(found: Bridge) -> None:
        calls = [asyncio.create_task(found.__rsgi__(scope("/first"), Proto()))]
        await gate.holds(1)
        many = [scope(client="10.0.0.1:9") for _ in range(10)]
        others = [scope(client="10.0.0.2:9"), scope(client="10.0.0.3:9")]
        calls += [asyncio.create_task(found.__rsgi__(each, Proto())) for each in (*many, *others)]
        await asyncio.sleep(0.05)
        gate.opened.set()
        await asyncio.gather(*calls)

    run(view, test, threads=1)
    assert order == [f"10.0.0.{number}" for number in (1, 2, 3, *[1] * 9)]


def test_a_client_who_fills_the_queue_leaves_room_for_others() -> None:
    gate = Gate()

    async def test(found: Bridge) -> None:
        calls = [asyncio.create_task(found.__rsgi__(scope(), Proto()))]
        await gate.holds(1)
        many = [Proto() for _ in range(bridge.WAITING_PER_THREAD + 1)]
        calls += [asyncio.create_task(found.__rsgi__(scope(client="10.0.0.1:9"), client)) for client in many]
        await asyncio.sleep(0.05)
        assert [client.status for client in many] == [0] * bridge.WAITING_PER_THREAD + [503]
        other = Proto()
        calls.append(asyncio.create_task(found.__rsgi__(scope(client="10.0.0.2:9"), other)))
        await asyncio.sleep(0.05)
        assert [client.status for client in many] == [0] * (bridge.WAITING_PER_THREAD - 1) + [503] * 2
        gate.opened.set()
        await asyncio.gather(*calls)
        assert other.body == b"through"
        assert gate.begun == 1 + bridge.WAITING_PER_THREAD

    run(gate, test, threads=1)


def test_one_clients_slow_requests_leave_a_quarter_of_the_threads_to_others() -> None:
    gate = Gate()

    def view(request: Any) -> HttpResponse:
        return gate(request) if request.META["REMOTE_ADDR"] == "10.0.0.1" else HttpResponse("served")

    async def test(found: Bridge) -> None:
        slow = [Proto() for _ in range(6)]
        calls = [asyncio.create_task(found.__rsgi__(scope(client="10.0.0.1:9"), client)) for client in slow]
        await gate.holds(3)
        other = Proto()
        await found.__rsgi__(scope(client="10.0.0.2:9"), other)
        assert (gate.begun, other.body) == (3, b"served")
        await asyncio.sleep(0.2)
        assert 0.1 < found._pool.stalled_for < 5, "three wait, and nothing ends"
        slow[-1].gone.set_result(None)
        await calls[-1]
        gate.opened.set()
        await asyncio.gather(*calls)
        assert [client.body for client in slow] == [b"through"] * 5 + [b""]
        while found._pool.stalled_for:
            await asyncio.sleep(0.01)

    run(view, test, threads=4)


def test_one_clients_slow_pieces_leave_half_of_the_threads_to_others() -> None:
    opened, begun = threading.Event(), list[int]()

    def pieces(*, is_slow: bool) -> Iterator[bytes]:
        yield b"x" * 100_000
        if is_slow:
            begun.append(1)
            assert opened.wait(120)
        yield b"end"

    def view(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(pieces(is_slow=request.META["REMOTE_ADDR"] == "10.0.0.1"))

    async def test(found: Bridge) -> None:
        slow = [Proto() for _ in range(3)]
        calls = [asyncio.create_task(found.__rsgi__(scope(client="10.0.0.1:9"), client)) for client in slow]
        while not begun:
            await asyncio.sleep(0.01)
        other = Proto()
        await found.__rsgi__(scope(client="10.0.0.2:9"), other)
        assert (len(begun), other.body[-3:]) == (1, b"end")
        opened.set()
        await asyncio.gather(*calls)
        assert [client.body[-3:] for client in slow] == [b"end"] * 3

    run(view, test)


def test_a_request_that_waited_too_long_is_refused_and_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PATIENCE", 0.2)
    gate = Gate()

    async def test(found: Bridge) -> None:
        first, second = Proto(), Proto()
        calls = [asyncio.create_task(found.__rsgi__(scope(), first))]
        await gate.holds(1)
        calls.append(asyncio.create_task(found.__rsgi__(scope(), second)))
        await asyncio.sleep(0.3)
        gate.opened.set()
        await asyncio.gather(*calls)
        assert (first.status, second.status, gate.begun) == (200, 503, 1)
        again = Proto()
        await found.__rsgi__(scope(), again)
        assert again.status == 200

    run(gate, test, threads=1)


@pytest.mark.parametrize(("is_full", "is_waited_for"), [(True, True), (True, False), (False, True)])
def test_a_sign_in_without_a_place_takes_no_time_from_those_who_wait(
    monkeypatch: pytest.MonkeyPatch, is_full: bool, is_waited_for: bool
) -> None:
    monkeypatch.setattr(hashing, "is_full", lambda: is_full)
    gate = Gate()

    async def test(found: Bridge) -> None:
        first, stranger, page = Proto(), Proto(), Proto()
        calls = [asyncio.create_task(found.__rsgi__(scope(client="10.0.0.1:9"), first))]
        await gate.holds(1)
        sign_in = scope("/accounts/login/", "POST", client="10.0.0.2:9")
        calls.append(asyncio.create_task(found.__rsgi__(sign_in, stranger)))
        await asyncio.sleep(0.02)
        if is_waited_for:
            calls.append(asyncio.create_task(found.__rsgi__(scope(client="10.0.0.3:9"), page)))
            await asyncio.sleep(0.02)
        gate.opened.set()
        await asyncio.gather(*calls)
        is_refused = is_full and is_waited_for
        assert stranger.status == (503 if is_refused else 200)
        assert gate.begun == 1 + (not is_refused) + is_waited_for

    run(gate, test, threads=1)


def test_the_probes_are_answered_while_all_threads_hang() -> None:
    gate = Gate()

    def view(request: Any) -> HttpResponse:
        return HttpResponse("well") if request.path in bridge.PROBES else gate(request)

    async def test(found: Bridge) -> None:
        calls = [asyncio.create_task(found.__rsgi__(scope(), Proto())) for _ in range(20)]
        await gate.holds(2)
        for path in bridge.PROBES:
            probe = Proto()
            await found.__rsgi__(scope(path), probe)
            assert probe.body == b"well"
        gate.opened.set()
        await asyncio.gather(*calls)

    run(view, test)


def test_static_files_are_answered_while_all_threads_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StaticFilesMiddleware, "paths", {"/static/a.css": object()})
    gate = Gate()

    def view(request: Any) -> HttpResponse:
        return HttpResponse("a file") if request.path == "/static/a.css" else gate(request)

    async def test(found: Bridge) -> None:
        current = [asyncio.ensure_future(found.__rsgi__(scope(), Proto())) for _ in range(2)]
        await gate.holds(2)
        file, other = Proto(), Proto()
        await asyncio.wait_for(found.__rsgi__(scope("/static/a.css"), file), 5)
        assert (file.status, file.body) == (200, b"a file")
        current.append(asyncio.ensure_future(found.__rsgi__(scope("/static/b.css"), other)))
        await asyncio.sleep(0.1)
        assert other.status == 0
        gate.opened.set()
        await asyncio.gather(*current)

    run(view, test)


def test_nothing_is_done_for_a_client_that_has_gone_before_and_all_for_one_that_goes_later() -> None:
    gate = Gate()

    async def test(found: Bridge) -> None:
        begun, queued = [Proto() for _ in range(2)], [Proto() for _ in range(3)]
        calls = [asyncio.create_task(found.__rsgi__(scope(), client)) for client in begun]
        await gate.holds(2)
        calls += [asyncio.create_task(found.__rsgi__(scope(), client)) for client in queued]
        await asyncio.sleep(0.05)
        for client in (*begun, *queued[:2]):
            client.gone.set_result(None)
        await asyncio.wait(calls[2:4], timeout=30)
        gate.opened.set()
        await asyncio.gather(*calls)
        assert gate.begun == 3
        assert [client.has_ended for client in (*begun, *queued)] == [True, True, False, False, True]

    with finished() as shown:
        run(gate, test)
    assert len(shown) == 3


def test_requests_know_nothing_of_each_others_context() -> None:
    """For example, a request must not see the language of the person whose request used the thread before."""
    stored: ContextVar[str] = ContextVar("kept", default="")

    def view(request: Any) -> HttpResponse:
        before = stored.get()
        stored.set(request.path)
        return HttpResponse(before)

    async def test(found: Bridge) -> None:
        for _ in range(5):
            client = Proto()
            await found.__rsgi__(scope("/mine"), client)
            assert client.body == b""

    run(view, test, threads=1)


# --- Bodies ----------------------------------------------------------------------------------------------


def echo(request: Any) -> HttpResponse:
    return HttpResponse(request.body)


def post(length: int | str = "", **headers: str) -> Any:
    return scope(method="POST", **({"content_length": str(length)} if length else {}), **headers)


def test_a_body_that_is_not_whole_in_time_takes_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.1)
    gate = Gate()

    async def test(found: Bridge) -> None:
        found._bodies = bodies.Bodies(longest=1000, seconds=0.1)
        for client in (Proto(60.0), Proto(b"a", 60.0)):
            await found.__rsgi__(post(10), client)
            assert (client.status, client.headers["connection"]) == (408, "close")
            assert json.loads(client.body)["title"].endswith("This attempt changed nothing.")
        client = Proto(b"3", 60.0)
        await found.__rsgi__(post(transfer_encoding="chunked"), client)
        assert client.status == 408
        assert gate.begun == 0

    run(gate, test)


def test_a_long_body_has_time_for_its_length_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LEAST_RATE", 1000)

    async def test(found: Bridge) -> None:
        found._bodies = bodies.Bodies(longest=100_000, seconds=0.3)
        patient = Proto(b"a" * 3000, 1.0, b"b")
        await found.__rsgi__(post(3001), patient)
        assert patient.status == 200
        slow = Proto(b"a" * 1001, 30.0, b"b")
        await found.__rsgi__(post(1002), slow)
        assert slow.status == 408

    run(echo, test)


def test_slow_bodies_push_out_slow_bodies_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BODIES", 3)

    async def test(found: Bridge) -> None:
        slow = [Proto(b"a", 3600.0) for _ in range(4)]
        calls = []
        for client in slow:
            calls.append(asyncio.create_task(found.__rsgi__(post(10), client)))
            await asyncio.sleep(0.02)
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert [client.status for client in slow] == [503, 0, 0, 0]
        honest = Proto(b"hello")
        await found.__rsgi__(post(5), honest)
        assert honest.body == b"hello"
        await asyncio.wait(calls[1:], return_when=asyncio.FIRST_COMPLETED)
        assert [client.status for client in slow] == [503, 503, 0, 0], "the oldest, each time"
        for call in calls:
            call.cancel()

    run(echo, test)


def test_a_client_with_many_bodies_ends_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)

    async def test(found: Bridge) -> None:
        honest = Proto(b"he", 0.3, b"llo")
        calls = [asyncio.create_task(found.__rsgi__(post(5), honest))]
        await asyncio.sleep(0.02)
        greedy = [Proto(b"a", 3600.0) for _ in range(5)]
        for port, client in enumerate(greedy):
            request_in_work = post(400)
            request_in_work.client = f"10.0.0.1:{port}"
            calls.append(asyncio.create_task(found.__rsgi__(request_in_work, client)))
            await asyncio.sleep(0.02)
        await calls[0]
        assert (honest.status, honest.body) == (200, b"hello")
        assert [client.status for client in greedy] == [503, 503, 503, 0, 0]
        for call in calls[4:]:
            call.cancel()

    run(echo, test)


def test_many_bodies_of_a_byte_end_nobody_elses_longer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BODIES", 3)

    async def test(found: Bridge) -> None:
        honest = Proto(b"a" * 499, 0.3, b"a")
        calls = [asyncio.create_task(found.__rsgi__(post(500), honest))]
        await asyncio.sleep(0.02)
        greedy = [Proto(3600.0) for _ in range(4)]
        for port, client in enumerate(greedy):
            request_in_work = post(1)
            request_in_work.client = f"10.0.0.1:{port}"
            calls.append(asyncio.create_task(found.__rsgi__(request_in_work, client)))
            await asyncio.sleep(0.02)
        await calls[0]
        assert (honest.status, len(honest.body)) == (200, 500)
        assert [client.status for client in greedy] == [503, 503, 0, 0]
        for call in calls[3:]:
            call.cancel()

    run(echo, test)


def test_behind_a_proxy_bodies_are_counted_by_its_clients(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TRUSTED_PROXY_COUNT = 1
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)

    async def test(found: Bridge) -> None:
        honest = Proto(b"he", 0.3, b"llo")
        calls = [asyncio.create_task(found.__rsgi__(post(5, x_forwarded_for="10.0.0.7"), honest))]
        await asyncio.sleep(0.02)
        greedy = [Proto(b"a", 3600.0) for _ in range(4)]
        for client in greedy:
            request_in_work = post(400, x_forwarded_for="10.0.0.7, 10.0.0.1")
            calls.append(asyncio.create_task(found.__rsgi__(request_in_work, client)))
            await asyncio.sleep(0.02)
        await calls[0]
        assert (honest.status, honest.body) == (200, b"hello")
        assert [client.status for client in greedy] == [503, 503, 0, 0]
        for call in calls[3:]:
            call.cancel()

    run(echo, test)


def test_nobody_hides_an_address_by_making_the_proxys_word_unreadable(settings: Settings) -> None:
    """The web server drops a header line that is not ASCII, with the address that the proxy appended to it.

    Behind a proxy, such a request is refused.
    """

    class Unread(Headers):
        def get_all(self, name: str) -> list[str]:
            return [] if name == "x-forwarded-for" else super().get_all(name)

    async def test(found: Bridge) -> None:
        for count, status in ((1, 400), (0, 200)):
            settings.TRUSTED_PROXY_COUNT = count
            request_in_work, client = scope(), Proto()
            request_in_work.headers = Unread({"x-forwarded-for": "\xe9, 10.0.0.1"})
            await found.__rsgi__(request_in_work, client)
            assert client.status == status

    run(echo, test)


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("10.0.0.1:9", "10.0.0.1"),
        ("[2001:db8:1:2:3::4]:9", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:ffff::]:9", "2001:db8:1:2::/64"),
        ("[::ffff:10.0.0.1]:9", "10.0.0.1"),
    ],
)
def test_a_network_of_ipv6_is_one_client(address: str, caller: str) -> None:
    """Somebody with one address of the network has all of them.

    If each address were one client, this person would get one share for each.
    """
    assert environ.caller_at(environ.address_of(scope(client=address))) == caller


def test_the_bytes_that_are_promised_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)

    async def test(found: Bridge) -> None:
        first, second = Proto(b"a", 3600.0), Proto(b"b" * 900)
        call = asyncio.create_task(found.__rsgi__(post(200), first))
        await asyncio.sleep(0.02)
        await found.__rsgi__(post(900), second)
        await call
        assert (first.status, second.status) == (503, 200)
        assert found._bodies._bytes == 0

    run(echo, test)


def test_a_body_that_is_too_long_is_not_read_and_the_framework_refuses_it() -> None:
    def view(request: Any) -> HttpResponse:
        assert request.META["CONTENT_LENGTH"] == "1048577"
        with pytest.raises(RequestDataTooBig):
            request.read()
        return HttpResponse("too long", status=413)

    async def test(found: Bridge) -> None:
        client = Proto(b"a" * 1000, 3600.0)
        await found.__rsgi__(post(1024 * 1024 + 1), client)
        assert (client.status, client.body) == (413, b"too long")

    run(view, test)


def test_a_body_that_breaks_off_is_never_acted_on() -> None:
    gate = Gate()

    async def test(found: Bridge) -> None:
        for sent, client in (
            (post(10), Proto(b"abc")),
            # If a chunked body ends too early, the server gives one more empty piece.
            (post(transfer_encoding="chunked"), Proto(b"abc", b"")),
        ):
            await found.__rsgi__(sent, client)
            assert client.status == 400
        assert gate.begun == 0

    run(gate, test)


# --- Streams ---------------------------------------------------------------------------------------------


def test_an_empty_answer_without_a_length_goes_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, the redirect to https is made before the middleware that sets the length."""
    monkeypatch.setattr(waiting, "LOOK_EVERY", 30)

    async def test(found: Bridge) -> None:
        client = Proto()
        async with asyncio.timeout(10):
            await found.__rsgi__(scope(), client)
        assert (client.status, client.headers["Location"], client.has_ended) == (301, "https://there/", True)

    run(lambda _request: HttpResponsePermanentRedirect("https://there/"), test)


def test_the_pieces_of_a_stream_share_its_context_and_hold_no_thread() -> None:
    stored: ContextVar[int] = ContextVar("kept", default=0)
    threads: list[str] = []
    mine = threading.local()

    def pieces() -> Iterator[bytes]:
        for number in range(20):
            assert stored.get() == number
            stored.set(number + 1)
            threads.append(threading.current_thread().name)
            yield b"x" * bridge.LEAST_PIECE

    def view(_request: Any) -> StreamingHttpResponse:
        mine.is_here = True
        return StreamingHttpResponse(pieces())

    async def test(found: Bridge) -> None:
        streams = [Proto() for _ in range(6)]
        await asyncio.gather(*(found.__rsgi__(scope(), client) for client in streams))
        assert {len(client.body) for client in streams} == {20 * bridge.LEAST_PIECE}
        assert {name.rpartition("-")[0] for name in threads} == {"web", "stream"}
        assert found._streams == 0

    with finished() as shown:
        run(view, test)
    assert len(shown) == 6


@pytest.mark.parametrize(("failure", "given"), [(OperationalError("gone"), b"made"), (WindowClosed(), b"")])
def test_chunks_before_a_stream_failed_are_sent_and_visibly_cut(failure: Exception, given: bytes) -> None:
    """If the window closed, chunks that were made but not sent are discarded. After other failures, they are sent."""

    def pieces() -> Iterator[bytes]:
        yield b"made"
        raise failure

    async def test(found: Bridge) -> None:
        client = Proto()
        await found.__rsgi__(scope(), client)
        assert (client.status, client.body) == (200, given)
        assert not found._streams

    with capture_logs() as logs:
        run(lambda _request: StreamingHttpResponse(pieces()), test)
    assert [line["why"] for line in logs if line["event"] == "stream_ended"] == [type(failure).__name__]


def test_a_stream_that_pauses_waits_on_the_loop_and_is_closed_when_its_reader_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.01)
    closed = Counter[str]()

    def pieces() -> Iterator[bytes]:
        try:
            yield b"begun"
            while True:
                yield b""
        finally:
            closed["yes"] += 1

    async def test(found: Bridge) -> None:
        clients = [Proto() for _ in range(8)]
        calls = [asyncio.create_task(found.__rsgi__(scope(), client)) for client in clients]
        await asyncio.sleep(0.2)
        page = Proto()
        await found.__rsgi__(scope(method="HEAD"), page)
        assert page.has_ended
        for client in clients:
            assert client.body == b"begun"
            client.gone.set_result(None)
        await asyncio.gather(*calls)

    with finished() as shown:
        run(lambda _request: StreamingHttpResponse(pieces()), test)
    assert (closed["yes"], len(shown)) == (8, 9)


def test_more_streams_than_may_run_are_refused_and_closed() -> None:
    def view(_request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([b"x" * 100_000, b""] * 1000))

    async def test(found: Bridge) -> None:
        running = [Proto() for _ in range(2)]
        calls = [
            asyncio.create_task(found.__rsgi__(scope(client=f"10.0.0.{number}:9"), client))
            for number, client in enumerate(running)
        ]
        while found._streams < 2:
            await asyncio.sleep(0.01)
        refused = Proto()
        await found.__rsgi__(scope(), refused)
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert json.loads(refused.body)["code"] == "streams_full", "it was begun, unlike what is told to be busy"
        for client in running:
            client.gone.set_result(None)
        await asyncio.gather(*calls)

    with finished() as shown:
        run(view, test, streams=2)
    assert len(shown) == 3


def test_one_client_has_half_of_the_streams_at_most() -> None:
    def view(_request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([b"x" * 100_000, b""] * 1000))

    async def test(found: Bridge) -> None:
        running = [Proto() for _ in range(2)]
        calls = [
            asyncio.create_task(found.__rsgi__(scope(client=f"10.0.0.1:{port}"), running[port])) for port in (0, 1)
        ]
        while found._streams < 2:
            await asyncio.sleep(0.01)
        refused, other = Proto(), Proto()
        await found.__rsgi__(scope(client="10.0.0.1:9"), refused)
        assert refused.status == 503
        calls.append(asyncio.create_task(found.__rsgi__(scope(client="10.0.0.2:9"), other)))
        while found._streams < 3:
            await asyncio.sleep(0.01)
        for client in (*running, other):
            client.gone.set_result(None)
        await asyncio.gather(*calls)
        assert other.status == 200
        assert not found._streams_of

    run(view, test, streams=4)


def test_files_and_pages_leave_half_of_the_streams_to_those_who_are_known() -> None:
    def view(request: Any) -> HttpResponseBase:
        if request.path == "/font":
            return FileResponse(io.BytesIO(b"x" * 1_000_000))
        if request.path == "/page":
            return HttpResponse(b"x" * 1_000_000)
        return StreamingHttpResponse(iter([b"x" * 100_000, b""] * 1000))

    async def test(found: Bridge) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        class ReadsNothing(Proto):
            async def send_bytes(self, data: bytes) -> None:
                await asyncio.shield(over)

        strangers, known = [ReadsNothing() for _ in range(2)], Proto()
        calls = [
            asyncio.create_task(found.__rsgi__(scope("/font", client=f"10.0.0.{number}:9"), client))
            for number, client in enumerate(strangers)
        ]
        while found._streams < 2:
            await asyncio.sleep(0.01)
        refused = Proto()
        await found.__rsgi__(scope("/page", client="10.0.0.8:9"), refused)
        assert refused.status == 503
        calls.append(asyncio.create_task(found.__rsgi__(scope(client="10.0.0.9:9"), known)))
        while found._streams < 3:
            await asyncio.sleep(0.01)
        over.set_result(None)
        for client in (*strangers, known):
            client.gone.set_result(None)
        await asyncio.gather(*calls)
        assert known.status == 200
        assert not found._streams_of

    run(view, test, streams=4)


@pytest.mark.parametrize("is_read", [True, False])
def test_no_more_is_made_than_the_client_takes(is_read: bool) -> None:
    """The web server here is simulated. Like the real one, it accepts all bytes and keeps them in memory."""
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(200):
            made.append(number)
            yield b"x" * outlet.PIECE

    async def test(found: Bridge) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listener.getsockname())
            served, _address = listener.accept()
            served.setblocking(False)
            taken, pending = 0, asyncio.Queue[bytes]()

            class Server(Proto):
                """Accepts everything immediately, as the real web server does."""

                async def send_bytes(self, data: bytes) -> None:
                    pending.put_nowait(data)

            async def write() -> None:
                while True:
                    await asyncio.get_running_loop().sock_sendall(served, await pending.get())

            proto, writing = Server(), asyncio.create_task(write())
            host, port = client.getsockname()
            call = asyncio.create_task(found.__rsgi__(scope(client=f"{host}:{port}"), proto))
            await asyncio.sleep(0.5)
            most = outlet.WINDOW // outlet.PIECE + 1
            # Bytes in the client's own buffer no longer count as sent by the server.
            assert len(made) <= most + 4
            if is_read:
                client.setblocking(False)
                while taken < 200 * outlet.PIECE:
                    taken += len(await asyncio.get_running_loop().sock_recv(client, 65536))
                await call
                assert len(made) == 200
            else:
                proto.gone.set_result(None)
                served.close()
                await call
            writing.cancel()
            served.close()

    run(lambda _request: StreamingHttpResponse(pieces()), test)


def test_streams_that_wait_for_news_are_woken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the ring, a stream would be asked again only after 30 seconds."""
    monkeypatch.setattr(waiting, "LOOK_EVERY", 30)
    news, made = waiting.News(), list[bytes]()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        yield b""
        for piece in (b"second", b"third"):
            while piece not in made:
                yield b""
            yield piece

    def view(_request: Any) -> StreamingHttpResponse:
        response = StreamingHttpResponse(pieces())
        response.news = news  # type: ignore[attr-defined]  # for the web server
        return response

    async def test(found: Bridge) -> None:
        clients = [Proto() for _ in range(3)]
        calls = [asyncio.create_task(found.__rsgi__(scope(), client)) for client in clients]
        async with asyncio.timeout(10):
            for piece, body in ((b"second", b"firstsecond"), (b"third", b"firstsecondthird")):
                while found._streams != 3:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)
                made.append(piece)
                await asyncio.to_thread(news.ring)
                while {client.body for client in clients} != {body}:
                    await asyncio.sleep(0.01)
            await asyncio.gather(*calls)
        news.ring()

    run(view, test)


def test_a_reader_who_takes_next_to_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "STALLED_SECONDS", 0.2)

    async def test(found: Bridge) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as client,
        ):
            served, _address = listener.accept()
            with served:
                host, port = client.getsockname()
                # This server writes nothing to the client, so the client can't read anything.
                await found.__rsgi__(scope(client=f"{host}:{port}"), Proto())
                assert client.recv(1) == b"", "it is told by the end of the connection"

    run(lambda _request: StreamingHttpResponse(b"x" * 50_000 for _ in range(100)), test)


def test_a_stream_that_must_end_does_not_wait_for_its_reader() -> None:
    """The reader has taken nothing, so no next piece would be made for a minute."""
    ending = waiting.Ending()

    def view(_request: Any) -> StreamingHttpResponse:
        response = StreamingHttpResponse(b"x" * 50_000 for _ in range(100))
        response.ending = ending  # type: ignore[attr-defined]  # for the web server
        return response

    async def test(found: Bridge) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as client,
        ):
            served, _address = listener.accept()
            with served:
                host, port = client.getsockname()
                call = asyncio.create_task(found.__rsgi__(scope(client=f"{host}:{port}"), proto := Proto()))
                while len(proto.body) < outlet.WINDOW - outlet.PIECE:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(ending.come)
                async with asyncio.timeout(10):
                    await call
                assert client.recv(1) == b"", "it is told by the end of the connection"
                assert len(proto.body) <= outlet.WINDOW
                # A stream that had to end before it began sends nothing.
                late = Proto()
                await found.__rsgi__(scope(), late)
                assert late.body == b""

    run(view, test)


def test_streams_with_news_do_not_share_the_threads_of_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow sources of content can occupy all threads of downloads, and events still come."""
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.01)
    gate, begun, news = threading.Event(), Counter[str](), waiting.News()

    def slow() -> Iterator[bytes]:
        yield b"x" * bridge.LEAST_PIECE
        begun["slow"] += 1
        gate.wait(60)
        yield b"end"

    def events() -> Iterator[bytes]:
        yield b"here"
        yield b""
        yield b"event"

    def view(request: Any) -> StreamingHttpResponse:
        if request.path == "/slow":
            return StreamingHttpResponse(slow())
        response = StreamingHttpResponse(events())
        response.news = news  # type: ignore[attr-defined]  # for the web server
        return response

    async def test(found: Bridge) -> None:
        readers = [Proto() for _ in range(4)]
        addresses = (scope("/slow", client=f"10.0.0.{number}:9") for number in range(4))
        calls = [
            asyncio.create_task(found.__rsgi__(each, proto)) for each, proto in zip(addresses, readers, strict=True)
        ]
        while begun["slow"] < found._steps.threads:
            await asyncio.sleep(0.01)
        client = Proto()
        async with asyncio.timeout(10):
            await found.__rsgi__(scope("/events"), client)
        assert client.body == b"hereevent"
        gate.set()
        await asyncio.gather(*calls)

    run(view, test)


# --- Waiting ---------------------------------------------------------------------------------------------


def test_a_waiting_call_is_woken_by_its_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the ring, a call would be looked at again only after 30 seconds."""
    monkeypatch.setattr(waiting, "LOOK_EVERY", 30)
    news, is_there, looks = waiting.News(), threading.Event(), list[int]()

    def look() -> HttpResponse | None:
        looks.append(1)
        return HttpResponse("news") if is_there.is_set() else None

    def view(request: Any) -> HttpResponse:
        found = waiting.Waiting(request, look)
        found.news = news
        return found

    async def test(found: Bridge) -> None:
        client = Proto()
        call = asyncio.create_task(found.__rsgi__(scope(), client))
        async with asyncio.timeout(10):
            for number in (1, 2):
                # A ring may come before the call waits.
                while len(looks) < number:
                    await asyncio.to_thread(news.ring)
                    await asyncio.sleep(0.01)
            is_there.set()
            while not call.done():
                await asyncio.to_thread(news.ring)
                await asyncio.sleep(0.01)
        assert client.body == b"news"

    run(view, test)


def test_a_waiting_call_is_polled_on_the_loop_and_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.01)
    is_there = threading.Event()
    left: list[int] = []

    def view(request: Any) -> HttpResponse:
        assert waiting.is_outside(request.META)
        found = waiting.Waiting(request, lambda: HttpResponse("news", status=201) if is_there.is_set() else None)
        found.at_its_end(lambda: left.append(1))
        found["X-Request-ID"] = "abc"
        return found

    async def test(found: Bridge) -> None:
        clients = [Proto() for _ in range(8)]
        calls = [asyncio.create_task(found.__rsgi__(scope(), client)) for client in clients]
        await asyncio.sleep(0.2)
        assert not any(call.done() for call in calls)
        clients[0].gone.set_result(None)
        await calls[0]
        assert len(left) == 1, "who has gone gives the place back"
        is_there.set()
        await asyncio.gather(*calls)
        assert {(client.status, client.body, client.headers["X-Request-ID"]) for client in clients[1:]} == {
            (201, b"news", "abc")
        }
        assert len(left) == 8

    run(view, test)


def test_a_page_that_gets_no_place_to_wait_is_answered_at_once() -> None:
    left: list[int] = []

    def view(request: Any) -> HttpResponse:
        found = waiting.Waiting(request, lambda: None)
        found.at_its_end(lambda: left.append(1))
        if request.path == "/page":
            found.at_once = lambda: HttpResponse(status=204)
        return found

    async def test(found: Bridge) -> None:
        clients = [Proto() for _ in range(2)]
        calls = [
            asyncio.create_task(found.__rsgi__(scope(client=f"10.0.0.{number}:9"), client))
            for number, client in enumerate(clients)
        ]
        while found._streams != 2:
            await asyncio.sleep(0.01)
        page, call = Proto(), Proto()
        await found.__rsgi__(scope("/page", client="10.0.0.8:9"), page)
        await found.__rsgi__(scope("/call", client="10.0.0.9:9"), call)
        assert (page.status, call.status, len(left)) == (204, 503, 2)
        for client in clients:
            client.gone.set_result(None)
        await asyncio.gather(*calls)

    run(view, test, streams=2)


def test_when_the_server_stops_events_and_calls_end_in_turn_and_downloads_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(bridge, "LEAVE_WITHIN", 0.3)
    left, is_over = list[float](), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"begun"
        while not is_over.is_set():
            yield b""
        yield b"end"

    def view(request: Any) -> HttpResponseBase:
        if request.path == "/call":
            found = waiting.Waiting(request, lambda: None)
            found.look_every, found.at_stop = 60.0, lambda: HttpResponse("nothing new")
            return found
        response = StreamingHttpResponse(pieces())
        if request.path == "/events":
            response.look_every, response.last_words = 60.0, b": bye"  # type: ignore[attr-defined]  # for the server
        return response

    async def ask(found: Bridge, path: str) -> Proto:
        client = Proto()
        await found.__rsgi__(scope(path), client)
        left.append(asyncio.get_running_loop().time())
        return client

    async def test(found: Bridge) -> None:
        loop = asyncio.get_running_loop()
        download = asyncio.create_task(ask(found, "/download"))
        calls = [asyncio.create_task(ask(found, path)) for path in ("/events", "/call") * 3]
        while found._streams != 7:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        stopped_at = loop.time()
        found._stop()
        async with asyncio.timeout(10):
            ended = await asyncio.gather(*calls)
        assert {client.body for client in ended} == {b"begun: bye", b"nothing new"}
        assert len({round(at - stopped_at, 3) for at in left}) > 1, "they do not come back at the same moment"
        assert not download.done(), "a download that ended here would look complete"
        is_over.set()
        assert (await download).body == b"begunend"

    run(view, test)


def test_the_web_servers_signal_ends_the_streams_first() -> None:
    done: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, done.append, "the web server's own handler")
        bridge._before_stop(loop, lambda: done.append("ours"))
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            while len(done) < 2:
                await asyncio.sleep(0.01)
        loop.remove_signal_handler(signal.SIGTERM)
        # Without a handler of the web server, nothing is changed.
        bridge._before_stop(loop, lambda: done.append("never"))
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    uvloop.run(main())
    assert done == ["ours", "the web server's own handler"]


def test_a_signal_that_comes_while_the_web_server_starts_stops_it_too() -> None:
    """The loop of libuv hears only of signals that come while it runs."""
    done: list[str] = []
    with closing(uvloop.new_event_loop()) as loop:

        def end() -> None:
            done.append("the web server's own handler")
            loop.stop()

        loop.add_signal_handler(signal.SIGTERM, end)
        bridge._before_stop(loop, lambda: done.append("ours"))
        os.kill(os.getpid(), signal.SIGTERM)
        loop.call_later(5, loop.stop)
        loop.run_forever()
        loop.remove_signal_handler(signal.SIGTERM)
    assert [*dict.fromkeys(done)] == ["ours", "the web server's own handler"]


def test_a_failing_poll_is_answered_as_any_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.01)

    def view(request: Any) -> HttpResponse:
        return waiting.Waiting(request, lambda: 1 / 0)  # type: ignore[arg-type, return-value]  # it fails

    async def test(found: Bridge) -> None:
        client = Proto()
        await found.__rsgi__(scope("/api/v1/x"), client)
        assert (client.status, client.headers["Content-Type"]) == (500, "application/problem+json")

    run(view, test)


def away() -> None:
    raise OperationalError("gone")


@pytest.mark.parametrize(
    ("look", "status", "level"),
    [
        (lambda: HttpResponse("news"), 200, "info"),
        (lambda: HttpResponse("no", status=403), 403, "warning"),
        (away, 503, "error"),
    ],
)
def test_a_call_that_waits_is_logged_when_it_ends_with_what_was_answered(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[], HttpResponse], status: int, level: str
) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.01)
    logged: Any = RequestLogMiddleware(lambda request: waiting.Waiting(request, look))

    async def test(found: Bridge) -> None:
        client = Proto()
        await found.__rsgi__(scope("/api/v1/x", x_request_id="abcdefgh"), client)
        assert client.status == status

    with lines_logged() as lines:
        run(logged, test)
    [end] = [line for line in lines if line["event"] == "request_finished"]
    assert (end["code"], end["log_level"], end["request"]) == (status, level, "GET /api/v1/x")
    assert all(line["request_id"] == end["request_id"] for line in lines)
    # An outage is one line, without a traceback.
    assert not any("exc_info" in line for line in lines)
    others = [line["event"] for line in lines if line["log_level"] != "debug" and line is not end]
    assert others == (["store.unavailable"] if status == 503 else [])


def test_a_waiting_call_whose_client_has_gone_was_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.01)
    inner: Any = RequestLogMiddleware(lambda request: waiting.Waiting(request, lambda: None))
    logged: Any = RequestIdMiddleware(inner)

    async def test(found: Bridge) -> None:
        client = Proto()
        client.gone.set_result(None)
        await found.__rsgi__(scope(), client)
        found._most_streams = 0
        await found.__rsgi__(scope(), Proto())

    with lines_logged() as lines:
        run(logged, test)
    ends = [(line["event"], line.get("code")) for line in lines if line["event"].startswith("request_")]
    shown = [end for end in ends if end[0] != "request_started"]
    assert shown == [("request_cancelled", None), ("request_finished", 503)]


@contextmanager
def lines_logged() -> Iterator[list[Any]]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


@pytest.mark.django_db(transaction=True)
def test_no_database_connection_is_held_between_two_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a request, the connection is closed. If connections are persistent, it is idle."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    holding: list[bool] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(5):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            yield b"x" * bridge.LEAST_PIECE

    def view(request: Any) -> HttpResponseBase:
        if request.path == "/look":
            holding.append(connection.connection is not None)
            return HttpResponse("")
        return StreamingHttpResponse(pieces())

    async def test(found: Bridge) -> None:
        found._steps = found._pool
        await found.__rsgi__(scope(), Proto())
        await found.__rsgi__(scope("/look"), Proto())

    run(view, test, threads=1)
    assert holding == [False]
