"""Measures sweeps: one that finds nothing, one of many rows that are due, and two at once of ten times as many."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Min

from audit_app.models import AuditEntry
from bench import grants, product
from bench.measure import Result, timed
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.tasks import BATCH

ROOT = Path(__file__).resolve().parent.parent
IDLE = 300
#: How many times as many rows two processes end at once.
TOGETHER = 10

Sweep = Callable[..., int]


def run(cast: Any, due: int, bar: Any, *, only_aims: bool) -> list[Result]:
    """Sweep `due` access requests and windows in this process, and then more of them in two processes at once.

    With `only_aims`, the two processes only close windows, which takes longer than to expire access requests.
    """
    sweeps = operations.sweeps
    results = []
    for swept, add, name, event in (
        (sweeps.expire_overdue, partial(grants.due, cast, windows=False), "access requests", "access_request.expired"),
        (sweeps.close_elapsed, partial(grants.due, cast, windows=True), "windows", "grant.closed"),
    ):
        results.append(_idle(swept, name, bar))
        add(due)
        if connection.vendor == "sqlite":
            results.append(_alone(swept, name, due, bar))
        else:
            # A sweep that finds much is shared by two workers.
            results.append(_together(f"sweep in batches of {BATCH}, by two workers: {due:,} {name}", due, event, 1.5))
        if name == "windows" or not only_aims:
            many = due * TOGETHER
            add(many, start=due)
            results.append(_together(f"sweep by two processes: {many:,} {name}", many, event, 10))
    return results


def _idle(swept: Sweep, name: str, bar: Any) -> Result:
    ticking = bar.add_task("idle sweeps", total=IDLE)
    system = Actor.system("sweep")
    acts = [lambda: swept(actor=system, limit=BATCH)] * IDLE
    return timed(f"sweep that finds nothing: {name}", acts, aim="≤ 1 ms", tick=lambda: bar.advance(ticking))


def _alone(swept: Sweep, name: str, due: int, bar: Any) -> Result:
    ticking = bar.add_task("sweep", total=due)
    seconds, begun, done, plan = [], time.perf_counter(), 0, operations.sweeps.Plan()
    # As the task does it.
    with connection.with_room():  # type: ignore[attr-defined]  # our own backends
        while done < due:
            started = time.perf_counter()
            found = swept(actor=Actor.system("sweep"), limit=BATCH, plan=plan)
            seconds.append(time.perf_counter() - started)
            done += found
            bar.update(ticking, completed=done)
            if not found:
                raise SystemExit(f"the sweep found {done} of {due}")
    named = f"sweep in batches of {BATCH}: {due:,} {name}"
    return Result(named, seconds, time.perf_counter() - begun, "≤ 1.5 s in all")


def _together(named: str, due: int, event: str, aim: float) -> Result:
    """Run `manage.py sweep` twice at the same time, and again until nothing is left: each run ends after 20 seconds.

    The time is that from the first entry of a run to its last one, so the start of the processes does not count.
    """
    command = [sys.executable, str(ROOT / "manage.py"), "sweep"]
    done, wall = 0, 0.0
    while done < due:
        before = AuditEntry.objects.aggregate(last=Max("pk"))["last"] or 0
        running = [
            subprocess.Popen(
                command, env={**os.environ, "DATABASE_URL": product.database_url()}, stdout=subprocess.DEVNULL
            )
            for _ in range(2)
        ]
        if any(process.wait() for process in running):
            raise SystemExit("a sweep failed")
        entries = AuditEntry.objects.filter(pk__gt=before, event=event)
        found = entries.aggregate(count=Count("pk"), first=Min("at"), last=Max("at"))
        done += found["count"]
        if not found["count"] or done > due:
            raise SystemExit(f"the sweeps wrote {done} of {due} entries")
        wall += (found["last"] - found["first"]).total_seconds()
    return Result(named, [wall], wall, f"≤ {aim:g} s", units=due)
