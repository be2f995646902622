"""Forks this process, where a fork is whole, and asks the kernel of Linux for what forks need."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from django.db import connections

T = TypeVar("T")

#: From prctl(2). Children of a child that has ended become children of this process, which then waits for their end.
_SET_CHILD_SUBREAPER, _SET_NAME, _SET_PARENT_DEATH_SIGNAL = 36, 15, 1
_allowed: list[int] = []


def allow() -> None:
    """Allow this process to fork. Only a program does so: the process of a test has much that no fork may share."""
    _allowed.append(os.getpid())


def may_fork() -> bool:
    """Return whether a fork of this process is whole: there is no other thread, and no connection to the database."""
    is_alone = sys.platform == "linux" and os.getpid() in _allowed and threading.active_count() == 1
    return is_alone and all(each.connection is None for each in connections.all(initialized_only=True))


def _control(option: int, value: Any) -> bool:
    """Call prctl(2). Return whether it did what was asked for."""
    return not ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def adopt() -> bool:
    """Make the parts children of this process, although the nursery forks them."""
    return _control(_SET_CHILD_SUBREAPER, 1)


def name_process(*words: str) -> None:
    """Make `ps` and `top` show these words for this process. They replace its command line, as far as they fit."""
    _control(_SET_NAME, "-".join(words).encode()[:15])
    with contextlib.suppress(OSError, ValueError, IndexError):
        # `arg_start` and `arg_end`, fields 48 and 49 of proc_pid_stat(5).
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, end = int(fields[45]), int(fields[46])
        if 0 < begin < end:
            line = b"\0".join(word.encode() for word in words)[: end - begin - 1]
            ctypes.memset(begin, 0, end - begin)
            ctypes.memmove(begin, line, len(line))


class Aside(Generic[T]):
    """A function that runs in a fork of this process, so that it leaves no memory and no connection here.

    Where this process can't fork, the function runs here.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function, self._pid = function, 0
        if not may_fork():
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._reading)
            # It may wait for a database that never comes.
            _control(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            _answer(function, writing)
        os.close(writing)

    def result(self) -> T:
        """Wait for the function. Return what it has returned, or raise what it has raised."""
        if not self._pid:
            return self._function()
        with open(self._reading, "rb") as answer:
            found = answer.read()
        os.waitpid(self._pid, 0)
        if not found:
            raise RuntimeError("A step of the start was killed.")
        # The bytes come from a fork of this very process.
        is_good, value = pickle.loads(found)  # noqa: S301
        if is_good:
            return value
        raise value


def _answer(function: Callable[[], Any], writing: int) -> NoReturn:
    try:
        try:
            found = pickle.dumps((True, function()))
        except BaseException as failure:
            failure.add_note("".join(traceback.format_tb(failure.__traceback__)))
            found = _packed(failure)
        with open(writing, "wb") as answer:
            answer.write(found)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(0)


def _packed(failure: BaseException) -> bytes:
    if isinstance(failure, SystemExit):
        # It may be of a class that has printed its reason when it was made.
        failure = SystemExit(failure.code)
    try:
        packed = pickle.dumps((False, failure))
        pickle.loads(packed)  # noqa: S301 - whether the other process can read it
        return packed
    except Exception:
        return pickle.dumps((False, RuntimeError(f"{type(failure).__name__}: {failure}")))
