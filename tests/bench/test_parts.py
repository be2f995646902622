"""The bench ends in time, and its table says of each aim what was measured, and whether that is enough."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command
from bench import aims, kept, measure
from bench.parts import PARTS

ROOT = Path(__file__).parents[2]
#: The smallest sizes with which each part works.
TINY: dict[str, Any] = {
    "acts": 5, "due": 20, "asked": 64, "entries": 3_000, "proven": 3_000, "rows": 6_000,
    "held": 8, "windows": 20, "cuts": 2, "revocations": 1, "batches": 1, "seconds": 1, "signs": 4, "slow": 4,
    "minutes": 0.3, "watched": 6,
}  # fmt: skip


def test_the_whole_run_ends_within_30_minutes_and_the_quick_one_within_3() -> None:
    # Worlds are made before. The decisions of a whole run have two of them on each database. The servers of PostgreSQL
    # and the set-up take some seconds, too.
    for is_quick, most in ((False, 30 * 60 - 20), (True, 3 * 60 - 8)):
        asked = argparse.Namespace(quick=is_quick, grants=[], rows=1, entries=1, proven=1)
        limits = [
            (part.quick if is_quick else part.limit) * len(part.worlds(asked)) * len(part.databases)
            for part in PARTS.values()
        ]
        assert sum(limits) <= most


def test_each_aim_belongs_to_a_part_of_the_whole_run_or_to_the_hour_of_growth() -> None:
    assert {aim.part for aim in aims.AIMS} == {name for name, part in PARTS.items() if part.limit} | {"growth"}


def report(
    place: Path, database: str, part: str, *results: dict[str, Any], world: str = "", machine: str = "A machine"
) -> None:
    path = place / "results" / database / f"{part}{world}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = {"size": 5_000, "due": 10, "rows": 0, "entries": 0, "proven": 0, "held": 0}
    about = {"part": part, "database": database, "machine": f"{machine}, {database}", "foreign": 0.02, "scale": scale}
    path.write_text(json.dumps({**about, "seconds": 7.0, "results": results}))


def rows(place: Path, *wanted: tuple[str, str], document: str = "") -> dict[str, list[str]]:
    """Return the cells of the table after the first one, by what the line is about."""
    lines = [line for line in aims.table(place, wanted, document)[2:] if line.startswith("|")]
    return {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in lines}


def test_nothing_measured_is_no_table(tmp_path: Path) -> None:
    assert aims.table(tmp_path, [("acts", "sqlite")], "") == []


DUE = "10 due among 5,000: expired, windows closed"
SWEEPS = [("sweeps", "sqlite"), ("sweeps", "postgresql")]


def sweeps(place: Path, **walls: float) -> None:
    for database, wall in walls.items():
        report(place, database, "sweeps", {"name": "sweep in batches of 500: 10 windows", "wall": wall})


def test_the_table_says_for_each_database_what_was_measured(tmp_path: Path) -> None:
    sweeps(tmp_path, sqlite=1.4, postgresql=1.6)
    # This one is from an earlier run.
    report(tmp_path, "sqlite", "pages", machine="Another machine")
    assert rows(tmp_path, *SWEEPS)[DUE] == [
        "2.6 and 3.8 s", "1.5 s for 10,000", "1.40 s (SQLite), 1.60 s (PostgreSQL)", "only SQLite", "not known yet |",
    ]  # fmt: skip
    assert aims.table(tmp_path, SWEEPS, "")[-3:] == [
        "Machine: A machine, postgresql.",
        "Machine: A machine, sqlite.",
        "Other programs used 2.00 % of one core meanwhile.",
    ]


def test_the_table_names_what_should_have_been_measured_and_was_not(tmp_path: Path) -> None:
    sweeps(tmp_path, sqlite=1.4)
    found = rows(tmp_path, *SWEEPS, ("proof", "sqlite"))
    assert found[DUE][2:4] == ["1.40 s (SQLite), not measured (PostgreSQL)", "only SQLite"]
    assert found["sweep without work"][2:4] == ["not measured (SQLite), not measured (PostgreSQL)", "no"]
    assert found["proof in a tree of {proven}"][2:4] == ["not measured (SQLite)", "no"]
    # Nobody wanted the others.
    assert "customer's approval" not in found


def test_the_first_search_of_each_kind_is_judged_apart(tmp_path: Path) -> None:
    report(tmp_path, "sqlite", "log-search", *({"name": "a word", "p95": 10 + n, "first": 300 + n} for n in (0, 7)))
    [found] = rows(tmp_path, ("log-search", "sqlite")).values()
    assert found[2:4] == ["10.0–17.0 ms; 300–307 ms for the first, which may read the disk (SQLite)", "yes"]
    # A report of an older version.
    report(tmp_path, "sqlite", "log-search", {"name": "a word", "p95": 10})
    [found] = rows(tmp_path, ("log-search", "sqlite")).values()
    assert found[2:4] == ["not measured (SQLite)", "no"]


def test_the_document_gets_the_figures_and_stays_otherwise(tmp_path: Path) -> None:
    def line(what: str, measured: str, met: str, takes: str) -> str:
        return f"| {what} | 2.6 and 3.8 s | 1.5 s for 10,000 | {measured} | {met} | {takes} |"

    other = line("something else", "7 s", "no", "years")
    head = f"# Title\n\n{aims.HEAD}\n|---|---|---|---|---|---|\n"
    document = f"{head}{line(DUE, '9 s', 'no', 'fewer indexes')}\n{other}\n\nMachine: old.\n\nThe rest.\n"
    found = document
    # The reason does not come back. Somebody must write a new one.
    for wall, met, takes in ((1.6, "no", "fewer indexes"), (1.4, "yes", ""), (1.7, "no", aims.UNKNOWN)):
        sweeps(tmp_path, sqlite=wall)
        found = aims.renewed(found, aims.table(tmp_path, SWEEPS[:1], found))
        assert found.startswith(f"{head}{line(DUE, f'{wall:.2f} s (SQLite)', met, takes)}\n{other}\n")
        assert found.endswith(
            "Machine: A machine, sqlite. Other programs used 2.00 % of one core meanwhile.\n\nThe rest.\n"
        )


def test_a_part_that_was_not_measured_changes_nothing_in_the_document(tmp_path: Path) -> None:
    sweeps(tmp_path, sqlite=1.6)
    wanted, document = [*SWEEPS[:1], ("pages", "sqlite")], aims.DOCUMENT.read_text(encoding="utf-8")
    lines = aims.table(tmp_path, wanted, document)
    assert any("pages at {rows} rows" in line and "not measured (SQLite)" in line for line in lines)
    before, after = aims.rows_of(document), aims.rows_of(aims.renewed(document, lines))
    # The sweeps of this test have a world of another size, so their line is a new one.
    assert after == {**before, DUE: after[DUE]}


def test_the_document_has_a_line_for_each_aim() -> None:
    places = {aim.what: aim.what.format(due="10,000", size="1,000,000", rows="1,000,000", entries="1,000,000",
              proven="10,000,000", held="900") for aim in aims.AIMS}  # fmt: skip
    found = aims.rows_of(aims.DOCUMENT.read_text(encoding="utf-8"))
    assert found.keys() == set(places.values())
    for what, line in found.items():
        met, takes = (cell.strip() for cell in line.split("|")[5:7])
        assert met == "yes" or takes not in ("", aims.UNKNOWN), what


def test_the_end_of_a_run_says_how_long_each_part_took(tmp_path: Path) -> None:
    report(tmp_path, "sqlite", "acts")
    for database, world in (("sqlite", "a"), ("sqlite", "b"), ("postgresql", "a")):
        report(tmp_path, database, "decisions", world=world)
    report(tmp_path, "sqlite", "pages")
    wanted = [("acts", "sqlite"), ("decisions", "sqlite"), ("decisions", "postgresql")]
    assert aims.durations(tmp_path, wanted) == "Seconds, on SQLite + PostgreSQL: decisions 14 + 7, acts 7."


def test_rates_are_compared_with_those_of_the_peer_in_the_same_run_and_world(tmp_path: Path) -> None:
    for size, theirs, ours in (("10,000", 4_000, 2_400), ("1,000,000", 5_000, 2_500)):
        results = [
            {"name": f"{name}, {size} grants", "rate": rate, "p99": 30, "longest": 100}
            for name, rate in (("Cerbos 1, no log", theirs), ("advice", theirs), ("access with its entry", ours))
        ]
        report(tmp_path, "postgresql", "decisions", *results, world=size)
    found = {what: cells[2:4] for what, cells in rows(tmp_path, ("decisions", "postgresql")).items()}
    # The aims are for the smallest world, and the next line says how much slower the larger one is.
    assert found["advice, 32 connections"] == ["4,000 a second: 1.00 of it (PostgreSQL)", "yes"]
    assert found["access with its committed entry"] == ["2,400 a second: 0.60 of it; 30.0 ms (PostgreSQL)", "yes"]
    assert found["the same with many more grants"] == ["0.80–0.96 times, with 1,000,000 (PostgreSQL)", "yes"]
    assert found["access, one tenant"] == ["not measured (PostgreSQL)", "no"]


def test_evidence_is_judged_by_the_longest_log(tmp_path: Path) -> None:
    results = [
        {"name": f"evidence written, with timelines: {count} entries", "wall": wall, "peak": peak}
        for count, wall, peak in (("1,000,000", 40, 120e6), ("20,000", 3, 130e6))
    ]
    report(tmp_path, "sqlite", "evidence", *results)
    found = rows(tmp_path, ("evidence", "sqlite"))
    assert found["evidence of 0 entries"][2:4] == ["40.0 s; 120 MB (SQLite)", "no"]


@pytest.mark.parametrize(("part", "left"), [([], []), (["log", "acts"], ["log-search world.json"])])
def test_a_run_of_some_parts_leaves_the_reports_of_the_others(tmp_path: Path, part: list[str], left: list[str]) -> None:
    for name in ("log", "log-search", "acts"):
        report(tmp_path, kept.vendor(), name, world=" world")
    command._forget(argparse.Namespace(dir=tmp_path, part=part))
    assert [path.name for path in tmp_path.glob("results/*/*")] == left


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory for the worlds, which the parts share."""
    # The account of PostgreSQL's server can't enter the directories of pytest.
    with tempfile.TemporaryDirectory(prefix="lockbox-bench-") as found:
        Path(found).chmod(0o755)
        yield Path(found)


