"""Starts a child process in its own session, copies its output, and ends it with all processes that it has started."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

_PROC = Path("/proc")
_printing = threading.Lock()


class Child:
    """One running process and its session."""

    def __init__(self, label: str, command: list[str], *, env: dict[str, str], cwd: Path) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - the command is built by the supervisor, not from input
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches the terminal's whole process group. django-q2 hangs if its workers receive the signal as
            # well.
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.pump = threading.Thread(target=_pass_on, args=(label, self.process.stdout), daemon=True)
        self.pump.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Send SIGTERM only to the main process. It knows in which order to stop its own children."""
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and all its descendants immediately, even if the main process has ended before them."""
        kill_tree(self.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=2)
        self.pump.join(timeout=1)


def kill_tree(leader: int) -> None:
    """Send SIGKILL to the session led by `leader` and to all descendants.

    Repeat this for processes that started meanwhile.
    """
    for _ in range(3):
        members = tree(leader)
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not members:
            break
    # Without /proc, only the session's own process group is known.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def tree(leader: int) -> list[int]:
    """Return the living processes of the session led by `leader`, and their descendants in any session."""
    parents = dict(_processes())
    members = {pid for pid, (_, session) in parents.items() if session == leader}
    grown = True
    while grown:
        children = {pid for pid, (parent, _) in parents.items() if parent in members} - members
        members |= children
        grown = bool(children)
    return sorted(members)


def is_stopped(pid: int) -> bool:
    """Return whether a process was stopped by a signal: it still exists but does not run."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def _processes() -> list[tuple[int, tuple[int, int]]]:
    """Read (process, (parent, session)) from /proc, without zombies; see proc_pid_stat(5)."""
    found = []
    for entry in _PROC.glob("[0-9]*/stat"):
        try:
            # The second field is the command in brackets. The command itself can contain brackets and spaces.
            state, parent, _group, session = entry.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if state not in "ZX":
            found.append((int(entry.parent.name), (int(parent), int(session))))
    return found


def _pass_on(label: str, lines: IO[bytes]) -> None:
    """Copy each line to this process's output after the child's label. Continue to read even if writing fails.

    A child blocks if nobody reads its output.
    """
    with lines:
        for line in lines:
            say(label, line.decode(errors="replace").rstrip("\n"))


def say(label: str, text: str) -> None:
    """Print one whole line. Ignore errors, so that the child is not blocked if nobody reads this output any more."""
    with _printing, contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{label:<9} | {text}\n")
        sys.stdout.flush()
