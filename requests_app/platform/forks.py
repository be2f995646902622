"""Forks this process, where a fork is whole, and asks the kernel of Linux for what forks need."""

from __future__ import annotations

import contextlib
import ctypes
import marshal
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from django.db import connections

T = TypeVar("T")

#: From prctl(2). Children of a child that has ended become children of this process, which then waits for their end.
_SET_CHILD_SUBREAPER, _SET_NAME, _SET_PARENT_DEATH_SIGNAL = 36, 15, 1
_LENGTH = 8
_allowed: list[int] = []


def allow() -> None:
    """Allow this process to fork. Only a program does so: the process of a test has much that no fork may share."""
    _allowed.append(os.getpid())


def may_fork() -> bool:
    """Return whether a fork of this process is whole: there is no other thread, and no connection to the database."""
    return is_alone() and all(each.connection is None for each in connections.all(initialized_only=True))


def is_alone() -> bool:
    """Return whether only connections to the database may prevent a fork."""
    return sys.platform == "linux" and os.getpid() in _allowed and threading.active_count() == 1


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
        if may_fork():
            self._pid, self._reading = _forked(partial(_answer, function))

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


def _forked(work: Callable[[int], NoReturn]) -> tuple[int, int]:
    """Call the function in a fork, with a pipe that it writes to. Return the fork's id, and the pipe's other end."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        # It may wait for a database that never comes.
        _control(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        work(writing)
    os.close(writing)
    return pid, reading


class Helper:
    """Makes items in a fork of this process, while this process makes others.

    An item has only what `marshal` can write. The fork waits until somebody takes the item that it has made.
    """

    def __init__(self, function: Callable[[], Iterable[Any]]) -> None:
        self._pid, reading = _forked(partial(_write_items, function))
        self._items = open(reading, "rb")  # noqa: SIM115 - `close` closes it

    def take(self) -> Any:
        """Return the next item, or None if the fork has ended. If it had an error, this process makes the same one."""
        length = self._items.read(_LENGTH)
        size = int.from_bytes(length)
        data = self._items.read(size)
        # The bytes come from a fork of this very process.
        return marshal.loads(data) if len(length) == _LENGTH and len(data) == size else None  # noqa: S302

    def close(self) -> None:
        if self._pid:
            self._items.close()
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0


def _write_items(function: Callable[[], Iterable[Any]], writing: int) -> NoReturn:
    try:
        with open(writing, "wb") as target:
            for item in function():
                data = marshal.dumps(item)
                target.write(len(data).to_bytes(_LENGTH) + data)
                target.flush()
    finally:
        # An error needs no report: the parent finds that nothing comes, and makes the same items.
        os._exit(0)


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