@pytest.mark.deep
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("database", aims.DATABASES)
@pytest.mark.parametrize("part", PARTS)
def test_each_part_measures_what_the_table_needs(place: Path, part: str, database: str) -> None:
    # The parts kill their server, so it is not that of the tests.
    servers = [sys.executable, "bin/_with_postgres.py"] if database == "postgresql" else []
    # The settings of the tests would put the data of all parts elsewhere.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {"DURABLE": "1", "DATA_STAYS_IN": str(place / "postgresql")}
    tiny = [word for name, number in TINY.items() for word in (f"--{name}", str(number))]
    # Its aims compare a small world with a large one.
    tiny += ["--grants", "4200", *(["4300"] if part == "decisions" else [])]
    # A whole run measures only what has an aim.
    tiny += ["--aims"] if database == "postgresql" else []
    bench: list[Any] = [*servers, sys.executable, "-m", "bench", "--dir", place, "--plot", place / "plot.svg", *tiny]
    done = subprocess.run([*bench, "--part", part], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]} {done.stderr[-5000:]}"
    reports = [json.loads(path.read_text()) for path in (place / "results" / database).glob(f"{part} *.json")]
    needed = {aim.what for aim in aims.AIMS if (aim.part, database in aim.databases) == (part, True)}
    assert {aim.what for aim in aims.AIMS if database in aims.measured(aim, reports)} == needed
    if part == "breaks":
        _headings, _rule, *breaks, left, verified = reports[0]["notes"]
        assert (left, verified[:16]) == ("processes after the end: none", "verify_audit: 0,")
        # Everything was back, and what ended during a break was cut.
        assert breaks
        assert [line for line in breaks if "not back" in line or "still open" in line] == []


def test_a_quantile_is_the_time_that_so_many_calls_do_not_exceed() -> None:
    calls = [n / 1000 for n in (20, *range(1, 20))]
    assert [measure.quantile(calls, share) for share in (0.95, 0.99, 0.5)] == [19, 20, 10]
    assert measure.quantile([0.007], 0.95) == 7
