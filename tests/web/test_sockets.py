"""What the kernel may hold of a download, asked of the kernel."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from requests_app.web import sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks for Linux's numbers")


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
