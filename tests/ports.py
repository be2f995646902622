"""Ports for the servers that tests start."""

from __future__ import annotations

import functools
import itertools
import socket
from collections.abc import Iterator

#: Below the ports that Linux gives to programs that ask for any port. The web server shares its port with every process
#: that asks for it, so two tests at once would get each other's answers. Each process, of this run and of a parallel
#: one, has its own hundred.
FIRST, LAST, EACH = 21_000, 32_000, 100


@functools.cache
def _ports_of_process() -> tuple[Iterator[int], socket.socket]:
    """The ports of this process. It holds the port before them until it ends, and so shows the others that they are
    taken.
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
    """A port that nobody uses now, and that no other process gets."""
    ports, _held = _ports_of_process()
    for port in itertools.islice(ports, EACH):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("none of this process's ports is free")
