"""The aims of docs/performance.md, and the table that compares the last runs with them."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
Figures = dict[str, Any]
#: What was measured, and whether that meets the aim.
Verdict = tuple[str, bool]
#: Gets the results of one part on one database.
Judge = Callable[[list[Figures]], Verdict | None]


@dataclass(frozen=True)
class Aim:
    """One line of the table. `what` may name numbers of the run, such as {due}.

    `before` is the figure from before the work on speed began, and empty if nobody had measured it.
    """

    what: str
    before: str
    aim: str
    part: str
    judge: Judge
    databases: tuple[str, ...] = tuple(DATABASES)


_OVER = "pages over it"
#: Units of figures without a fraction.
_WHOLE = ("KB", "MB", "statements", _OVER)
_SIZE = re.compile(r"([0-9,]+) (?:grants|entries)$")


# --- How a figure is judged ---------------------------------------------------------------------------------------


def _all(results: list[Figures], name: str) -> list[Figures]:
    return [figures for figures in results if figures["name"].startswith(name)]


def _text(value: float, unit: str) -> str:
    digits = 0 if value >= 100 or unit in _WHOLE else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def _range(values: list[float], unit: str) -> str:
    low, high = _text(min(values), ""), _text(max(values), unit)
    return high if high.startswith(low) else f"{low}–{high}"


def at_most(name: str, key: str, limit: float, unit: str = "ms", *, per: float = 1) -> Judge:
    """Judge the largest of the figures whose names begin with `name`."""

    def judge(results: list[Figures]) -> Verdict | None:
        values = [figures[key] / per for figures in _all(results, name) if key in figures]
        return (_range(values, unit), max(values) <= limit) if values else None

    return judge


def at_least(name: str, limit: float) -> Judge:
    """Judge the lowest rate."""

    def judge(results: list[Figures]) -> Verdict | None:
        rates = [figures["rate"] for figures in _all(results, name)]
        return (_range(rates, "a second"), min(rates) >= limit) if rates else None

    return judge


def of_peer(name: str, share: float) -> Judge:
    """Judge the rates as shares of those of Cerbos in the same run."""

    def judge(results: list[Figures]) -> Verdict | None:
        theirs = {_size(figures): figures["rate"] for figures in _all(results, "Cerbos")}
        ours = [figures for figures in _all(results, name) if _size(figures) in theirs]
        shares = [figures["rate"] / theirs[_size(figures)] for figures in ours]
        if not shares:
            return None
        rates = _range([figures["rate"] for figures in ours], "a second")
        return f"{rates}: {_range(shares, '')} of it", min(shares) >= share

    return judge


def no_worse(names: tuple[str, ...], limit: float) -> Judge:
    """Judge how many times as fast the smallest world is as the largest one."""

    def judge(results: list[Figures]) -> Verdict | None:
        ratios, sizes = [], set[int]()
        for name in names:
            rates = {_size(figures): figures["rate"] for figures in _all(results, name)}
            if len(rates) > 1:
                ratios.append(rates[min(rates)] / rates[max(rates)])
                sizes.add(max(rates))
        return (f"{_range(ratios, 'times')}, with {max(sizes):,}", max(ratios) <= limit) if ratios else None

    return judge


def in_smallest(judge: Judge) -> Judge:
    """Judge the results in the world with the fewest grants. `no_worse` compares the larger ones with it."""

    def judged(results: list[Figures]) -> Verdict | None:
        smallest = min(map(_size, results), default=0)
        return judge([figures for figures in results if _size(figures) == smallest])

    return judged


def in_largest(judge: Judge) -> Judge:
    """Judge the results of the longest log."""

    def judged(results: list[Figures]) -> Verdict | None:
        largest = max(map(_size, results), default=0)
        return judge([figures for figures in results if _size(figures) == largest])

    return judged


def _size(figures: Figures) -> int:
    """Return the number of grants or entries at the end of the name."""
    found = _SIZE.search(figures["name"])
    return int(found[1].replace(",", "")) if found else 0


def both(*judges: Judge) -> Judge:
    """Judge several figures together."""

    def judge(results: list[Figures]) -> Verdict | None:
        found = [verdict for each in judges if (verdict := each(results)) is not None]
        if len(found) < len(judges):
            return None
        return "; ".join(text for text, _met in found), all(met for _text, met in found)

    return judge


_PG, _LITE = ("postgresql",), ("sqlite",)
_ACCESS, _ONE = "access with its entry", "access, one tenant"
AIMS = (
    Aim("advice, 32 connections", "285–515 a second", "the rate of Cerbos in the same run", "decisions",
        in_smallest(of_peer("advice", 1)), _PG),
    Aim("access with its committed entry", "254–363 a second; 380–550 ms", "0.6 of the rate of Cerbos; p99 ≤ 40 ms",
        "decisions", in_smallest(both(of_peer(_ACCESS, 0.6), at_most(_ACCESS, "p99", 40))), _PG),
    Aim("access, one tenant", "178–277 a second", "1,500 a second", "decisions",
        in_smallest(at_least(_ONE, 1500)), _PG),
    Aim("the same with many more grants", "", "1.5 times at most, with 10,000,000", "decisions",
        no_worse(("advice", _ACCESS, _ONE), 1.5)),
    Aim("advice, SQLite", "227 a second; 376 ms", "2,500 a second; p99 ≤ 100 ms; none over 1 s", "decisions",
        both(at_least("advice", 2500), at_most("advice", "p99", 100), at_most("advice", "longest", 1000)), _LITE),
    Aim("access, SQLite", "101 a second; 1,686 ms; 3 % over 2 s", "1,000 a second; p99 ≤ 100 ms; none over 1 s",
        "decisions",
        both(at_least(_ACCESS, 1000), at_most(_ACCESS, "p99", 100), at_most(_ACCESS, "longest", 1000)), _LITE),
    Aim("forward authentication through nginx", "", "1,500 a second", "gates",
        at_least("1,000 tenants, 32", 1500), _PG),
    Aim("API: one access request", "7.7 ms, 12 statements", "2 ms of processor time, 4 statements", "calls",
        both(at_most("API: one access request, CPU", "median", 2),
             at_most("API: one access request, CPU", "statements", 4, "statements"))),
    Aim("API: list of 50", "26 ms", "5 ms of processor time", "calls",
        at_most("API: 50 access requests, CPU", "median", 5)),
    Aim("home pages", "20–24 ms", "8 ms of processor time", "calls", at_most("home of", "median", 8)),
    Aim("customer's approval", "13.5 ms; SQLite 7.0 ms", "median 4 ms", "acts",
        at_most("customer's yes", "median", 4)),
    Aim("content opened, with its entry", "15.5 ms; SQLite 9.9 ms", "median 4 ms", "acts",
        at_most("content open", "median", 4)),
    Aim("sweep without work", "1.1 and 2.0 ms", "1 ms", "sweeps", at_most("sweep that finds nothing", "median", 1)),
    Aim("{due} due among {size}: expired, windows closed", "2.6 and 3.8 s", "1.5 s for 10,000", "sweeps",
        at_most("sweep in batches", "wall", 1.5, "s")),
    Aim("ten times as many with two clusters: windows closed", "", "10 s for 100,000", "sweeps",
        at_most("sweep by two processes", "wall", 10, "s")),
    Aim("pages at {rows} rows: the slowest", "302 ms", "p95 ≤ 50 ms", "pages",
        both(at_most("the p95 of each page", "longest", 50), at_most("the p95 of each page", "slow", 0, _OVER))),
    Aim("the largest", "584 KB", "60 KB", "pages", at_most("the p95 of each page", "bytes", 60, "KB", per=1e3)),
    Aim("search of a log of {entries} entries by words", "262–302 ms", "p95 ≤ 50 ms", "log-search",
        both(at_most("", "p95", 50), at_most("", "first", math.inf, "ms for the first, which may read the disk"))),
    Aim("appending alone; in batches", "1,044; 16,767 a second", "2,000; 25,000 a second", "log",
        both(at_least("entry appended alone", 2000), at_least("batch of", 25_000)), _PG),
    Aim("proof in a tree of {proven}", "1.5 ms", "1 ms", "proof", at_most("inclusion proof", "median", 1)),
    Aim("evidence of {entries} entries", "74–84 s; 126 MB", "30 s for 1,000,000; 126 MB", "evidence",
        in_largest(both(at_most("evidence written", "wall", 30, "s"),
                        at_most("evidence written", "peak", 126, "MB", per=1e6)))),
    Aim("`lockbox_verify.py` on it", "10.4 s", "6 s for 1,000,000", "evidence",
        in_largest(at_most("evidence verified", "wall", 6, "s"))),
    Aim("the server's own check", "34.8 s", "12 s for 1,000,000", "evidence",
        at_most("1,000 entries verified by", "wall", 12, "s")),
    Aim("second `bin/run`", "6.3 s", "3 s", "rest", at_most("second start", "wall", 3, "s")),
    Aim("memory at rest", "444 MB; SQLite 425 MB", "250 MB", "rest",
        at_most("second start", "peak", 250, "MB", per=1e6)),
    Aim("processor at rest", "2.5 %; SQLite 3.6 %", "0.5 % of a core", "rest",
        at_most("second start", "share", 0.5, "%")),
    Aim("growth in an hour of load", "", "none", "growth", at_most("growth", "megabytes", 1, "MB an hour")),
    Aim("a cut with {held} streams and pages", "", "p99 ≤ 100 ms", "streams", at_most("committed →", "p99", 100)),
    Aim("the same on another host", "", "p99 ≤ 1 s", "streams", at_most("on another host", "p99", 1000), _PG),
    Aim("other pages meanwhile", "", "p99 ≤ 300 ms", "streams", at_most("/", "p99", 300)),
)  # fmt: skip


# --- The table ----------------------------------------------------------------------------------------------------

#: The document with the table. Its last column says what an aim that is not met would take.
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
#: In that column of an aim that is not met any more. Somebody must replace it.
UNKNOWN = "not known yet"
_NONE = re.compile(r" not measured \(\w+\)(, not measured \(\w+\))? ")
HEAD = "| what | before | aim | measured | met | what it would take |"


def table(place: Path, wanted: Collection[tuple[str, str]], document: str) -> list[str]:
    """Return the lines of the table, and of its conditions, from the reports below `place`.

    An aim has a line if one of the parts that should be measured, which are `wanted` with their databases, belongs to
    it. Without reports, there are no lines.
    """
    reports = _reports(place, wanted)
    if not reports:
        return []
    lacks = {name: line.split("|")[-2].strip() for name, line in rows_of(document).items()}
    lines = [HEAD, "|---|---|---|---|---|---|"]
    for aim in AIMS:
        verdicts = measured(aim, reports)
        found = {name: verdicts.get(name) for name in aim.databases if (aim.part, name) in wanted}
        if found:
            what, met = _what(aim, reports), _met(found)
            takes = "" if met == "yes" else lacks.get(what) or UNKNOWN
            lines.append(f"| {' | '.join((what, aim.before, aim.aim, _summary(found), met, takes))} |")
    machines = sorted({report["machine"] for report in reports})
    used = _range([report["foreign"] * 100 for report in reports], "% of one core")
    return [*lines, "", *(f"Machine: {each}." for each in machines), f"Other programs used {used} meanwhile."]


def durations(place: Path, wanted: Collection[tuple[str, str]]) -> str:
    """Return a line with the seconds that each of these parts took, in all of its worlds."""
    seconds = dict[str, dict[str, float]]()
    for report in _reports(place, wanted):
        of = seconds.setdefault(report["part"], {})
        of[report["database"]] = of.get(report["database"], 0.0) + report["seconds"]
    parts = (
        f"{part} {' + '.join(f'{of[name]:.0f}' for name in DATABASES if name in of)}" for part, of in seconds.items()
    )
    return f"Seconds, on {' + '.join(DATABASES.values())}: {', '.join(parts)}."


def _reports(place: Path, wanted: Collection[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the reports of these parts. Others may be there from earlier runs."""
    found = [json.loads(path.read_text()) for path in sorted(place.glob("results/*/*.json"))]
    return [report for report in found if (report["part"], report["database"]) in wanted]


