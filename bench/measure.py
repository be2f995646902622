"""Times single acts and says what machine they ran on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from django.db import connection


@dataclass(frozen=True)
class Result:
    """`seconds` has one figure per act; `rate` counts acts, or what they consist of, in the wall-clock time of all."""

    name: str
    seconds: list[float]
    wall: float
    aim: str = ""
    units: int = 0
    unit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def p99(self) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000

    @property
    def rate(self) -> float:
        return (self.units or len(self.seconds)) / self.wall


def timed(name: str, acts: Iterable[Callable[[], Any]], *, aim: str = "", tick: Callable[[], None]) -> Result:
    seconds = []
    begun = time.perf_counter()
    for act in acts:
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
        tick()
    return Result(name, seconds, time.perf_counter() - begun, aim)


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
