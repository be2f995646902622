"""How much of a download the kernel holds, and how long for a client that takes none of it.

What a server has handed to the kernel can't be called back. Linux lets that grow to megabytes for each connection, and
a client that stopped reading still gets them after its window was closed.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress

#: What the kernel may hold of one connection, in bytes; Linux doubles the number, for its own book-keeping.
SEND_BUFFER = 64 * 1024
#: A client that takes nothing for so long has its connection ended: it holds a thread.
STALLED_SECONDS = 60


def narrow(port: int) -> None:
    """Hold this process's connections on this port to the limits. Does nothing where a system doesn't show them.

    The web server names neither its sockets nor the client's port, so all of them are taken; once is enough for each.
    """
    for connection in _sockets():
        # One that another thread closes meanwhile needs no limits.
        with connection, suppress(OSError):
            if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.getsockname()[1] == port:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)


def _sockets() -> Iterator[socket.socket]:
    """This process's sockets, each as a copy that can be closed without closing the connection."""
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            copy = os.dup(int(name))
            try:
                found = socket.socket(fileno=copy) if stat.S_ISSOCK(os.fstat(copy).st_mode) else None
            except OSError:
                found = None
            if found is None:
                os.close(copy)
                continue
            yield found
