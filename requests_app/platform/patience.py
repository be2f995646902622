"""Calls functions that may never return, and stops to wait for them after some seconds.

A thread can't be stopped from outside. So a call that nobody waits for any more keeps its place until it returns. The
number of places for each key is limited, so that one server that hangs can't use up the threads of a process.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_taken: Counter[str] = Counter()


class NoPlace(Exception):
    """All places of this key are taken by calls that have not returned yet."""


class TookTooLong(Exception):
    """The call did not return in time. It may still be running."""


def call(work: Callable[[], T], *, key: str, places: int, seconds: float) -> T:
    """Call `work` in a thread of its own, and return its result, or raise its error.

    Raise TookTooLong after `seconds`, and NoPlace if `places` calls with this key are running already. The thread
    has no connection to the database, so `work` must not use one.
    """
    with _lock:
        if _taken[key] >= places:
            raise NoPlace
        _taken[key] += 1
    answer: Future[T] = Future()
    threading.Thread(target=_run, args=(work, key, answer), name=f"patience {key}", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():  # The work itself raised this error.
            raise
        raise TookTooLong from None


def _run(work: Callable[[], T], key: str, answer: Future[T]) -> None:
    try:
        result = work()
    except BaseException as error:  # the caller gets every error
        _leave(key)
        answer.set_exception(error)
    else:
        _leave(key)
        answer.set_result(result)


def _leave(key: str) -> None:
    with _lock:
        _taken[key] -= 1
        if not _taken[key]:
            del _taken[key]
