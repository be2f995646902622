"""The parts are forks of one process. They share its memory, and they are started again without it, too."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from lockbox_site import starting
from requests_app.domain import clock
from requests_app.platform import forks
from requests_app.work import forking
from tests.ports import free_port
from tests.tasks.conftest import Running, Start, in_service, runs, wait_for

HEAP = 64 * 1024**2
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


def programs(running: Running) -> dict[int, list[str]]:
    """Return the command line of each process that is no fork of the supervisor, and of the supervisor itself."""
    lines = {}
    for pid in running.family():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            lines[pid] = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    return {pid: line for pid, line in lines.items() if line[0] != "lockbox"}


def memory(pid: int) -> dict[str, int]:
    """Return the kilobytes of memory of a process, by kind."""
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    return {line[0].rstrip(":"): int(line[1]) for line in lines}


def arenas(pid: int) -> int:
    """Return how many arenas of the GNU library the process has: the first one, and each that has a heap.

    Such a heap is 64 MiB of addresses, and what it does not use of them can't be read.
    """
    heaps = 0
    lines = [line.split()[:2] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    for (used, may), (unused, may_not) in pairwise(lines):
        (begin, end), (rest, last) = ([int(each, 16) for each in place.split("-")] for place in (used, unused))
        is_heap = begin % HEAP == 0 and end == rest and last >= begin + HEAP
        heaps += is_heap and (may, may_not) == ("rw-p", "---p")
    return 1 + heaps


@pytest.mark.slow
@pytest.mark.real_clock
@linux
def test_the_parts_share_the_memory_of_one_program(start: Start) -> None:
    port = free_port()
    running = start("lockbox", PORT=str(port), BASE_URL=f"http://127.0.0.1:{port}")
    running.until("Ready:")
    in_service()
    assert list(programs(running)) == [running.pid]
    # Supervisor, nursery, undertaker; web server with two processes; cluster with a worker, monitor, pusher; beat. A
    # second worker can have begun.
    assert len(running.family()) in (11, 12)
    for pid in set(running.family()) - set(programs(running)):
        found = memory(pid)
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert found["Shared_Dirty"] > found["Private_Dirty"], command
        assert arenas(pid) <= starting.ARENAS, command
    running.stop()
    assert (running.process.returncode, running.orphans()) == (0, [])


@pytest.mark.slow
@pytest.mark.real_clock
@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_the_nursery_a_part_is_started_as_a_program(start: Start, number: signal.Signals) -> None:
    running = start("lockbox", "--no-web", "--clusters", "0")
    (beat,) = wait_for(lambda: [pid for pid in running.family() if runs(pid, "beat")], within=20)
    (nursery,) = [pid for pid in running.family() if runs(pid, "nursery")]
    os.kill(nursery, number)
    os.kill(beat, signal.SIGKILL)
    wait_for(lambda: [line for line in programs(running).values() if "beat" in line], within=30)
    running.stop()
    assert (running.process.returncode, running.orphans()) == (0, [])


@linux
def test_a_part_that_comes_up_too_late_ends_at_once() -> None:
    """The supervisor does not wait any more. It has started the part as a program, and would never end this one."""
    order = {"words": ["nothing"], "title": "late", "set": {}, "unset": [], "until": clock.monotonic() - 1}
    with open(os.devnull, "wb") as output, socket.socket() as orders:
        assert forking._fork(order, [output.fileno()], orders) == 0


# --- Beside this process -------------------------------------------------------------------------------------


class Refused(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def refuse() -> None:
    raise Refused("no", "never")


def exits() -> None:
    raise starting.CannotStart("run", "for a reason that is printed here, once")


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def may_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "may_fork", lambda: True)


@linux
def test_a_function_beside_this_process_returns_its_result(may_fork: None) -> None:
    assert forks.Aside(os.getpid).result() != os.getpid()
    assert forks.Aside(lambda: ["a", None]).result() == ["a", None]


@linux
def test_what_it_raises_is_raised_here(may_fork: None) -> None:
    with pytest.raises(ZeroDivisionError):
        forks.Aside(lambda: 1 // 0).result()
    with pytest.raises(SystemExit) as end:
        forks.Aside(exits).result()
    assert end.value.code == 1
    with pytest.raises(RuntimeError, match="Refused: no"):
        forks.Aside(refuse).result()
    with pytest.raises(RuntimeError, match="was killed"):
        forks.Aside(is_killed).result()


def test_a_process_forks_only_if_it_is_allowed_and_alone() -> None:
    """The process of a test has neither, so the supervisor of a test runs its parts as programs."""
    assert not forks.may_fork()
    assert forks.Aside(os.getpid).result() == os.getpid()
    nursery = forking.Nursery()
    assert nursery.pid == 0
    assert nursery.start(["true"], title="true", env={}, output=1) is None
