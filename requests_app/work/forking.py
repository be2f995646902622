"""Starts the parts as forks of one process that has loaded the program: they share its memory and start at once.

The supervisor has threads, and a process with threads must not fork. So before it starts its first thread it forks the
*nursery*: a process that does nothing but fork. The nursery has no thread, no connection to the database and no open
file of the program. If it has ended, or can't be made, the supervisor runs the parts as programs of their own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from requests_app.domain import clock
from requests_app.platform import forks, shared_memory

_ORDER_BYTES = 65_536
#: How long the supervisor waits for the nursery, which needs some milliseconds, and until when a part may begin. A part
#: that comes up later would run beside the program that the supervisor starts in its place.
ANSWER_SECONDS, BEGINS_WITHIN = 5.0, 2.5
#: The module of the site that loads what the parts need, and runs a part.
_SITE = "lockbox_site.parts"


class Forked:
    """A process that the nursery has forked. It has what the supervisor uses of a Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = self.pid, 0
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        until = clock.monotonic() + timeout
        while self.poll() is None:
            if clock.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        # Nobody else waits for this process, so its number can't belong to another one.
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The supervisor's end of the socket to the nursery."""

    def __init__(self) -> None:
        """Fork the nursery. What this process has loaded until now is shared with all parts."""
        self._orders: socket.socket | None = None
        self.pid = 0
        if not forks.may_fork() or not forks.adopt():
            return
        shared_memory.stay()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if not self.pid:
            _at_work(its, ours)
        its.close()
        ours.settimeout(ANSWER_SECONDS)
        self._orders = ours

    def start(
        self, words: Sequence[str], *, title: str, env: Mapping[str, str], output: int, entry: int | None = None
    ) -> Forked | None:
        """Fork a part, which writes to the descriptor `output`. Return None if there is no nursery any more.

        `entry` is its standard input. Without it, the part can read nothing.
        """
        if self._orders is None:
            return None
        order = {
            "words": list(words), "title": title,
            "set": {name: value for name, value in env.items() if os.environ.get(name) != value},
            "unset": [name for name in os.environ if name not in env],
            "until": clock.monotonic() + BEGINS_WITHIN,
        }  # fmt: skip
        try:
            given = [output] if entry is None else [output, entry]
            socket.send_fds(self._orders, [json.dumps(order).encode()], given)
            if pid := int(self._orders.recv(64) or 0):
                return Forked(pid)
        except (OSError, ValueError):
            pass
        self.close()
        return None

    def reap(self, known: set[int]) -> None:
        """Take note of the end of those children that nobody else waits for: the orphans of parts that have ended."""
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in known:
                    return
                os.waitpid(found.si_pid, 0)
                if found.si_pid == self.pid:
                    self._lose()

    def close(self) -> None:
        """End the nursery. The parts that it has forked run on."""
        if self._orders is not None:
            self._lose()
            with contextlib.suppress(OSError):
                # It may be stopped, so that it does not see that the socket is closed.
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)

    def _lose(self) -> None:
        if self._orders is not None:
            self._orders.close()
            self._orders = None


class Wakening:
    """Is readable when a signal has arrived, such as the one about the end of a child."""

    _reading = _writing = -1

    def begin(self) -> None:
        """Notice signals from now on. Call this in the main thread."""
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reading

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reading, 512):
                pass

    def end(self) -> None:
        if self._reading == -1:
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._reading, self._writing):
            os.close(end)
        self._reading = self._writing = -1


def load(kinds: Collection[str]) -> None:
    """Load what these kinds of parts need, if they will be forks of this process."""
    if forks.may_fork():
        import_module(_SITE).load(kinds)


def warm_up(kinds: Collection[str]) -> None:
    """Fill the caches of this process that all parts share. Call this when the installation is known to be fit."""
    if forks.may_fork():
        import_module(_SITE).warm_up(kinds)


# --- In the nursery ------------------------------------------------------------------------------------------


def _at_work(orders: socket.socket, other: socket.socket) -> NoReturn:
    """Fork what the supervisor orders, until it closes its socket or ends."""
    try:
        # Signals of a terminal reach the whole group. The supervisor still needs this process until it has stopped.
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        other.close()
        forks.name_process("lockbox", "nursery")
        while True:
            data, given, _flags, _address = socket.recv_fds(orders, _ORDER_BYTES, 2)
            if not data:
                os._exit(0)
            pid = _fork(json.loads(data), given, orders)
            for descriptor in given:
                os.close(descriptor)
            orders.send(str(pid).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _fork(order: dict[str, Any], given: list[int], orders: socket.socket) -> int:
    """Fork a part and return its process id, or 0 if it has come too late. The process between this one and the part
    ends at once.

    So the part becomes a child of the supervisor, which then learns how it ends.
    """
    reading, writing = os.pipe()
    between = os.fork()
    if not between:
        os.close(reading)
        if os.fork():
            os._exit(0)
        _become(order, given, writing, orders)
    os.close(writing)
    os.waitpid(between, 0)
    try:
        return int(os.read(reading, 32) or 0)
    finally:
        os.close(reading)


# --- In a part -----------------------------------------------------------------------------------------------


def _become(order: dict[str, Any], given: list[int], writing: int, orders: socket.socket) -> NoReturn:
    code = 1
    try:
        if clock.monotonic() > order["until"]:
            # The supervisor may not wait any more, and would never end this part.
            os._exit(1)
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output, *entry = given
        with open(os.devnull, "rb") as nothing:
            os.dup2(entry[0] if entry else nothing.fileno(), 0)
        for standard in (1, 2):
            os.dup2(output, standard)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
        for descriptor in given:
            os.close(descriptor)
        orders.close()
        os.write(writing, str(os.getpid()).encode())
        os.close(writing)
        for name in order["unset"]:
            os.environ.pop(name, None)
        os.environ.update(order["set"])
        forks.name_process("lockbox", *order["title"].split())
        import_module(_SITE).run(order["words"])
        code = 0
    except SystemExit as end:
        code = _code_of(end)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


def _code_of(end: SystemExit) -> int:
    """Return the exit code, as Python itself does at the end of a program."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1
