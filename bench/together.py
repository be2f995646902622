"""The same act in several processes that start at one moment: what a server with as many workers does."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

#: Run by each process before the clock starts: plans are made, pages are in memory, the interpreter has its caches.
WARM_UP = 250
Maker = Callable[[], Callable[[Any], None]]


def measure(make: Maker, questions: Sequence[Any], *, processes: int, each: int) -> tuple[list[float], float]:
    """Return the seconds of each act, and of all of them by the clock on the wall.

    `make` is called in each process, opens what it needs, and returns the act; questions are drawn at random.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes + 1)
    running = []
    for number in range(processes):
        ours, theirs = context.Pipe()
        child = context.Process(target=_run, args=(make, questions, number, each, barrier, theirs))
        child.start()
        theirs.close()
        running.append((child, ours))
    barrier.wait(timeout=120)
    begun = time.perf_counter()
    found = [pipe.recv() for _child, pipe in running]
    wall = time.perf_counter() - begun
    for child, _pipe in running:
        child.join()
    return [seconds for one in found for seconds in one], wall


def _run(make: Maker, questions: Sequence[Any], number: int, each: int, barrier: Any, pipe: Any) -> None:
    try:
        dice, act = random.Random(number), make()
        for question in dice.choices(questions, k=WARM_UP):
            act(question)
        drawn, seconds = dice.choices(questions, k=each), []
        barrier.wait(timeout=120)
        for question in drawn:
            started = time.perf_counter()
            act(question)
            seconds.append(time.perf_counter() - started)
        pipe.send(seconds)
        pipe.close()
    except BaseException:
        import traceback

        traceback.print_exc()
        barrier.abort()
        os._exit(1)
    # What was inherited from the parent is its own to close.
    os._exit(0)
