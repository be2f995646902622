"""Watches which files a block of code opens, and which directories it lists. Python itself reports both."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_here = threading.local()


@dataclass
class Seen:
    """`opened` has every file that was opened; `listed` has each listed directory, as (device, inode)."""

    opened: list[str] = field(default_factory=list)
    listed: set[tuple[int, int]] = field(default_factory=set)


def _hook(event: str, args: tuple[object, ...]) -> None:
    seen: Seen | None = getattr(_here, "seen", None)
    if seen is None or event not in ("open", "os.scandir", "os.listdir"):
        return
    if event == "open":
        flags = args[2]
        if not (isinstance(flags, int) and flags & os.O_DIRECTORY):
            seen.opened.append(str(args[0]))
        return
    _here.seen = None  # so that these calls are not watched themselves
    facts = os.stat(args[0])  # type: ignore[arg-type]  # a path or a descriptor
    seen.listed.add((facts.st_dev, facts.st_ino))
    _here.seen = seen


# A hook can't be removed. It does nothing outside of `watched`.
sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[Seen]:
    """Record what this thread opens and lists until the block ends."""
    _here.seen = seen = Seen()
    try:
        yield seen
    finally:
        _here.seen = None
