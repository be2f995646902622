"""Names this process, so that others of the same machine can say whether it has ended."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def current() -> str:
    """Return host, process id and start of this process, with spaces between: an id may be given out again."""
    pid = str(os.getpid())
    return f"{socket.gethostname()} {pid} {_started(pid)}"


def has_ended(name: str) -> bool:
    """Say whether this process is known to have ended; of one of another machine nothing is known."""
    host, pid, started = name.split(" ")
    return host == socket.gethostname() and bool(started) and _started(pid) != started


def _started(pid: str) -> str:
    """Return when a process began, in ticks since the machine did; "" where there is none, or this is no Linux."""
    try:
        # proc(5): the name, in parentheses, may hold anything; `starttime` is the 20th field behind it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
