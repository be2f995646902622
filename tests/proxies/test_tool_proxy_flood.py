"""The proxy for web tools under a flood: heads that never end, more connections than it takes, and many requests."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from requests_app import operations
from requests_app.doors.tools import deciding, server
from requests_app.models import ContentAccess, Grant
from tests.cast import Cast
from tests.proxies.tool_stand import HOST, Held, Line, Running, Tool, ask

pytestmark = [pytest.mark.deep, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@contextlib.contextmanager
def lines(port: int, count: int) -> Iterator[list[Line]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Line(port)) for _number in range(count)]


def drip(slow: list[Line], stop: threading.Event) -> None:
    """Send one more header on each connection every second."""
    for number in itertools.count():
        for each in slow:
            with contextlib.suppress(OSError):
                each.send(f"X-{number}: 1\r\n")
        if stop.wait(1):
            return


def test_a_head_that_never_ends_is_dropped_and_nobody_waits_for_it(
    proxy: Running, tool: Tool, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    began, stop = time.monotonic(), threading.Event()
    with lines(proxy.port, 300) as slow:
        for each in slow[100:]:
            each.send(f"GET /tenants/7/x HTTP/1.1\r\nHost: {HOST}\r\nLockbox-Grant: {token['Lockbox-Grant']}\r\n")
        # The first hundred send nothing at all.
        dripping = threading.Thread(target=drip, args=(slow[200:], stop), daemon=True)
        dripping.start()
        assert ask(proxy.port, "/tenants/7/x", **token).status == 200
        asked = time.monotonic()
        try:
            time.sleep(max(0.0, began + server.HEAD_SECONDS - asked))
            assert all(each.is_over() for each in slow)
        finally:
            stop.set()
            dripping.join()
    assert asked - began < server.HEAD_SECONDS
    assert time.monotonic() - began < server.HEAD_SECONDS + 10
    assert [got["path"] for got in tool.got] == ["/tenants/7/x"]
    assert ContentAccess.objects.count() == 1
    assert deciding.SLOTS.taken() == 0


def test_connections_that_are_too_many_are_dropped_and_the_others_continue(
    proxy: Running, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 100)
    open_before = Held(proxy.port, "/tenants/7/download", **token)
    with lines(proxy.port, 200) as many:
        # The first 99 take the places that are left.
        for each in many[99:]:
            with pytest.raises(ConnectionResetError):
                assert each.more()
        size = open_before.size
        assert open_before.has(size + 100_000)
        with pytest.raises(ConnectionError):
            ask(proxy.port, "/tenants/7/x", **token)
    ends = time.monotonic() + 10
    found = 0
    while found != 200 and time.monotonic() < ends:
        with contextlib.suppress(OSError):
            found = ask(proxy.port, "/tenants/7/x", **token).status
    assert found == 200
    open_before.leave()


def test_a_flood_of_requests_ends_no_stream_and_delays_no_cut(
    cast: Cast, proxy: Running, grant: Grant, token: dict[str, str]
) -> None:
    stop, answers = threading.Event(), list[int]()

    def flood(number: int) -> None:
        headers = token if number % 2 else {}
        while not stop.is_set():
            with contextlib.suppress(OSError):
                answers.append(ask(proxy.port, "/tenants/7/x", **headers).status)

    stream = Held(proxy.port, "/tenants/7/events", **token)
    flooding = [threading.Thread(target=flood, args=(number,), daemon=True) for number in range(16)]
    for each in flooding:
        each.start()
    try:
        size, ends = 0, time.monotonic() + 5
        while time.monotonic() < ends:
            assert stream.has(size + 10)
            size = stream.size
            time.sleep(0.1)
        assert stream.end == ""
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        since = time.monotonic()
        stream.wait()
    finally:
        stop.set()
        for each in flooding:
            each.join()
    assert stream.was_reset
    assert stream.last - since <= 1.0
    assert {200, 401} <= set(answers) <= {200, 401, 403, 429, 503}
    assert deciding.SLOTS.taken() == 0
