"""Wakes an event loop once for everything that other threads give it meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any


def wake_once(loop: asyncio.AbstractEventLoop) -> None:
    """Make `call_soon_threadsafe` of this loop write to the loop's socket only if nobody has since the loop looked.

    asyncio writes a byte each time, and releases the interpreter's lock for it. With a byte for each step of each
    request, the loop and the threads that wake it take the lock from each other all the time.

    A thread first stores its call and then looks whether a byte is under way. The loop first reads the bytes, then
    notes that none is left, and then looks for calls before it waits. So no call is left waiting.
    """
    if not isinstance(loop, asyncio.SelectorEventLoop):
        return
    inside: Any = loop
    write, read = inside._write_to_self, inside._read_from_self
    is_woken = False

    def write_to_self() -> None:
        nonlocal is_woken
        if not is_woken:
            is_woken = True
            write()

    def read_from_self() -> None:
        nonlocal is_woken
        read()
        is_woken = False

    inside._write_to_self = write_to_self
    inside._add_reader(inside._ssock.fileno(), read_from_self)
