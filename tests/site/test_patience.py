"""Calls that never return: nobody waits for them for long, and they don't keep others out forever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from requests_app.platform import patience

PLACES = 2


class Silent:
    """A server that accepts connections and never answers, until it is mended. Calls from before never return."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        self._servers: list[socket.socket] = []
        self.is_mended = False

    def ask(self) -> bytes:
        client = socket.create_connection(self._listener.getsockname())
        self._clients.append(client)
        server, _address = self._listener.accept()
        self._servers.append(server)
        if self.is_mended:
            server.sendall(b"here")
        return client.recv(4)

    def end(self) -> None:
        for each in (*self._servers, *self._clients, self._listener):
            each.close()


@pytest.fixture
def server() -> Iterator[Silent]:
    before = set(threading.enumerate())
    server = Silent()
    yield server
    server.end()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that lets time pass for the module."""
    passed = [0.0]

    def let_pass(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr(patience.clock, "monotonic", lambda: passed[0])
    return let_pass


def ask(server: Silent, key: str) -> bytes:
    return patience.call(server.ask, key=key, places=PLACES, seconds=0.05 if not server.is_mended else 5)


def hang(server: Silent, key: str) -> None:
    with pytest.raises(patience.TookTooLong):
        ask(server, key)


def test_a_server_that_answers_again_is_asked_again_though_the_first_calls_never_return(
    server: Silent, later: Callable[[float], None]
) -> None:
    for _ in range(PLACES):
        hang(server, "again")
    with pytest.raises(patience.NoPlace):
        ask(server, "again")
    server.is_mended = True
    later(59)
    with pytest.raises(patience.NoPlace):
        ask(server, "again")
    later(2)
    for _ in range(PLACES + 1):
        assert ask(server, "again") == b"here"
    # The first calls no longer count, so there is place for as many as before.
    server.is_mended = False
    for _ in range(PLACES):
        hang(server, "again")
    with pytest.raises(patience.NoPlace):
        ask(server, "again")


def test_a_server_that_never_answers_gets_fewer_and_fewer_calls(server: Silent, later: Callable[[float], None]) -> None:
    for _ in range(PLACES):
        hang(server, "never")
    tried = 0
    for _minute in range(24 * 60):
        later(60)
        try:
            hang(server, "never")
        except patience.NoPlace:
            continue
        tried += 1
    assert tried == 10


def test_the_threads_of_one_key_are_limited(
    server: Silent, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MOST_THREADS", 3)
    for _ in range(PLACES):
        hang(server, "many")
    later(61)
    hang(server, "many")
    later(3600)
    with pytest.raises(patience.NoPlace):
        ask(server, "many")
