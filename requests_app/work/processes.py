"""Runs a child process in a session of its own: copies its output, and ends it together with all its descendants."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

_PROC = Path("/proc")
_printing = threading.Lock()


class Running(Protocol):
    """A process as `subprocess.Popen` shows it."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int: ...
    def send_signal(self, number: int) -> None: ...
    def kill(self) -> None: ...


#: Starts a process that writes to this descriptor, or returns None if it can't.
Fork = Callable[[int], Running | None]


class Child:
    """A running child process, with all processes of its session."""

    def __init__(
        self, label: str, command: list[str], *, env: dict[str, str], cwd: Path, fork: Fork = lambda _: None
    ) -> None:
        """Start the process with `fork`. If that can't be, run the command."""
        reading, writing = os.pipe()
        try:
            self.process: Running = fork(writing) or _run(command, env=env, cwd=cwd, output=writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.pump = threading.Thread(target=_pass_on, args=(label, os.fdopen(reading, "rb")), daemon=True)
        self.pump.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the main process only, which stops its own children in the right order."""
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and all its descendants immediately, even if the main process has ended before them."""
        kill_tree(self.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=2)
        self.pump.join(timeout=1)


def _run(command: list[str], *, env: dict[str, str], cwd: Path, output: int) -> Running:
    return subprocess.Popen(  # noqa: S603 - the command is built by the supervisor, not from input
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # Ctrl-C reaches the terminal's whole process group. django-q2 hangs if its workers receive the signal as
        # well.
        start_new_session=True,
    )


def kill_tree(leader: int) -> None:
    """Send SIGKILL to all processes of the session led by `leader`, and to all descendants in other sessions.

    Try up to three times, because new processes can start meanwhile.
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
    """Return whether a signal has stopped the process (SIGSTOP): it exists, but does not run."""
    try:
        # Asked every second. With a Path and a text file, this would take three times as long.
        found = os.open(f"{_PROC}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(found, 4096).rpartition(b")")[2].split()[0] == b"T"
        finally:
            os.close(found)
    except (OSError, IndexError):
        return False


def _processes() -> list[tuple[int, tuple[int, int]]]:
    """Return (process, (parent, session)) for each process in /proc, except zombies. See proc_pid_stat(5)."""
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
    """Copy each line to this process's own output, with the child's label in front.

    If writing fails, continue to read: a child blocks if nobody reads its output.
    """
    with lines:
        for line in lines:
            say(label, line.decode(errors="replace").rstrip("\n"))


def say(label: str, text: str) -> None:
    """Print one whole line, with the label in front unless it is "".

    Errors are ignored: nobody may read this output any more, and the child must not block.
    """
    with _printing, contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{label:<9} | {text}\n" if label else f"{text}\n")
        sys.stdout.flush()
