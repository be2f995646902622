"""Forwards TCP connections, and can stop forwarding without closing them, as after a cut of the network."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import suppress
from typing import Any


class Proxy(socketserver.ThreadingTCPServer):
    """A port of this machine that leads to another one.

    A cut holds all bytes back. When it ends, they are forwarded, as packets that were sent again. `lose_answers` lets
    bytes reach the server, and none of its answers come back.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, *, address: str = "127.0.0.1") -> None:
        self.target = ("127.0.0.1", port)
        self._asks, self._answers = threading.Event(), threading.Event()
        self.heal()
        super().__init__((address, 0), _Connection)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def cut(self) -> None:
        self._asks.clear()
        self._answers.clear()

    def lose_answers(self) -> None:
        self._answers.clear()

    def heal(self) -> None:
        self._asks.set()
        self._answers.set()

    def end(self) -> None:
        self.heal()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections of processes that are killed end with errors."""


class _Connection(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        self.server._asks.wait()
        with socket.create_connection(self.server.target) as there:
            answers = threading.Thread(target=_forward, args=(there, self.request, self.server._answers), daemon=True)
            answers.start()
            _forward(self.request, there, self.server._asks)
            answers.join()


def _forward(source: socket.socket, target: socket.socket, is_open: threading.Event) -> None:
    with suppress(OSError):
        while found := source.recv(1 << 16):
            is_open.wait()
            target.sendall(found)
    # The other side learns that nothing more comes.
    is_open.wait()
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
