"""`python -m bench`: measure decisions, acts, sweeps, pages, the log and more. bench/parts.py has all parts.

Each part runs in a process of its own, and in a world of its own. At the end, a table says which aims are met.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench import kept
from bench.kept import World
from bench.parts import PARTS

#: The sizes and lengths of `--quick`.
_SMALL = {"due": 500, "acts": 50, "entries": 50_000}
#: The arguments that the table of the aims names.
_SCALE = ("rows", "entries", "proven", "due", "held")
#: How long a part may take to end its servers, in seconds.
_END_WITHIN = 40
#: A file beside the static files that this run has collected.
_COLLECTED = "static-collected"
#: When this process began. Its set-up counts, too.
_BEGUN = time.monotonic()
console = Console()


def main() -> int:
    # A signal to this program also ends its children and their servers.
    signal.signal(signal.SIGTERM, _exit)
    arguments = _arguments()
    if arguments.prepare and arguments.table:
        return 0
    if arguments.table or arguments.document:
        from bench import aims

        due = [(part, database) for database in aims.DATABASES for part in _wanted(arguments, database)]
        aims.show(_place(arguments), due, is_written=arguments.document, console=console)
        return 0
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    os.environ["LOG_LEVEL"] = "ERROR"
    if arguments.world is not None:
        return _in_world(arguments, World.named(arguments.world))
    if not arguments.prepare:
        _forget(arguments)
        # They may have changed since the last run.
        (_place(arguments) / _COLLECTED).unlink(missing_ok=True)
    wanted = _wanted(arguments, kept.vendor())
    for world in {str(world): world for part in wanted for world in PARTS[part].worlds(arguments)}.values():
        is_lacking = kept.facts(world, _place(arguments)) is None
        if (is_lacking or arguments.prepare) and _child(arguments, world, "--prepare"):
            return 1
    if arguments.prepare:
        return 0
    done, spare = [], 0.0
    for name, world in ((part, world) for part in wanted for world in PARTS[part].worlds(arguments)):
        begun, limit = time.monotonic(), _limit(arguments, name)
        done.append(_measured(arguments, name, world, limit + spare))
        spare += limit - (time.monotonic() - begun)
    return 0 if all(done) else 1


def _limit(arguments: argparse.Namespace, name: str) -> float:
    """Return in how many seconds a part must end. It may also take what the parts before it have left."""
    if arguments.part:
        return math.inf
    return (PARTS[name].quick if arguments.quick else PARTS[name].limit) * float(arguments.patience)


def _wanted(arguments: argparse.Namespace, database: str) -> list[str]:
    """Return the names of the parts that are wanted on this database."""
    if arguments.database not in (None, database):
        return []
    if arguments.part:
        return list(arguments.part)
    limits = {name: part.quick if arguments.quick else part.limit for name, part in PARTS.items()}
    return [name for name, limit in limits.items() if limit and database in PARTS[name].databases]


def _place(arguments: argparse.Namespace) -> Path:
    return Path(arguments.dir or tempfile.gettempdir())


def _results(arguments: argparse.Namespace) -> Path:
    return _place(arguments) / "results" / kept.vendor()


def _forget(arguments: argparse.Namespace) -> None:
    """Delete the reports of earlier runs: those of the parts that are named, or all of them."""
    for path in _results(arguments).glob("*.json"):
        if not arguments.part or path.name.split()[0] in arguments.part:
            path.unlink()


# --- In a process of its own --------------------------------------------------------------------------------------


def _child(arguments: argparse.Namespace, world: World, *more: str, limit: float | None = None) -> int | None:
    """Run this command for one world. Return its exit status, or None if it has not ended within the limit."""
    command = [sys.executable, "-m", "bench", *sys.argv[1:], "--world", str(world), *more]
    process = subprocess.Popen(command)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            # It ends its servers first.
            process.terminate()
            try:
                process.wait(_END_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _measured(arguments: argparse.Namespace, name: str, world: World, limit: float) -> bool:
    """Run one part in one world. Return whether it has ended well."""
    aims = ["--aims"] if arguments.aims else []
    status = _child(arguments, world, "--part", name, *aims, limit=None if limit == math.inf else max(limit, 0.0))
    if status is None:
        console.print(f"\n{name}: not measured, because it took longer than {limit:,.0f} s", soft_wrap=True)
    return status == 0


def _in_world(arguments: argparse.Namespace, world: World) -> int:
    """Measure one part in a world that is there, or make the world."""
    place = _place(arguments)
    known = kept.facts(world, place)
    if arguments.prepare and known is not None:
        # Otherwise each copy would have to be migrated.
        kept.enter(world, place)
        _set_up()
        _complete(world, known)
        return 0
    if arguments.prepare:
        kept.begin(world, place)
        _set_up()
        with _progress() as bar:
            kept.end(world, place, _made(world, bar))
        return 0
    if known is None:
        raise SystemExit(f"there is no world {world}")
    [name] = arguments.part
    part = PARTS[name]
    os.environ["STATIC_ROOT"] = str(place.absolute() / "static")
    copy = kept.enter_copy(world, place, name) if part.is_copied else None
    try:
        if copy is None:
            kept.enter(world, place)
        _set_up()
        _measure(arguments, name, world, known)
    finally:
        if copy is not None:
            kept.leave(copy)
    return 0


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit("ended")


def _set_up() -> None:
    import django

    from lockbox_site import starting

    starting.collect_rarely()
    django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    setup_test_environment()
    call_command("migrate", verbosity=0)


def _collect_static(mark: Path) -> None:
    """Collect the static files, once in a run for all parts."""
    from django.core.management import call_command

    if not mark.exists():
        call_command("collectstatic", interactive=False, verbosity=0)
        mark.touch()


def _made(world: World, bar: Progress) -> dict[str, Any]:
    from bench import parts

    return parts.make(world, Path(os.environ["DATA_DIR"]), bar)


def _complete(world: World, known: dict[str, Any]) -> None:
    from bench import parts

    parts.complete(world, Path(os.environ["DATA_DIR"]), known)


def _measure(arguments: argparse.Namespace, name: str, world: World, known: dict[str, Any]) -> None:
    from bench import measure, parts
    from lockbox_site.serving import garbage
    from requests_app.platform import frames

    _collect_static(_place(arguments) / _COLLECTED)
    # As in the web server.
    garbage.collect_after_requests()
    others = measure.Others()
    with _progress() as bar:
        here = parts.here(world, Path(os.environ["DATA_DIR"]), known, arguments, bar)
        found, notes = frames.in_one_chunk(PARTS[name].run, here)
    conditions = {"machine": measure.machine(), "foreign": others.share(), "seconds": time.monotonic() - _BEGUN}
    scale = {each: getattr(arguments, each) for each in _SCALE} | {"size": world.size}
    figures = [result.figures() for result in found]
    report = {
        "part": name,
        "database": kept.vendor(),
        "world": str(world),
        **conditions,
        "scale": scale,
        "results": figures,
        "notes": notes,
    }
    path = _results(arguments) / f"{name} {world}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report))
    _print(f"{name}, {world}: {conditions['machine']}", found)
    others_used = f"It took {conditions['seconds']:.0f} s. Other programs used {conditions['foreign']:.0%} of one core."
    _print_notes([*notes, others_used])


# --- Output -------------------------------------------------------------------------------------------------------


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(file=sys.stderr), transient=True)


def _print_notes(notes: list[str]) -> None:
    for each in notes:
        console.print(each, soft_wrap=True, highlight=False)


def _print(conditions: str, results: list[Any]) -> None:
    """Print a table in Markdown."""
    console.print(f"\n{conditions}", soft_wrap=True, highlight=False)
    if results:
        headings = ("", "median", "p99", "per second", "in all", "memory", "aim")
        lines = (headings, ("---", *["---:"] * 5, "---"), *map(_row, results))
        _print_notes(["", *(f"| {' | '.join(line)} |" for line in lines), ""])


def _row(result: Any) -> tuple[str, ...]:
    return (
        result.name,
        _time(result.median),
        _time(result.p99),
        f"{result.rate:,.0f} {result.unit}".strip(),
        f"{result.wall:,.2f} s",
        f"{result.peak / 1e6:,.0f} MB" if result.peak else "",
        result.aim,
    )


def _time(milliseconds: float) -> str:
    return f"{milliseconds:,.1f} ms" if milliseconds >= 0.1 else f"{milliseconds * 1000:,.1f} µs"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--part", choices=PARTS, nargs="+", default=[], help="what is measured")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="the only one that is measured")
    parser.add_argument("--quick", action="store_true", help="the most important parts, on less data, in three minutes")
    parser.add_argument("--aims", action="store_true", help="only what has an aim, as in a whole run and with --quick")
    parser.add_argument("--prepare", action="store_true", help="only make the worlds of the parts, which then stay")
    parser.add_argument("--grants", type=int, nargs="+", default=[], help="grants in the worlds of the parts")
    parser.add_argument("--rows", type=int, default=1_000_000, help="access requests of the customer of the pages")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries in one log")
    parser.add_argument("--proven", type=int, default=10_000_000, help="size of the tree that proofs are made of")
    parser.add_argument("--due", type=int, default=10_000, help="how many rows a sweep finds overdue")
    parser.add_argument("--acts", type=int, default=300, help="how many single acts are timed")
    parser.add_argument("--asked", type=int, default=500, help="questions in each round of a measurement")
    parser.add_argument("--signs", type=int, default=300, help="sign-ins, and resets, of known and unknown people")
    parser.add_argument("--slow", type=int, nargs="+", default=[200], help="slow clients of each kind at once")
    parser.add_argument("--held", type=int, default=900, help="event streams and pages that wait at once, half of each")
    parser.add_argument("--windows", type=int, default=10_000, help="open windows beside them")
    parser.add_argument("--cuts", type=int, default=25, help="how many streams of each kind are cut, one by one")
    parser.add_argument("--revocations", type=int, default=25, help="how many windows are revoked for each way")
    parser.add_argument("--batches", type=int, default=40, help="how many reports of 1,000 accesses each guard sends")
    parser.add_argument("--seconds", type=int, default=4, help="how long each load of wrk lasts")
    parser.add_argument("--only", default="", help="a part of the names of the pages that are opened")
    parser.add_argument("--each", action="store_true", help="pages: all roles call the API, 9 times each")
    parser.add_argument("--minutes", type=float, default=60, help="how long the memory of the parts is watched")
    parser.add_argument("--rate", type=float, default=1, help="growth: share of the usual load")
    parser.add_argument("--plot", default="growth.svg", help="the file for the plot of that memory")
    parser.add_argument("--watched", type=int, default=60, help="seconds for which the product is watched at rest")
    parser.add_argument("--peers", action="store_true", help="libraries of other makers, too, from PyPI")
    parser.add_argument("--patience", type=float, default=1, help="how many times its limit a part may take")
    parser.add_argument("--dir", default=None, help="where to put the data (a disk, not memory)")
    parser.add_argument("--table", action="store_true", help="only print the aims, and what the last run has measured")
    parser.add_argument("--document", action="store_true", help="the same, and write it into docs/performance.md")
    parser.add_argument("--world", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(_SMALL)
    # Its children get the name of their part.
    arguments.aims |= not arguments.part
    return arguments


if __name__ == "__main__":
    sys.exit(main())
