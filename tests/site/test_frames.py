"""Threads have room for the frames of all their calls: no call gets memory from the system and gives it back."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from granian import cli

from lockbox_site import parts
from lockbox_site.serving.pool import Pool
from requests_app.platform.frames import in_one_chunk
from requests_app.platform.lanes import Lane
from tests.site.test_settings import manage

CALLS, DEPTHS = 1_000, 400


def _call() -> None:
    # Its frame needs more room than one of `_faults`. So at one depth at least it does not fit into the chunk.
    a = b = c = d = e = f = g = h = i = j = k = m = n = o = p = q = r = s = t = u = v = w = x = y = z = None
    del a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v, w, x, y, z


def _faults(depth: int) -> int:
    """Return how many pages of memory this thread gets from the system during many calls at this depth."""
    if depth:
        return _faults(depth - 1)
    begun = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(CALLS):
        _call()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - begun


def most_faults() -> int:
    return max(map(_faults, range(DEPTHS)))


def _in_thread(work: Callable[[], int]) -> int:
    found: Future[int] = Future()
    thread = threading.Thread(target=lambda: found.set_result(work()))
    thread.start()
    thread.join()
    return found.result()


def test_calls_at_some_depth_get_memory_each_time_unless_the_thread_has_room() -> None:
    assert _in_thread(most_faults) >= CALLS
    assert _in_thread(lambda: in_one_chunk(most_faults)) < CALLS // 10
    # As in the parts that the supervisor has forked.
    assert _in_thread(lambda: in_one_chunk(in_one_chunk, most_faults)) < CALLS // 10


def test_the_threads_of_requests_have_room() -> None:
    async def measured() -> int:
        pool = Pool("frames", threads=1)
        return int(await pool.submit(most_faults, asyncio.get_running_loop()).future)

    assert asyncio.run(measured()) < CALLS // 10


class _Piece:
    size = 1

    def __init__(self) -> None:
        self.found: Future[int] = Future()

    def begin(self) -> bool:
        return True

    def fail(self, error: Exception) -> None:
        self.found.set_exception(error)


def test_the_thread_of_a_lane_has_room() -> None:
    def work(pieces: list[_Piece]) -> None:
        for piece in pieces:
            piece.found.set_result(most_faults())

    lane = Lane("frames", work, most=1, crowd=1, patience=5)
    piece = _Piece()
    lane.submit(piece)
    assert piece.found.result(20) < CALLS // 10
    lane.close()
    assert lane.join(seconds=5)


def test_a_command_has_room(tmp_path: Path) -> None:
    measure = "from tests.site.test_frames import most_faults; print(most_faults())"
    ran = manage(tmp_path, "shell", "--no-imports", "-c", measure, DEBUG="on")
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.splitlines()[-1]) < CALLS // 10


def test_the_processes_of_the_web_server_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are forks of the one in which `entrypoint` runs, and go on in its frames."""
    found: list[int] = []
    monkeypatch.setattr(cli, "entrypoint", lambda: found.append(most_faults()))
    monkeypatch.setattr(multiprocessing, "set_start_method", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", [])

    def serve() -> int:
        parts.run([sys.executable, "-m", "granian", "lockbox_site.rsgi:application"])
        return found[0]

    assert _in_thread(serve) < CALLS // 10
