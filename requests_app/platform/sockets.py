"""Limits how much of an answer the kernel holds, and for how long. Reports how much of it a client has received.

Data that was passed to the kernel can't be taken back. Linux may hold megabytes for each connection, and a slow client
would still receive them after the window was closed.

This module never opens, copies or closes a file descriptor of this process. In POSIX, closing any descriptor of a file
drops all `fcntl` locks of the process on that file, even if the descriptor was only a copy. SQLite uses such locks, and
without them two processes would write to the database at the same time.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

#: The most bytes that the kernel may hold for one connection. Linux doubles this number for its own use.
SEND_BUFFER = 64 * 1024
#: A connection is ended if its client reads nothing for this long.
STALLED_SECONDS = 60
#: The position of `tcpi_bytes_acked` in Linux's `struct tcp_info` (4.1 and later), and the length up to its end.
_ACKED_AT, _INFO_LENGTH = 120, 128
_ACKED = struct.Struct("Q")


def narrow(port: int) -> None:
    """Limit the kernel's buffer and waiting time for all connections to this port of this process.

    Call it once, before the first connection: the limits are set on the listening sockets, and each connection inherits
    them. It does nothing if the system can't list the file descriptors of a process.
    """
    for number in _descriptors():
        # Another thread may close the descriptor at any time, and SQLite may then get the same number. In that case
        # these calls fail and change nothing, because a file is no socket.
        with suppress(OSError), _borrowed(number) as connection:
            if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
                continue
            if connection.getsockname()[1] == port:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)


class Gone(OSError):
    """The client has disconnected."""


class Line:
    """The connection of one client. It asks the kernel how much the client has received.

    The client is identified by the address and port that the web server reports. The web server owns the file
    descriptor. It may close the descriptor at any time, and the system may use the number again. So each call checks
    that the descriptor still belongs to this client.
    """

    def __init__(self, number: int, family: int, peer: Any) -> None:
        self._number, self._family = number, family
        #: As the kernel reports it.
        self._peer = peer

    @classmethod
    def of(cls, client: str) -> Line | None:
        """Return the connection of this client. Return None if the system can't report what the client has received."""
        if not hasattr(socket, "TCP_INFO") or not (peer := _address(client)):
            return None
        number = _KNOWN.number_of(peer)
        if number is None:
            return None
        with suppress(OSError), _borrowed(number) as connection:
            connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_LENGTH)
            # The number may belong to another connection since it was looked up.
            if _peer_of(connection) == peer:
                return cls(number, connection.family, connection.getpeername())
        return None

    def acknowledged(self) -> int:
        """Return how many bytes the client has received since the connection began.

        Raise Gone if the client disconnected.
        """
        # Each of hundreds of downloads asks several times a second. So this has no context managers, and with the
        # family, Python does not ask the kernel what kind of socket this is.
        connection = None
        try:
            connection = socket.socket(self._family, socket.SOCK_STREAM, 0, self._number)
            if connection.getpeername() != self._peer:
                raise Gone
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_LENGTH)
        except OSError as error:
            raise Gone from error
        finally:
            # Without this, the descriptor would be closed together with the socket object.
            if connection is not None:
                connection.detach()
        if len(info) < _INFO_LENGTH:
            raise Gone
        return int(_ACKED.unpack_from(info, _ACKED_AT)[0])

    def waiting(self) -> int:
        """Return how many bytes the kernel still holds for the client. Raise Gone if the client disconnected."""
        with self._connected() as connection:
            return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0])

    def hang_up(self) -> None:
        """End the connection immediately, even if data waits to be sent. It is safe to call this more than once."""
        with suppress(OSError), self._connected() as connection:
            connection.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        try:
            with _borrowed(self._number) as connection:
                if connection.getpeername() != self._peer:
                    raise Gone
                yield connection
        except OSError as error:
            raise Gone from error


class _Known:
    """The file descriptors of this process's connections, by the address of the client.

    Each descriptor is looked up only once. Looking up thousands of descriptors for each answer would use all cores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The kernel's number (inode) of each descriptor's socket, when the descriptor was looked up.
        self._seen: dict[int, int] = {}
        self._numbers: dict[tuple[str, int], int] = {}

    def number_of(self, peer: tuple[str, int]) -> int | None:
        with self._lock:
            for unseen in (list, self._new, self._changed):
                for number in unseen():
                    self._note(number)
                found = self._numbers.get(peer)
                if found is None:
                    continue
                with suppress(OSError), _borrowed(found) as connection:
                    if connection.type == socket.SOCK_STREAM and _peer_of(connection) == peer:
                        return found
        return None

    def _note(self, number: int) -> None:
        with suppress(OSError), _borrowed(number) as connection:
            if connection.type == socket.SOCK_STREAM and (peer := _peer_of(connection)):
                self._numbers[peer] = number

    def _new(self) -> list[int]:
        found = {number: _inode(number) for number in _descriptors() if number not in self._seen}
        self._seen |= found
        return list(found)

    def _changed(self) -> list[int]:
        now = {number: _inode(number) for number in _descriptors()}
        before, self._seen = self._seen, now
        self._numbers = {
            peer: number for peer, number in self._numbers.items() if before.get(number) == now.get(number, -1)
        }
        return [number for number, inode in now.items() if before.get(number) != inode]


_KNOWN = _Known()


def _inode(number: int) -> int:
    try:
        return os.fstat(number).st_ino
    except OSError:
        # The descriptor was closed meanwhile.
        return -1


def _address(client: str) -> tuple[str, int] | None:
    host, _colon, port = client.rpartition(":")
    try:
        return str(ipaddress.ip_address(host.strip("[]").partition("%")[0])), int(port)
    except ValueError:
        return None


def _peer_of(connection: socket.socket) -> tuple[str, int] | None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    host, port = connection.getpeername()[:2]
    return str(ipaddress.ip_address(host.partition("%")[0])), int(port)


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return []


@contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """Yield a socket object for a descriptor that another object owns, and leave the descriptor open afterwards.

    Raise OSError if the descriptor is not a socket.
    """
    connection = socket.socket(fileno=number)
    try:
        yield connection
    finally:
        # Without this, the descriptor would be closed together with the socket object.
        connection.detach()
