"""Limits how much of a download the kernel holds, and how long it waits for a client that reads nothing.

Data that the server has handed to the kernel can't be called back. Linux lets that grow to megabytes for each
connection, and a client that stopped reading would still get them after its window was closed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: What the kernel may hold of one connection, in bytes; Linux doubles the number, for its own book-keeping.
SEND_BUFFER = 64 * 1024
#: A client that reads nothing for this long has its connection ended, because it holds a thread.
STALLED_SECONDS = 60


def narrow(port: int) -> None:
    """Hold this process's connections on this port to the limits. Does nothing where a system doesn't list them.

    The web server names neither its sockets nor the client's port, so this takes all of them; once is enough for each.

    It opens, copies and closes no descriptor of this process. By POSIX, closing any descriptor of a file drops every
    `fcntl` lock that the process holds on that file, also when the descriptor was only a copy. SQLite's locks are of
    that kind, and without them two processes write to the database at once.
    """
    for number in _descriptors():
        # Another thread may close the number at any time, and SQLite may get it. Then these calls fail and change
        # nothing, because a file is no socket.
        with suppress(OSError), _borrowed(number) as connection:
            if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
                continue
            if connection.getsockname()[1] == port:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return []


@contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """Give the socket of a descriptor that somebody else owns; never close it. Raises OSError if it is no socket."""
    connection = socket.socket(fileno=number)
    try:
        yield connection
    finally:
        # Without this the descriptor would be closed together with the object.
        connection.detach()
