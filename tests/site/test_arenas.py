"""The threads of a process take memory from few arenas, unless the operator wants more. It collects garbage rarely."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lockbox_site import starting
from tests.site.test_settings import bare
from tests.sources import ROOT

#: How processes of the product begin.
WEB = "import lockbox_site.rsgi"
COMMAND = "from lockbox_site import django_commands; django_commands.run('manage.py', ['version'])"
#: `bin/run`, which ends at once because its port is in use.
RUN = """
import os, socket
from lockbox_site.installing import running

taken = socket.create_server(("127.0.0.1", 0))
os.environ |= {"HOST": "127.0.0.1", "PORT": str(taken.getsockname()[1])}
try:
    running.main([])
except SystemExit:
    pass
"""
#: Starts threads that use memory at the same time, and prints how many arenas there are, and how often it collects.
PROGRAM = """
import ctypes, gc, json, tempfile, threading

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
    print()
    print(json.dumps({"arenas": found.read().count(b"<heap nr="), "collects": gc.get_threshold()}))
"""


def used(beginning: str, data: Path, **more: str) -> dict[str, Any]:
    """Return how a process that begins like this uses memory."""
    ran = subprocess.run(
        [sys.executable, "-c", beginning + PROGRAM], cwd=ROOT, env=bare(data, DEBUG="on", **more), text=True,
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("beginning", [WEB, COMMAND, RUN], ids=["web", "command", "run"])
def test_each_process_shares_arenas_and_collects_rarely(beginning: str, tmp_path: Path) -> None:
    assert used(beginning, tmp_path) == {
        "arenas": starting.ARENAS, "collects": list(starting.BETWEEN_COLLECTIONS)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "arenas"),
    [
        ({"MALLOC_ARENA_MAX": "4"}, 4),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"}, 4),
        ({"GLIBC_TUNABLES": "glibc.malloc.check=0:glibc.malloc.arena_max=4"}, 4),
        # Something else is chosen.
        ({"GLIBC_TUNABLES": "glibc.malloc.check=0"}, starting.ARENAS),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_test=4"}, starting.ARENAS),
    ],
)
def test_an_operator_can_choose_how_many(chosen: dict[str, str], arenas: int, tmp_path: Path) -> None:
    beginning = "from lockbox_site import starting; starting.manage_memory()"
    assert used(beginning, tmp_path, **chosen)["arenas"] == arenas
