"""The threads of a process take memory from few arenas, unless the operator wants more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lockbox_site import starting
from tests.sources import ROOT

#: Starts threads that use memory at the same time, and prints how many arenas there are.
PROGRAM = """
import ctypes, os, tempfile, threading
from lockbox_site import starting

starting.share_arenas()
together = threading.Barrier(12)

def work():
    # Python itself asks the library for so many bytes.
    taken = [bytes(1000) for _ in range(100)]
    together.wait(20)

threads = [threading.Thread(target=work) for _ in range(12)]
for each in threads:
    each.start()
for each in threads:
    each.join()
library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
library.malloc_info.argtypes, library.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
with tempfile.NamedTemporaryFile() as found:
    stream = library.fopen(found.name.encode(), b"w")
    library.malloc_info(0, stream)
    library.fclose(stream)
    print(found.read().count(b"<heap nr="))
"""


def arenas(**more: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name not in starting.CHOSEN_BY}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment | more, check=True, capture_output=True, text=True
    )
    return int(ran.stdout)


def test_threads_share_arenas() -> None:
    assert arenas() == starting.ARENAS


@pytest.mark.parametrize("chosen", [{"MALLOC_ARENA_MAX": "4"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"}])
def test_an_operator_can_choose_how_many(chosen: dict[str, str]) -> None:
    assert arenas(**chosen) == 4
