"""Tells systemd that this process works, if systemd has asked for this (sd_notify(3), WatchdogSec=)."""

from __future__ import annotations

import contextlib
import os
import socket

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


def tell(words: str) -> None:
    """Send a message to the socket that systemd named in NOTIFY_SOCKET. Do nothing if no such socket receives it."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain:
        plain.setblocking(False)
        # A name in the abstract namespace begins with a zero byte.
        plain.sendto(words.encode(), f"\0{place[1:]}" if place.startswith("@") else place)
