"""Gives this process a name, so that other processes of the same machine can check whether it has ended."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def current() -> str:
    """Return the host, process id and start time of this process.

    The process id is not enough, because the system uses an id again after a process has ended.
    """
    pid = str(os.getpid())
    return f"{socket.gethostname()} {pid} {_started(pid)}"


def has_ended(name: str) -> bool:
    """Return whether the named process has certainly ended. For a process of another machine, return False."""
    host, pid, started = name.split(" ")
    return host == socket.gethostname() and bool(started) and _started(pid) != started


def _started(pid: str) -> str:
    """Return the start time of a process, in clock ticks since the machine started.

    Return "" if the process does not exist, or if the system is not Linux.
    """
    try:
        # The name of the program is in parentheses and may contain anything. `starttime` is the 20th field after it
        # (proc(5)).
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