def measured(aim: Aim, reports: list[dict[str, Any]]) -> dict[str, Verdict]:
    """Return what the reports say about an aim, for each database."""
    found = {}
    for database in aim.databases:
        of = [report for report in reports if (report["part"], report["database"]) == (aim.part, database)]
        verdict = aim.judge([figures for report in of for figures in report["results"]])
        if verdict is not None:
            found[database] = verdict
    return found


def _what(aim: Aim, reports: list[dict[str, Any]]) -> str:
    scale = next((report["scale"] for report in reports if report["part"] == aim.part), None)
    return aim.what.format(**{name: f"{number:,}" for name, number in scale.items()}) if scale else aim.what


def _summary(found: Mapping[str, Verdict | None]) -> str:
    texts = ((verdict[0] if verdict else "not measured", DATABASES[database]) for database, verdict in found.items())
    return ", ".join(f"{text} ({name})" for text, name in texts)


def _met(found: Mapping[str, Verdict | None]) -> str:
    met = [DATABASES[database] for database, verdict in found.items() if verdict and verdict[1]]
    return "yes" if len(met) == len(found) else f"only {met[0]}" if met else "no"


def rows_of(document: str) -> dict[str, str]:
    """Return the lines of the table of a document, by what they are about."""
    lines = document.partition(HEAD)[2].partition("\n\n")[0].splitlines()
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}


def renewed(document: str, lines: list[str]) -> str:
    """Return the document with these lines of `table` in the place of its own. A row that was not measured stays."""
    at = lines.index("")
    # Without a report of its part, a line does not know the size of its world either.
    found = {what: line for what, line in rows_of("\n".join(lines)).items() if not _NONE.fullmatch(line.split("|")[4])}
    rows = {**rows_of(document), **found}
    conditions = textwrap.fill(" ".join(lines[at + 1 :]), 120)
    before, _head, rest = document.partition(HEAD)
    # The paragraph after the table has the conditions of the last run.
    after = rest.split("\n\n", 2)[2]
    return "\n\n".join((before + "\n".join([*lines[:2], *rows.values()]), conditions, after))


def show(place: Path, wanted: Collection[tuple[str, str]], *, is_written: bool, console: Console) -> None:
    """Print the table, or write it into the document, too."""
    document = DOCUMENT.read_text(encoding="utf-8")
    lines = table(place, wanted, document)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if lines:
        console.print(f"\n{durations(place, wanted)}", soft_wrap=True, highlight=False)
    if lines and is_written:
        DOCUMENT.write_text(renewed(document, lines), encoding="utf-8")
