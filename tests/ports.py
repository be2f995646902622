"""Ports for the servers that tests start."""

from __future__ import annotations

import functools
import itertools
import socket
from collections.abc import Iterator

#: These ports are below those that Linux gives to programs that ask for any free port. Web servers of two tests could
#: otherwise share one port, and each test would get the other's responses. So each process, also of a parallel run, has
#: a hundred ports of its own.
FIRST, LAST, EACH = 21_000, 32_000, 100


@functools.cache
def _ports_of_process() -> tuple[Iterator[int], socket.socket]:
    """Return the ports that only this process uses, and the socket that reserves them.

    The socket is bound to the port before them until the process ends. Other processes see this and take other ports.
    """
    for flag in range(FIRST, LAST, EACH):
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", flag))
        except OSError:
            listener.close()
            continue
        return itertools.cycle(range(flag + 1, flag + EACH)), listener
    raise AssertionError("other test runs have all ports")


def free_port() -> int:
    """Return a port that nobody uses now, and that no other process of the run will get."""
    ports, _held = _ports_of_process()
    for port in itertools.islice(ports, EACH):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("none of this process's ports is free")
