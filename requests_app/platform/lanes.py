"""Lets one thread do the work of all callers of a process, as many as wait at that moment.

A caller that arrives while the thread is idle is served at once, alone. While the thread works, the others gather, and
the thread then takes all of them. Those who were served often come again at once, and a larger portion costs less for
each piece. So if several callers are there, the thread waits for those whom it has just served, as long as they come.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

import structlog
from django.db import connections

from requests_app.platform.database import bounds
from requests_app.platform.database.turns import TURNS
from requests_app.platform.frames import in_one_chunk

#: From this number of callers on, the thread waits for those whom it has just served, for at most so many seconds.
GATHERS_FROM, GATHERS_FOR = 4, 0.01
#: If none of them has come by then, the first one who comes within so many seconds is no reason to begin.
LATE_FOR = 0.05
#: An idle thread ends after this time, and closes its connection to the database.
IDLE_SECONDS = 30.0
log = structlog.get_logger(__name__)


class GaveUp(Exception):
    """A thread has waited too long for a result. The work may still be done."""


class LaneFull(Exception):
    """Too many wait already, or this one has waited too long. Nothing was begun."""


class Piece(Protocol):
    """What a caller brings. `size` says how much work it is."""

    @property
    def size(self) -> int: ...

    def begin(self) -> bool:
        """Return False if the caller has gone. Nobody then begins the work."""
        ...

    def fail(self, error: Exception) -> None:
        """Tell the caller that there is no result. Do nothing if there is one already."""
        ...


P = TypeVar("P", bound=Piece)
#: How long a thread waits for a result, and how often it then looks whether it still may wait.
PATIENCE, LOOK_EVERY = 5.0, 0.1


def wait(key: Hashable, future: Future[Any]) -> None:
    """Wait for a result. A process has only a part of its threads waiting with this key.

    Raise GaveUp after some seconds, or TurnRefused (`platform.database.turns`) if too many threads wait already, and
    nothing moves.
    """
    if future.done():
        return
    threads, ends = bounds.current().threads, monotonic() + PATIENCE
    turn = TURNS.enter(("lane", key), threads=threads) if threads else None
    try:
        while not wait_for([future], LOOK_EVERY).done:
            if monotonic() > ends:
                raise GaveUp
            if turn is not None:
                turn.require_place()
    finally:
        if turn is not None:
            turn.leave(is_taken=future.done())


class Lane(Generic[P]):
    """One thread. `work` gets the pieces that wait, and gives each its result.

    At most `most` are taken at once, and at most `crowd` wait. A piece that was not taken after `patience` seconds
    fails.
    """

    def __init__(self, name: str, work: Callable[[list[P]], None], *, most: int, crowd: int, patience: float) -> None:
        self._name, self._work = name, work
        self._most, self._crowd, self._patience = most, crowd, patience
        self._filled = threading.Condition()
        self._waiting: deque[tuple[float, P]] = deque()
        self._size = self._at_work = 0
        #: How many pieces the last portion had, for how many seconds it was worked on, and how many pieces must wait
        #: before the thread wakes.
        self._served, self._worked_for, self._wakes_at = 0, 0.0, 1
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, piece: P) -> None:
        """Let the thread do this piece. Raise LaneFull if too many wait."""
        with self._filled:
            if self._is_closed or (self._waiting and self._size + piece.size > self._crowd):
                raise LaneFull
            # First, because it fails if the process can't have another thread. The piece must then not stay here.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=in_one_chunk, args=(self._run,), name=self._name, daemon=True)
                self._thread.start()
            self._waiting.append((monotonic(), piece))
            self._size += piece.size
            if self._has_gathered():
                self._filled.notify()

    @property
    def load(self) -> int:
        """The size of all pieces that are here."""
        return self._size + self._at_work

    def close(self) -> None:
        """Take no more pieces, and begin with none. Those that wait fail. Those that are begun get their results."""
        with self._filled:
            self._is_closed = True
            left, self._size = list(self._waiting), 0
            self._waiting.clear()
            self._filled.notify_all()
        for _since, piece in left:
            piece.fail(LaneFull())

    def join(self, *, seconds: float) -> bool:
        """Wait until what is begun has ended. Return whether it has."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _run(self) -> None:
        try:
            while pieces := self._next():
                self._do(pieces)
        finally:
            connections.close_all()

    def _do(self, pieces: list[P]) -> None:
        began = monotonic()
        try:
            self._work(pieces)
        except Exception as error:
            log.exception("lane_failed", lane=self._name)
            for piece in pieces:
                piece.fail(error)
        finally:
            self._at_work, self._worked_for = 0, monotonic() - began

    def _next(self) -> list[P]:
        """Wait for pieces and return them. Return an empty list if nothing came for a while: the thread then ends."""
        while True:
            with self._filled:
                self._gather()
                self._filled.wait_for(lambda: self._waiting or self._is_closed, IDLE_SECONDS)
                if not self._waiting:
                    self._thread = None
                    return []
                taken = self._take()
            began, pieces = monotonic(), []
            for since, piece in taken:
                if began - since > self._patience:
                    piece.fail(LaneFull())
                elif piece.begin():
                    pieces.append(piece)
            if pieces:
                return pieces

    def _gather(self) -> None:
        """Wait for those whom the thread has just served, if several callers are there.

        Only the last one of them wakes the thread. Otherwise two portions could take turns, each with half of the
        callers, and each would wait for the other.
        """
        wanted = self._served + len(self._waiting)
        if wanted < GATHERS_FROM:
            return
        self._wait_while_they_come(wanted)
        if not self._waiting and self._wait_for(1, LATE_FOR):
            # On a busy machine, all of them can be late.
            self._wait_while_they_come(wanted)

    def _wait_while_they_come(self, wanted: int) -> None:
        """Wait until so many are there, or nobody has come for as long as the last portion took."""
        before, until = -1, monotonic() + GATHERS_FOR
        while before < len(self._waiting) < wanted and (left := until - monotonic()) > 0:
            before = len(self._waiting)
            self._wait_for(wanted, min(left, self._worked_for))

    def _wait_for(self, pieces: int, seconds: float) -> bool:
        self._wakes_at = pieces
        try:
            return self._filled.wait_for(self._has_gathered, seconds)
        finally:
            self._wakes_at = 1

    def _has_gathered(self) -> bool:
        return len(self._waiting) >= self._wakes_at or self._size >= self._most or self._is_closed

    def _take(self) -> list[tuple[float, P]]:
        taken: list[tuple[float, P]] = []
        size = 0
        while self._waiting and (not taken or size + self._waiting[0][1].size <= self._most):
            taken.append(self._waiting.popleft())
            size += taken[-1][1].size
        self._size -= size
        self._at_work, self._served = size, len(taken)
        return taken
