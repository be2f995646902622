"""The bench ends in time, and its table says of each aim what was measured, and whether that is enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import aims
from bench.parts import PARTS

ROOT = Path(__file__).parents[2]
#: The smallest sizes with which each part works.
TINY: dict[str, Any] = {
    "grants": "4200 4300", "acts": 5, "due": 20, "asked": 64, "entries": 3_000, "proven": 3_000, "rows": 6_000,
    "held": 8, "windows": 20, "cuts": 2, "revocations": 1, "batches": 1, "seconds": 1, "signs": 4, "slow": 4,
    "minutes": 0.3, "watched": 6,
}  # fmt: skip
#: It waits for minutes with all sizes.
LONG = {"sizing"}


def test_the_whole_run_ends_within_30_minutes_and_the_quick_one_within_3() -> None:
    # On two databases, with two sizes of the decisions in the whole run. Worlds are made before.
    whole = sum(part.limit for part in PARTS.values()) + PARTS["decisions"].limit
    assert 2 * whole <= 30 * 60
    assert 2 * sum(part.quick for part in PARTS.values()) <= 3 * 60


def test_each_aim_belongs_to_a_part_of_the_whole_run_or_to_the_hour_of_growth() -> None:
    assert {aim.part for aim in aims.AIMS} == {name for name, part in PARTS.items() if part.limit} | {"growth"}


def report(place: Path, database: str, part: str, *results: dict[str, Any], world: str = "") -> None:
    path = place / "results" / database / f"{part}{world}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = {"size": 5_000, "due": 10, "rows": 0, "entries": 0, "proven": 0, "held": 0}
    about = {"part": part, "database": database, "machine": f"A machine, {database}", "foreign": 0.02, "scale": scale}
    path.write_text(json.dumps({**about, "results": results}))


def test_nothing_measured_is_no_table(tmp_path: Path) -> None:
    assert aims.table(tmp_path) == []


def test_the_table_says_for_each_database_what_was_measured(tmp_path: Path) -> None:
    for database, wall in (("sqlite", 1.4), ("postgresql", 1.6)):
        report(tmp_path, database, "sweeps", {"name": "sweep in batches of 500: 10 windows", "wall": wall})
    lines = aims.table(tmp_path)
    assert lines[3] == (
        "| 10 due among 5,000: expired, windows closed | 1.5 s for 10,000 | 1.40 s (SQLite), 1.60 s (PostgreSQL)"
        " | SQLite |"
    )
    assert lines[-3:-1] == ["Machine: A machine, postgresql.", "Machine: A machine, sqlite."]
    assert lines[-1] == "Other programs used 2.00 % of one core meanwhile."


def test_rates_are_compared_with_those_of_the_peer_in_the_same_run_and_world(tmp_path: Path) -> None:
    for size, theirs, ours in (("10,000", 4_000, 2_400), ("1,000,000", 5_000, 2_500)):
        results = [
            {"name": f"{name}, {size} grants", "rate": rate, "p99": 30, "longest": 100}
            for name, rate in (("Cerbos 1, no log", theirs), ("advice", theirs), ("access", ours))
        ]
        report(tmp_path, "postgresql", "decisions", *results, world=size)
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[2:] for line in aims.table(tmp_path)[3:-3]}
    assert rows["advice, 32 connections"] == ["4,000–5,000 a second: 1.00 of it (PostgreSQL)", "yes |"]
    summary, met = rows["access with its committed entry"]
    assert summary == "2,400–2,500 a second: 0.50–0.60 of it; 30.0 ms (PostgreSQL)"
    assert met == "no |"
    assert rows["the same with many more grants"] == ["0.80–0.96 times, with 1,000,000 (PostgreSQL)", "yes |"]
    # An aim that nobody has measured is not in the table, and so is not met by chance.
    assert "access, one tenant" not in rows


@pytest.fixture
def place() -> Iterator[Path]:
    # The account of PostgreSQL's server can't enter the directories of pytest.
    with tempfile.TemporaryDirectory(prefix="lockbox-bench-") as found:
        Path(found).chmod(0o755)
        yield Path(found)


@pytest.mark.deep
@pytest.mark.dialect
@pytest.mark.timeout(3600)
def test_each_part_measures_what_the_table_needs(place: Path) -> None:
    database = "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    # The parts kill their server, so it is not that of the tests.
    servers = [sys.executable, "bin/_with_postgres.py"] if database == "postgresql" else []
    environment = {name: text for name, text in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"DURABLE": "1", "DATA_STAYS_IN": str(place / "postgresql")}
    tiny = [word for name, number in TINY.items() for word in (f"--{name}", *str(number).split())]
    failed, reports = [], []
    for part in sorted(PARTS.keys() - LONG):
        command: list[Any] = [
            *servers,
            sys.executable,
            "-m",
            "bench",
            "--dir",
            place,
            "--part",
            part,
            "--plot",
            place / "plot.svg",
        ]
        done = subprocess.run([*command, *tiny], cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            failed.append(f"{part}: {done.stdout[-500:]} {done.stderr[-1500:]}")
        reports += [json.loads(path.read_text()) for path in place.glob("results/*/*.json")]
    assert failed == []
    named = {aim.what for aim in aims.AIMS if database in aim.databases}
    lacking = {aim.what for aim in aims.AIMS if aim.what in named and not aims.measured(aim, reports)}
    assert lacking == set()
