"""How many bytes of a download wait in the kernel. The kernel itself reports this."""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from requests_app.platform import sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks for Linux's numbers")


def collect_new() -> None:
    """Collect the garbage among the newest objects. The million objects of the whole product are not visited."""
    gc.collect(1)


def limits(connection: socket.socket) -> tuple[int, int]:
    return (
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    )


def test_connections_on_the_port_are_narrowed_and_no_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = listener.accept()
            with served:
                before, open_before = limits(client), len(os.listdir("/dev/fd"))
                sockets.narrow(port)
                assert limits(served) == (2 * sockets.SEND_BUFFER, sockets.STALLED_SECONDS * 1000)
                assert limits(client) == before, "another port"
                assert len(os.listdir("/dev/fd")) == open_before
                client.sendall(b"still open")
                assert served.recv(100) == b"still open"


#: Ends with status 0 if another process has locked the file.
LOCKED = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(0)
sys.exit(1)
"""


def test_the_locks_of_this_process_stay(tmp_path: Path) -> None:
    """SQLite uses this kind of lock. A process loses the lock when it closes any descriptor of the file."""
    path = tmp_path / "locked"
    with path.open("w+b") as file, socket.create_server(("127.0.0.1", 0)) as listener:
        fcntl.lockf(file, fcntl.LOCK_EX)
        is_locked = [sys.executable, "-c", LOCKED, str(path)]
        assert subprocess.run(is_locked).returncode == 0
        sockets.narrow(listener.getsockname()[1])
        assert subprocess.run(is_locked).returncode == 0, "the lock is gone"


@pytest.fixture
def others(tmp_path: Path) -> Iterator[dict[str, int]]:
    """Yield descriptors, by kind, that are not connections. One of them is closed.

    The operating system can give a descriptor's number to any of these at any time.
    """
    with ExitStack() as resources:
        reader, writer = os.pipe()
        resources.callback(os.close, reader)
        resources.callback(os.close, writer)
        datagrams = resources.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        local = resources.enter_context(socket.socket(socket.AF_UNIX))
        file = resources.enter_context((tmp_path / "file").open("w"))
        directory = os.open(tmp_path, os.O_RDONLY)
        resources.callback(os.close, directory)
        yield {
            "file": file.fileno(), "directory": directory, "pipe": reader, "datagrams": datagrams.fileno(),
            "local": local.fileno(),
        }  # fmt: skip


def test_any_other_descriptor_stays_as_it_is(others: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a check and the use of a number, the number can be given to another file."""
    before = {name: os.fstat(number) for name, number in others.items()}
    closed = os.open(os.devnull, os.O_RDONLY)
    os.close(closed)
    monkeypatch.setattr(sockets, "_descriptors", lambda: [*others.values(), closed, 2**31 - 1])
    sockets.narrow(0)  # port 0, as for a socket that is not bound
    collect_new()
    for name, number in others.items():
        now = os.fstat(number)
        assert (now.st_dev, now.st_ino) == (before[name].st_dev, before[name].st_ino), name


def test_a_failure_in_between_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(socket.socket):
        def setsockopt(self, *_: Any) -> None:
            raise MemoryError

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(sockets, "_descriptors", lambda: [listener.fileno()])
        monkeypatch.setattr(sockets.socket, "socket", Failing)
        with pytest.raises(MemoryError):
            sockets.narrow(listener.getsockname()[1])
        collect_new()
        os.fstat(listener.fileno())


def test_an_accepted_connection_has_the_limits_of_the_listening_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sockets.narrow(port)
        with socket.create_connection(("127.0.0.1", port)):
            served, _ = listener.accept()
            with served:
                assert limits(served) == (2 * sockets.SEND_BUFFER, sockets.STALLED_SECONDS * 1000)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_bytes_that_a_client_has_read_are_known(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        with socket.create_connection(listener.getsockname()[:2]) as client:
            served, _ = listener.accept()
            with served:
                name = f"[{host}]" if ":" in host else host
                line = sockets.Line.of(f"{name}:{client.getsockname()[1]}")
                assert line is not None
                before = line.acknowledged()
                served.sendall(b"x" * 5000)
                assert client.recv(5000, socket.MSG_WAITALL) == b"x" * 5000
                assert (line.acknowledged() - before, line.waiting()) == (5000, 0)
                line.hang_up()
                assert client.recv(1) == b""
                os.fstat(served.fileno())
            with pytest.raises(sockets.Gone):
                line.acknowledged()
        assert sockets.Line.of(f"{name}:{client_port(listener)}") is None


def client_port(listener: socket.socket) -> int:
    """Return a port from which no connection comes."""
    return int(listener.getsockname()[1])


def test_each_of_many_connections_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    plain = sockets._borrowed

    def counted(number: int) -> Any:
        checked.append(number)
        return plain(number)

    def found(client: socket.socket) -> bool:
        host, port = client.getsockname()
        return sockets.Line.of(f"{host}:{port}") is not None

    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as ends:
        for _ in range(50):
            ends.enter_context(socket.create_connection(listener.getsockname()))
            ends.enter_context(listener.accept()[0])
        client = ends.enter_context(socket.create_connection(listener.getsockname()))
        served, _ = listener.accept()
        assert found(client)
        monkeypatch.setattr(sockets, "_borrowed", counted)
        assert found(client)
        assert len(checked) < 5, "it is known by now"
        served.close()
        assert not found(client), "its server's end is closed"
        checked.clear()
        # The new connection gets the number that has just become free.
        other = ends.enter_context(socket.create_connection(listener.getsockname()))
        ends.enter_context(listener.accept()[0])
        assert found(other)
        assert len(checked) < 10, "only what is new is looked at"


def test_a_number_that_belongs_to_another_by_now_is_not_touched(others: dict[str, int]) -> None:
    """The client has disconnected, and the kernel has given the descriptor's number to another file."""
    closed = os.open(os.devnull, os.O_RDONLY)
    os.close(closed)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stranger = socket.create_connection(listener.getsockname())
        with stranger, listener.accept()[0] as served:
            for number in (*others.values(), closed, listener.fileno(), served.fileno()):
                line = sockets.Line(number, socket.AF_INET, ("127.0.0.1", 9))
                line.hang_up()
                for ask in (line.acknowledged, line.waiting):
                    with pytest.raises(sockets.Gone):
                        ask()
            stranger.sendall(b"still open")
            assert served.recv(100) == b"still open"
    collect_new()
    for number in others.values():
        os.fstat(number)
