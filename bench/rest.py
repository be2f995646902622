"""Measure the second start with bin/run, and what the product uses when nobody uses it: memory and processor time."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import measure, product
from bench.measure import Result
from requests_app.work.processes import tree
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
#: The first start makes the demo world, so it takes longest.
MOST = 300
#: For how much of the time it settles first.
SETTLING = 2 / 3


def run(home: Path, watched: int, bar: Any) -> tuple[list[Result], list[str]]:
    """Start it twice with the demo world, in the empty database of the settings, and watch it for so many seconds."""
    ticking = bar.add_task("at rest", total=3)
    with _started(home):
        bar.advance(ticking)
    with _started(home) as (pid, seconds):
        bar.advance(ticking)
        time.sleep(watched * SETTLING)
        before, database = product.used(*tree(pid)), product.of_database()
        time.sleep(watched)
        after, of_database = product.used(*tree(pid)), product.of_database() - database
        pids = tree(pid)
        memory = sum(map(measure.memory_of, pids))
        bar.advance(ticking)
    share = (after - before) / watched * 100
    says = f"≤ 3 s; {len(pids)} processes; at rest {share:.2f} % of a core"
    notes = [f"database at rest: {of_database / watched:.2%} of a core"] if of_database else []
    return [Result("second start", [seconds], seconds, says, peak=memory, numbers={"share": share})], notes


@contextmanager
def _started(home: Path) -> Iterator[tuple[int, float]]:
    """Run it until the block ends. Yield its process id, and the seconds until it answered."""
    port, begun = free_port(), time.perf_counter()
    environment = {
        **os.environ, "HOST": "127.0.0.1", "PORT": str(port), "BASE_URL": f"http://localhost:{port}",
        "LOG_LEVEL": "ERROR",
    }  # fmt: skip
    # The first start collects its own static files, as it does elsewhere.
    del environment["STATIC_ROOT"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            ["sh", ROOT / "bin" / "run"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        product.wait_for(port, process, within=MOST)
        yield process.pid, time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait(60)
