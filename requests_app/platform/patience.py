"""Calls functions that may never return, and stops to wait for them after some seconds.

A thread can't be stopped from outside. So a call that nobody waits for any more keeps its place until it returns. The
number of places for each key is limited, so that one server that hangs can't use up the threads of a process.

Some calls never return, even when the server works again. So while all places are taken, one more call is tried from
time to time. If it returns, the server works, and the places of the older calls are free again.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import TypeVar

from requests_app.domain import clock

T = TypeVar("T")

#: While all places are taken, the first additional call begins this long after the last call. This time doubles with
#: each of them that does not return. So their number stays small, and the server is found to work after at most about
#: as long as it did not.
RETRY_SECONDS = 60.0
#: How many threads one key can have, also those whose places are free again. They end only with the process.
MOST_THREADS = 64

_lock = threading.Lock()
_numbers = count()
#: For each key, when each call began that has not returned. A call that has lost its place is only in `_threads`.
_holding: defaultdict[str, dict[int, float]] = defaultdict(dict)
_threads: defaultdict[str, set[int]] = defaultdict(set)


class NoPlace(Exception):
    """All places of this key are taken by calls that have not returned yet."""


class TookTooLong(Exception):
    """The call did not return in time. It may still be running."""


def call(work: Callable[[], T], *, key: str, places: int, seconds: float) -> T:
    """Call `work` in a thread of its own, and return its result, or raise its error.

    Raise TookTooLong after `seconds`, and NoPlace if `places` calls with this key are running already. The thread
    has no connection to the database, so `work` must not use one.
    """
    number = _enter(key, places)
    answer: Future[T] = Future()
    threading.Thread(target=_run, args=(work, key, number, answer), name=f"patience {key}", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():  # The work itself raised this error.
            raise
        raise TookTooLong from None


def _enter(key: str, places: int) -> int:
    with _lock:
        begun, now = _holding[key], clock.monotonic()
        too_many = len(begun) - places
        if len(_threads[key]) >= MOST_THREADS:
            raise NoPlace
        if too_many >= 0 and now < max(begun.values()) + RETRY_SECONDS * 2**too_many:
            raise NoPlace
        number = next(_numbers)
        begun[number] = now
        _threads[key].add(number)
        return number


def _run(work: Callable[[], T], key: str, number: int, answer: Future[T]) -> None:
    try:
        result = work()
    except BaseException as error:  # the caller gets every error
        _leave(key, number)
        answer.set_exception(error)
    else:
        _leave(key, number)
        answer.set_result(result)


def _leave(key: str, number: int) -> None:
    with _lock:
        _threads[key].discard(number)
        began = _holding[key].pop(number, None)
        if began is not None:
            # The server has answered, so it does not hang any more. A call that began long before is lost.
            old = [other for other, at in _holding[key].items() if at <= began - RETRY_SECONDS]
            for other in old:
                del _holding[key][other]
