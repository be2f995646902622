"""Does the same act in several processes at the same time, as a server with several workers does."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

#: How many acts each process does before the measurement, so that query plans, pages and caches are in memory.
WARM_UP = 250
Maker = Callable[[], Callable[[Any], None]]


def measure(make: Maker, questions: Sequence[Any], *, processes: int, each: int) -> tuple[list[float], float]:
    """Return the seconds that each act took, and the time from the first act's start to the last one's end.

    Each process calls `make`, which opens its connections and returns the act. The process then does the act
    `each` times, with a random one of the `questions` as its argument.
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
    # Skip Python's clean-up: it would close connections that belong to the parent.
    os._exit(0)
