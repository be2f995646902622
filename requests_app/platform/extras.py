"""Keeps a library from importing optional packages that only happen to be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_out(*modules: str) -> Iterator[None]:
    """Inside the block, importing one of these modules raises ImportError, as if it were not installed.

    Python documents this meaning of None in `sys.modules`. A module that is already loaded is left alone. Afterwards,
    each of them can be imported as usual. Use this only while a program starts, before it has threads.
    """
    absent = [name for name in modules if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # as Python's reference says, "The module cache"
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
