"""Forks share the memory of what was loaded before them, as long as they only use it."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Makes objects, and prints how many kilobytes a fork copies when it holds each of them.
PROGRAM = """
import os, sys
from requests_app.platform import shared_memory

class Thing:
    __slots__ = ("payload",)

def copied():
    with open("/proc/self/smaps_rollup") as lines:
        return int(lines.read().partition("Private_Dirty:")[2].split()[0])

space = {}
exec("\\n".join(f"def f{number}(): return {number}.25" for number in range(5_000)), space)
functions = [each for name, each in space.items() if name != "__builtins__"]
things = [Thing() for _ in range(20_000)]
if sys.argv[1] == "stay":
    shared_memory.stay()
if pid := os.fork():
    os.waitpid(pid, 0)
    sys.exit()
room = [copied()] * 25_000
before = copied()
for place, thing in enumerate(things):
    room[place] = thing
for place, function in enumerate(functions):
    room[20_000 + place] = function.__code__
print(copied() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python counts the references to each object")
def test_a_fork_that_only_uses_objects_copies_hardly_any_memory() -> None:
    copied, without = (_copied(words) for words in ("stay", ""))
    assert copied * 10 < without, (copied, without)


def _copied(words: str) -> int:
    """Return how many kilobytes a fork copies."""
    run = subprocess.run([sys.executable, "-c", PROGRAM, words], capture_output=True, text=True, check=True, timeout=60)
    return int(run.stdout)


def test_only_what_exists_becomes_immortal() -> None:
    """What a process makes after its fork is deleted when nobody refers to it."""
    program = PROGRAM.partition("if pid")[0] + (
        "made = [things[0], functions[0], functions[0].__code__, functions[0].__code__.co_consts[1]]\n"
        "print(sum(sys.getrefcount(each) == sys.getrefcount(None) for each in made), sys.getrefcount(Thing()) < 5)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, "stay"], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.split() == ["4" if sys.version_info >= (3, 12) else "0", "True"]
