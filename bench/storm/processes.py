"""Finds and signals the processes that this storm started. They are found through their parents."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = path.read_text().rpartition(")")
            if rest.split()[0] not in "ZX":
                found[int(head.split()[0])] = int(rest.split()[1])
        except (OSError, ValueError, IndexError):
            continue
    return found


def children(pid: int) -> list[int]:
    return sorted(child for child, parent in parents().items() if parent == pid)


def tree(pid: int) -> list[int]:
    """Return this process and all its descendants. Each process comes after its parent."""
    every, found, begun = parents(), [pid], 0
    while begun < len(found):
        found += [child for child, parent in sorted(every.items()) if parent == found[begun]]
        begun += 1
    return [each for each in found if each in every]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def send(number: signal.Signals, *pids: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def memory(pids: list[int]) -> int:
    """Return the memory of these processes in bytes. Memory that they share counts once (PSS)."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(rollup.partition("\nPss:")[2].split()[0]) * 1024
        except (OSError, IndexError, ValueError):
            continue
    return total
