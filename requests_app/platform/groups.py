"""Lets concurrent calls of one process share one transaction: the first call of a group commits for all of them.

While a group commits, the calls that arrive form the next one. So a call never waits for more than one group before its
own, and under load a group becomes larger instead of slower.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, TypeVar

from requests_app.platform.database import bounds
from requests_app.platform.database.turns import TURNS

Item = TypeVar("Item")
Result = TypeVar("Result")

#: How long a call waits for its group, and how often it then looks whether it still may wait.
PATIENCE, LOOK_EVERY = 5.0, 0.1


class GroupFailed(Exception):
    """The group of this call was not committed, or took too long. Its cause is the error of the group, if known."""


@dataclass(eq=False)
class _Group(Generic[Item, Result]):
    items: list[Item] = field(default_factory=list)
    results: Sequence[Result] = ()
    error: BaseException | None = None
    is_done: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class _Lane(Generic[Item, Result]):
    """The groups with one key. `turn` is held by the group that commits, and `calls` counts those that are here."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    gathering: _Group[Item, Result] | None = None
    calls: int = 0


class Groups(Generic[Item, Result]):
    """Commits calls in groups. `commit` gets the items of a group, and returns one result for each of them."""

    def __init__(self, commit: Callable[[list[Item]], Sequence[Result]]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, _Lane[Item, Result]] = {}

    def submit(self, key: Hashable, item: Item) -> Result:
        """Return the result for this item after its group is committed. Raise GroupFailed if it was not.

        Only calls with the same key share a group. Raise TurnRefused (`platform.database.turns`) if too many threads
        of this process wait already, and nothing moves.
        """
        with self._lock:
            lane = self._lanes.setdefault(key, _Lane())
            group = lane.gathering
            is_first = group is None
            if group is None:
                group = lane.gathering = _Group()
            place = len(group.items)
            group.items.append(item)
            lane.calls += 1
        try:
            if is_first:
                self._lead(key, lane, group)
            else:
                _wait(key, group.is_done.wait)
        finally:
            self._leave(key, lane)
        if group.error is not None:
            raise GroupFailed from group.error
        return group.results[place]

    def _lead(self, key: Hashable, lane: _Lane[Item, Result], group: _Group[Item, Result]) -> None:
        """Wait for the group before, then commit this group. The others always learn how it ended."""
        has_turn = False
        try:
            _wait(key, lambda seconds: lane.turn.acquire(timeout=seconds))
            has_turn = True
            self._close(lane)
            group.results = self._commit(group.items)
        except Exception as error:
            group.error = error
        except BaseException as error:
            group.error = error
            raise
        finally:
            self._close(lane, group)
            group.is_done.set()
            if has_turn:
                lane.turn.release()

    def _close(self, lane: _Lane[Item, Result], group: _Group[Item, Result] | None = None) -> None:
        """Let no more calls join the group that gathers. With `group`, only if it is this one."""
        with self._lock:
            if group is None or lane.gathering is group:
                lane.gathering = None

    def _leave(self, key: Hashable, lane: _Lane[Item, Result]) -> None:
        with self._lock:
            lane.calls -= 1
            if not lane.calls:
                del self._lanes[key]


def _wait(key: Hashable, is_there: Callable[[float], bool]) -> None:
    """Call `is_there` with a number of seconds until it returns True. A process has only a part of its threads here."""
    if is_there(0):
        return
    threads, ends = bounds.current().threads, monotonic() + PATIENCE
    turn = TURNS.enter(("group", key), threads=threads) if threads else None
    is_taken = False
    try:
        while not (is_taken := is_there(LOOK_EVERY)):
            if monotonic() > ends:
                raise GroupFailed
            if turn is not None:
                turn.require_place()
    finally:
        if turn is not None:
            turn.leave(is_taken=is_taken)
