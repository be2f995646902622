"""A proxy to PostgreSQL that fails on command: it loses responses, passes nothing on, or breaks at COMMIT.

    with Wire(host, port) as wire:
        connect to 127.0.0.1, wire.port
        wire.next_commit = AtCommit.LOSE_ANSWER

It reads just enough of the protocol (PostgreSQL, chapter 55) to find a COMMIT. It refuses TLS, as a server without a
certificate does.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, Self

_READY_FOR_QUERY = b"Z\x00\x00\x00\x05I"
#: The codes of an SSLRequest and a GSSENCRequest, which a client sends before anything else.
_ENCRYPTION = frozenset({80877103, 80877104})


class AtCommit(Enum):
    """What the proxy is to do with the next COMMIT."""

    #: COMMIT does not reach the server, and the connection breaks: nothing is saved.
    LOSE_REQUEST = auto()
    #: COMMIT is carried out, and the connection breaks before the response: everything is saved.
    LOSE_ANSWER = auto()
    #: COMMIT is carried out, and the response never comes. The connection stays open.
    WITHHOLD_ANSWER = auto()
    #: COMMIT does not reach the server, and no response comes. The connection stays open.
    WITHHOLD_REQUEST = auto()


class Wire:
    """Listens on a port of its own, and passes all data on in both directions."""

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self.next_commit: AtCommit | None = None
        #: How many COMMITs pass before `next_commit` applies.
        self.commits_before = 0
        self.commits = 0
        self.connections = 0
        self._is_open = threading.Event()
        self._is_open.set()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._is_open.set()
        self.refuse()
        self.cut()

    def freeze(self) -> None:
        """Pass nothing on any more, in either direction. Connections stay open, and new ones are still accepted."""
        self._is_open.clear()

    def thaw(self) -> None:
        """Pass on what has waited since `freeze`, and continue."""
        self._is_open.set()

    def refuse(self) -> None:
        """Accept no more connections."""
        with contextlib.suppress(OSError):
            # `close()` alone does not end the thread that waits in `accept()`.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Break all connections."""
        with self._lock:
            for end in self._live:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self.connections += 1
        self._is_open.wait()
        try:
            server = socket.create_connection(self.server)
        except OSError:
            client.close()
            return
        with self._lock:
            self._live |= {client, server}
        line = _Line(self, client, server)
        back = threading.Thread(target=line.pass_back, daemon=True)
        back.start()
        line.pass_on()
        back.join(timeout=120)
        with self._lock:
            self._live -= {client, server}
        client.close()
        server.close()

    def fate(self) -> AtCommit | None:
        """Return what to do with the COMMIT that has just arrived, or None to pass it on."""
        with self._lock:
            self.commits += 1
            if self.next_commit is None:
                return None
            if self.commits_before:
                self.commits_before -= 1
                return None
            fate, self.next_commit = self.next_commit, None
            return fate

    def wait_open(self) -> None:
        self._is_open.wait()


class _Line:
    """One connection through the proxy."""

    def __init__(self, wire: Wire, client: socket.socket, server: socket.socket) -> None:
        self.wire, self.client, self.server = wire, client, server
        self.fate: AtCommit | None = None

    def pass_on(self) -> None:
        """Pass data from the client to the server, one message after the other."""
        with contextlib.suppress(OSError):
            for message in self._messages():
                self.wire.wait_open()
                if _is_commit(message):
                    self.fate = self.wire.fate()
                    if self.fate is AtCommit.LOSE_REQUEST:
                        return self._break()
                    if self.fate is AtCommit.WITHHOLD_REQUEST:
                        continue
                self.server.sendall(message)
        self._break()
        return None

    def pass_back(self) -> None:
        """Pass data from the server to the client as it arrives."""
        with contextlib.suppress(OSError):
            answer = b""
            while data := self.server.recv(65536):
                self.wire.wait_open()
                if self.fate in (AtCommit.LOSE_ANSWER, AtCommit.WITHHOLD_ANSWER):
                    answer += data
                    if self.fate is AtCommit.LOSE_ANSWER and _READY_FOR_QUERY in answer:
                        return self._break()
                    continue
                self.client.sendall(data)
        self._break()
        return None

    def _break(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _messages(self) -> Iterator[bytes]:
        """Yield the client's messages. The start-up message has no type. Requests for encryption can come before it."""
        while True:
            length = self._exactly(4)
            if length is None:
                return
            rest = self._exactly(struct.unpack("!I", length)[0] - 4)
            if rest is None:
                return
            if struct.unpack("!I", rest[:4])[0] in _ENCRYPTION:
                self.client.sendall(b"N")
                continue
            yield length + rest
            break
        while kind := self._exactly(1):
            length = self._exactly(4)
            if length is None:
                return
            rest = self._exactly(struct.unpack("!I", length)[0] - 4)
            if rest is None:
                return
            yield kind + length + rest

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            piece = self.client.recv(size - len(data))
            if not piece:
                return None
            data += piece
        return data


def _is_commit(message: bytes) -> bool:
    """Return whether a message is a COMMIT: a simple query (Q) or a Parse message (P), whose text follows a name."""
    text = message[5:] if message[:1] == b"Q" else message[5:].split(b"\0", 1)[-1] if message[:1] == b"P" else b""
    return text.lstrip().upper().startswith(b"COMMIT")


@contextlib.contextmanager
def through(wire: Wire, connection: Any) -> Iterator[None]:
    """Lead a connection of Django through the proxy. Threads that connect inside the block use the proxy too."""
    inherited = {name: connection.settings_dict[name] for name in ("HOST", "PORT")}
    connection.close()
    connection.settings_dict.update({"HOST": "127.0.0.1", "PORT": wire.port})
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(inherited)
