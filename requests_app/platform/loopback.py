"""Recognises names and addresses that lead back to the same machine."""

from __future__ import annotations

import ipaddress

_NAMES = frozenset({"localhost", "ip6-localhost"})


def is_loopback(host: str) -> bool:
    """Return whether this name or IP address never leaves the machine. A name is not looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in _NAMES
