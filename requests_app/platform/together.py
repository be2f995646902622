"""Puts calls off until a block of this thread has ended.

A thread that gives many callers their results would otherwise wake the event loop for the first one. The loop would
then compete with the thread for the interpreter, and be woken for each of the others again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Here(threading.local):
    later: list[Callable[[], None]] | None = None


_here = _Here()


@contextmanager
def together() -> Iterator[None]:
    """Make the calls of `at_end` when the block ends, even if it fails. Blocks must not be in each other."""
    later: list[Callable[[], None]] = []
    _here.later = later
    try:
        yield
    finally:
        _here.later = None
        for call in later:
            call()


def at_end(call: Callable[[], None]) -> None:
    """Call this when the block of this thread ends, or now outside a block."""
    if _here.later is None:
        call()
    else:
        _here.later.append(call)
