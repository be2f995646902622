"""Measures the time of single acts, and describes the machine."""

from __future__ import annotations

import math
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
from django.db import connection

from bench import product


@dataclass(frozen=True)
class Result:
    """The result of a measurement.

    `seconds` has the time of each act. `rate` is the number of acts, or of other units, for each second of the total
    time.
    """

    name: str
    seconds: list[float]
    wall: float
    aim: str = ""
    units: int = 0
    unit: str = ""
    #: The largest use of memory in bytes, or 0 if it was not measured.
    peak: int = 0
    #: Other figures, for the table of the aims.
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def p99(self) -> float:
        return quantile(self.seconds, 0.99)

    @property
    def rate(self) -> float:
        # What takes no measurable time has no rate.
        return (self.units or len(self.seconds)) / self.wall if self.wall else math.inf

    def figures(self) -> dict[str, Any]:
        """Return what the table of the aims needs, with times in milliseconds."""
        times = {
            "median": self.median,
            "p95": quantile(self.seconds, 0.95),
            "p99": self.p99,
            "longest": max(self.seconds) * 1000,
        }
        return {"name": self.name, "rate": self.rate, "wall": self.wall, "peak": self.peak, **times, **self.numbers}


def quantile(seconds: Iterable[float], share: float) -> float:
    """Return the milliseconds that this share of the calls do not exceed: 19 of 20 calls for 0.95."""
    ordered = sorted(seconds)
    # Without rounding, 0.95 of some numbers is a little more than a whole number.
    return ordered[math.ceil(round(len(ordered) * share, 6)) - 1] * 1000


def timed(name: str, acts: Iterable[Callable[[], Any]], *, aim: str = "", tick: Callable[[], None]) -> Result:
    """Do the acts one after the other. The result also has the processor time, here and in the database's session."""
    seconds, used, database = [], [], of_session()
    begun = time.perf_counter()
    for act in acts:
        started, before = time.perf_counter(), time.process_time()
        act()
        used.append(time.process_time() - before)
        seconds.append(time.perf_counter() - started)
        tick()
    wall = time.perf_counter() - begun
    numbers = {"web": statistics.median(used) * 1000, "database": (of_session() - database) / len(used) * 1000}
    return Result(name, seconds, wall, aim, numbers=numbers)


def process(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> tuple[float, int]:
    """Run a command in a process of its own. Return its duration in seconds, and the most memory it used in bytes.

    The memory includes its children. If the command fails, raise SystemExit with its output.
    """
    env = {**os.environ, **(environment or {})}
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        # The process has its own session, by which its children are found.
        run = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
        peak = 0
        try:
            while run.poll() is None:
                peak = max(peak, _memory_of_session(run.pid))
                # Each look takes some milliseconds of a core that the process may need.
                time.sleep(0.1)
        finally:
            if run.poll() is None:
                run.kill()
                run.wait()
        wall = time.perf_counter() - begun
        if run.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}: {output.read().decode(errors='replace')[-2000:]}")
    # On other systems than Linux, this is only the largest child.
    return wall, peak or resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _memory_of_session(leader: int) -> int:
    """Return the memory of all processes in a session. A page of memory that they share counts once (PSS)."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # the process has just ended
            if int(path.read_text().rpartition(")")[2].split()[3]) == leader:
                found += memory_of(int(path.parent.name))
    return found


def memory_of(pid: int) -> int:
    """Return the memory of a process in bytes. A page of memory that several processes share is divided (PSS)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("\nPss:")[2].split()[0]) * 1024


def of_session() -> float:
    """Return the seconds of processor time of this connection's process in PostgreSQL. SQLite has none."""
    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    # In nanoseconds; `stat` counts hundredths of a second.
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class Others:
    """The processor time that other programs use, from now on: those that are no children of this process.

    A child counts when it has ended, and the database's server if it has not been killed meanwhile.
    """

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), self._now()

    @staticmethod
    def _now() -> float:
        return busy() - by_children() - product.of_database()

    def share(self) -> float:
        """Return it as a share of one core."""
        return max(0.0, self._now() - self._before) / (time.monotonic() - self._began)


def busy() -> float:
    """Return the seconds of processor time that all programs of the machine have used, without waiting."""
    fields = [int(each) for each in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]]
    idle, waiting = fields[3:5]
    return (sum(fields[:8]) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def by_children() -> float:
    """Return the processor time of this process and of its children that have ended, such as wrk."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return (
        f"{os.cpu_count()} cores, {cpu}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, Django {django.__version__}, {database()}"
    )


def database() -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW server_version")
            return f"PostgreSQL {cursor.fetchone()[0]}"
        cursor.execute("SELECT sqlite_version()")
        return f"SQLite {cursor.fetchone()[0]}"
