"""Checks whether a server can listen at a host and port."""

from __future__ import annotations

import socket
from collections.abc import Callable


def why_not(host: str, port: int, *, choosing: Callable[[int], str]) -> str:
    """Return why no server can listen at this host and port, and what to do. Return "" if one can.

    `choosing(port)` is the command or the flag that chooses another port.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # `localhost` has two addresses, and the server uses the one of IPv4.
        family, kind, _protocol, _name, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        with socket.socket(family, kind) as probe:
            # The server sets this option, too: a port whose last connection is still closing counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except PermissionError:
        return f"This account can't open port {port}. Choose a port above 1023: {choosing(8000)}"
    except (socket.gaierror, UnicodeError):  # UnicodeError: the text can't be a host name
        return f"HOST={host} is not an address of this machine."
    except OSError as failure:
        words = f"Port {port} on {host} is in use ({failure.strerror})."
        return f"{words} Try another port: {choosing(port % 65535 + 1)}"
    return ""
