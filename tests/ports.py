"""Ports for the servers that tests start."""

from __future__ import annotations

import itertools
import os
import socket

#: Below what Linux gives to those who ask for any port, and a hundred for each worker of the run: the web server shares
#: its port with whoever else asks for it, so two tests at once would get each other's answers.
EACH = 100
_FIRST = 21_000 + EACH * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_NEXT = itertools.cycle(range(_FIRST, _FIRST + EACH))


def free_port() -> int:
    """A port that nobody uses now, and that no other worker is told of."""
    for port in itertools.islice(_NEXT, EACH):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError(f"none of the ports from {_FIRST} on is free")
