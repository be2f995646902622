"""Names this process, so that other processes of the machine can tell whether it has ended."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def current() -> str:
    """Return host, process id and start time of this process, as ids are reused."""
    pid = str(os.getpid())
    return f"{socket.gethostname()} {pid} {_started(pid)}"


def has_ended(name: str) -> bool:
    """Return whether this process has certainly ended; False for a process of another machine."""
    host, pid, started = name.split(" ")
    return host == socket.gethostname() and bool(started) and _started(pid) != started


def _started(pid: str) -> str:
    """Return when a process began, in ticks since the machine did; "" if it does not exist, or this is not Linux."""
    try:
        # proc(5): the name, in parentheses, may contain anything; `starttime` is the 20th field after it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
