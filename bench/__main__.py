"""`python -m bench`: measure decisions, accesses, sweeps, pages, the log, the decision point, the guards, the gates,
the sign-in, and what an installation needs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

PARTS = (
    "acts",
    "calls",
    "log",
    "log-search",
    "decisions",
    "evaluation",
    "guards",
    "revoked",
    "reported",
    "gates",
    "metrics",
    "sign-in",
    "slow-clients",
    "streams",
    "backup",
    "sizing",
    "growth",
)
#: What `--quick` measures, and the sizes and lengths that it measures with.
_QUICK = ("acts", "calls", "log", "decisions")
_SMALL = {"rows": 50_000, "due": 1_000, "acts": 100, "entries": 100_000, "proven": 1_000_000, "grants": [10_000]}
#: Its world is large, and stays for the next time, so it is no part of "all".
STAYING = ("pages",)
#: What an application, or a web tool, does behind a window, and what counting costs a decision.
_BEHIND = ("guards", "revoked", "reported", "gates", "metrics")
console = Console(width=max(Console().width, 100))


def main() -> int:
    arguments = _arguments()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    os.environ["LOG_LEVEL"] = "ERROR"
    if arguments.world is not None:
        return _in_world(arguments)
    parts = _parts(arguments)
    if arguments.prepare or "decisions" in parts:
        # Each world is a database of its own, and so needs a process of its own.
        for size in arguments.grants:
            subprocess.run([sys.executable, "-m", "bench", *sys.argv[1:], "--world", str(size)], check=True)
    if arguments.prepare or parts == ["decisions"]:
        return 0
    stays = arguments.part in STAYING
    scratch = Path(arguments.dir or tempfile.gettempdir(), "worlds", arguments.part).absolute()
    if stays:
        scratch.mkdir(parents=True, exist_ok=True)
    else:
        scratch = Path(tempfile.mkdtemp(prefix="lockbox-bench-", dir=arguments.dir))
    os.environ["DATA_DIR"] = str(scratch)
    _set_up()
    try:
        return _run(arguments, parts, scratch)
    finally:
        if not stays:
            shutil.rmtree(scratch, ignore_errors=True)


def _parts(arguments: argparse.Namespace) -> list[str]:
    if arguments.part != "all":
        return [arguments.part]
    # The growth takes an hour, so it is measured only if it is named.
    return list(_QUICK if arguments.quick else [part for part in PARTS if part != "growth"])


def _set_up() -> None:
    import django

    django.setup()
    from django.test.utils import setup_test_environment

    setup_test_environment()


def _in_world(arguments: argparse.Namespace) -> int:
    """Measure decisions in a world that stays, or only make the world."""
    from bench import kept

    size = arguments.world
    is_there = kept.settle(Path(arguments.dir or tempfile.gettempdir()), size)
    _set_up()
    from django.core.management import call_command

    from bench import decisions, measure

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    with _progress() as bar:
        cast, pairs = kept.world(size, is_there, bar)
        if arguments.prepare:
            return 0
        _lift_limits()
        rounds, seconds = (1, 3) if arguments.quick else (3, arguments.seconds)
        results, notes = decisions.run(cast, size, pairs, seconds=seconds, rounds=rounds, bar=bar)
    _print(f"{measure.machine()}; {size:,} grants", results, arguments)
    _print_notes(notes)
    return 0


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(file=sys.stderr), transient=True)


def _print_notes(notes: list[str]) -> None:
    for each in notes:
        console.print(each, soft_wrap=True, highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="access requests in the table")
    parser.add_argument("--due", type=int, default=10_000, help="how many of them a sweep finds overdue")
    parser.add_argument("--acts", type=int, default=300, help="how many single acts are timed")
    parser.add_argument("--part", choices=("all", *PARTS, *STAYING), default="all", help="what is measured")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries in one log")
    parser.add_argument("--proven", type=int, default=10_000_000, help="size of the tree that proofs are made of")
    parser.add_argument("--grants", type=int, nargs="+", default=[10_000], help="grants in the table, ascending")
    parser.add_argument("--asked", type=int, default=500, help="questions to the decision point on each connection")
    parser.add_argument("--signs", type=int, default=2_000, help="sign-ins, and resets, of known and unknown people")
    parser.add_argument("--slow", type=int, nargs="+", default=[200], help="slow clients of each kind at once")
    parser.add_argument("--held", type=int, default=900, help="event streams and pages that wait at once, half of each")
    parser.add_argument("--windows", type=int, default=10_000, help="open windows beside them")
    parser.add_argument("--cuts", type=int, default=50, help="how many streams of each kind are cut, one by one")
    parser.add_argument("--revocations", type=int, default=25, help="how many windows are revoked for each way")
    parser.add_argument("--batches", type=int, default=40, help="how many reports of 1,000 accesses each guard sends")
    parser.add_argument("--seconds", type=int, default=8, help="how long each load of wrk lasts")
    parser.add_argument("--only", default="", help="a part of the names of the pages that are opened")
    parser.add_argument("--minutes", type=float, default=60, help="how long the memory of the parts is watched")
    parser.add_argument("--plot", default="growth.svg", help="the file for the plot of that memory")
    parser.add_argument("--peers", action="store_true", help="other decision points, too, from PyPI and npm")
    parser.add_argument("--dir", default=None, help="where to put the data (a disk, not memory)")
    parser.add_argument("--prepare", action="store_true", help="only make the worlds of --grants, which then stay")
    parser.add_argument("--quick", action="store_true", help="some parts, on less data, in three minutes")
    parser.add_argument("--markdown", action="store_true", help="print tables for a document")
    parser.add_argument("--world", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(_SMALL)
    return arguments


def _run(arguments: argparse.Namespace, parts: list[str], scratch: Path) -> int:
    from django.core.management import call_command
    from django.db import connection

    from bench import measure, sweeps, world

    stays = arguments.part in STAYING
    if connection.vendor == "postgresql":
        from django.test.runner import DiscoverRunner

        # Django would read all rows, so that a test could restore them.
        old = DiscoverRunner(verbosity=0, interactive=False, keepdb=stays).setup_databases(serialized_aliases=[])
    else:
        old = None
        call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    try:
        with _progress() as bar:
            results: list[Any] = []
            missing: list[str] = []
            worldly = {"acts", "calls", "evaluation", "slow-clients", "streams", "sizing", "growth", *_BEHIND}
            if not worldly.isdisjoint(parts):
                cast = world.make(scratch / "content")
            if "slow-clients" in parts:
                from bench import slow_clients

                _lift_limits()
                for count in arguments.slow:
                    results += slow_clients.run(cast, count, seconds=7, bar=bar)
            notes: list[str] = []
            if stays:
                from bench import pages

                _lift_limits()
                found = pages.run(scratch, arguments.rows, arguments.entries, bar, only=arguments.only)
                notes = [str(page) for page in sorted(found, key=lambda page: -page.median)]
            if "streams" in parts:
                from bench import streams

                _lift_limits()
                found, lines = streams.run(cast, arguments.held, arguments.windows, arguments.cuts, bar)
                results += found
                notes += lines
            if "evaluation" in parts:
                from bench import evaluation

                size = arguments.grants[0]
                found, missing = evaluation.run(cast, size, each=arguments.asked, with_peers=arguments.peers, bar=bar)
                results += found
            if "calls" in parts:
                from bench import calls

                _lift_limits()
                results += calls.run(cast, bar)
            for part in _BEHIND:
                if part in parts:
                    found, lacking = _behind(part, cast, arguments, bar)
                    results += found
                    missing += lacking
            if "acts" in parts:
                results += _acts(cast, arguments.acts, bar)
                task = bar.add_task(f"writing {arguments.rows:,} access requests", total=arguments.rows)
                world.crowd(cast, arguments.rows, lambda done: bar.update(task, completed=done))
                results += _pages(cast, arguments.acts, bar)
                results += sweeps.run(cast, arguments.due, bar)
            if "sign-in" in parts:
                from bench import sign_in

                found, more = sign_in.run(arguments.signs, bar)
                results, notes = results + found, notes + more
            if "log" in parts:
                from bench import log

                results += log.run(arguments.entries, arguments.proven, bar)
            if "log-search" in parts:
                from bench import log_search

                found, lines = log_search.run(arguments.entries, bar)
                results += found
                notes += lines
            if "sizing" in parts:
                from bench import sizing

                _lift_limits()
                found, lines = sizing.run(cast, arguments.seconds, bar)
                results += found
                notes += lines
            if "growth" in parts:
                from bench import growth

                _lift_limits()
                notes += growth.run(cast, arguments.minutes, Path(arguments.plot), bar)
            if "backup" in parts:
                from bench import backup

                found, sizes = backup.run(arguments.entries, scratch, bar)
                results += found
                notes += sizes
        scale = f"{arguments.rows:,} access requests, {arguments.entries:,} entries in one log"
        _print(f"{measure.machine()}; {scale}", results, arguments)
        _print_notes([*notes, *(f"Not measured: {what}" for what in missing)])
    finally:
        if old is not None and not stays:
            DiscoverRunner(verbosity=0, interactive=False).teardown_databases(old)
    return 0


def _behind(part: str, cast: Any, arguments: argparse.Namespace, bar: Any) -> tuple[list[Any], list[str]]:
    from bench import counted, gates, guards, reported, revoked

    _lift_limits()
    if part == "guards":
        return guards.run(arguments.asked * 10, with_peers=arguments.peers, bar=bar)
    if part == "revoked":
        return revoked.run(cast, arguments.revocations, bar)
    if part == "reported":
        return reported.run(cast, arguments.batches, bar), []
    if part == "metrics":
        return counted.run(cast, arguments.seconds, bar)
    return gates.run(cast, arguments.seconds, bar)


def _acts(cast: Any, count: int, bar: Any) -> list[Any]:
    from bench.measure import timed
    from requests_app import operations

    ticking = bar.add_task("decisions and content opens", total=3 * count)
    tick = partial(bar.advance, ticking)
    ticket = cast.ticket()
    mailbox = cast.resource()
    rows = [_confirmed(cast, ticket, tick) for _ in range(count)]
    ada = cast.as_("ada")
    decisions = timed(
        "customer's yes, committed with its entry",
        [partial(operations.approve_as_customer, row.pk, actor=ada) for row in rows],
        tick=tick,
    )
    grant = cast.opened(ticket=ticket)
    priya = cast.as_("priya")

    def read(item: str) -> None:
        _access, _item, stream = operations.content.open_item(grant.pk, mailbox.pk, item, actor=priya)
        with stream:
            for _chunk in stream.chunks:
                pass

    opens = timed(
        "content open, with its committed entry",
        [partial(read, f"{n % 200}.mail") for n in range(count)],
        tick=tick,
    )
    return [decisions, opens]


def _lift_limits() -> None:
    """Remove the limits on an engineer's access requests and on a tenant's clients."""
    from requests_app.domain import limits
    from requests_app.operations import integrations

    integrations.MOST_CLIENTS = limits.PENDING_MAX = limits.HOURLY_MAX = sys.maxsize


def _confirmed(cast: Any, ticket: Any, tick: Callable[[], None]) -> Any:
    """Return an access request that the provider has approved and that waits for the customer."""
    _lift_limits()
    tick()
    return cast.confirmed(ticket=ticket)


def _deep(cast: Any) -> str:
    """Return the URL of a page in the middle of the customer's list of access requests."""
    from urllib.parse import urlencode

    from requests_app.models import AccessRequest
    from requests_app.queries.inbox import Cursor

    rows = AccessRequest.objects.filter(tenant=cast.contoso, state="DENIED").order_by("-decide_by")
    row = rows[rows.count() // 2]
    return f"/access-requests/?{urlencode({'state': 'denied', 'before': Cursor(row.decide_by, row.pk)})}"


def _pages(cast: Any, count: int, bar: Any) -> list[Any]:
    from django.test import Client

    from bench.measure import timed

    pages = [
        ("ada", "/", "customer's inbox"),
        ("pat", "/", "provider's queue"),
        ("priya", "/", "engineer's home"),
        ("ada", "/access-requests/", "customer's list"),
        ("ada", "/access-requests/?state=denied", "customer's list, one state"),
        ("ada", _deep(cast), "customer's list, half way down"),
        ("pat", "/access-requests/", "provider's list"),
    ]
    results = []
    for who, address, name in pages:
        ticking = bar.add_task(name, total=count)
        client = Client()
        client.force_login(cast.people[who])

        def get(client: Client = client, address: str = address) -> None:
            response = client.get(address)
            assert response.status_code == 200, response.status_code

        get()
        results.append(timed(f"{name}, server side", [get] * count, aim="≤ 50 ms", tick=partial(bar.advance, ticking)))
    return results


def _print(conditions: str, results: list[Any], arguments: argparse.Namespace) -> None:
    console.print(f"\n{conditions}", soft_wrap=True, highlight=False)
    headings = ("", "median", "p99", "per second", "in all", "memory", "aim")
    rows = [_row(result) for result in results]
    if arguments.markdown:
        lines = (headings, ("---", *["---:"] * 5, "---"), *rows)
        _print_notes(["", *(f"| {' | '.join(line)} |" for line in lines), ""])
        return
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("", "aim") else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


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


if __name__ == "__main__":
    sys.exit(main())
