"""Measure a log: append entries with tiles and checkpoints, sign it again, check it, prove entries, write evidence."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from audit_app import checkpoints, keys, recorder, redating, signing_round, tree
from audit_app.tiles import Tiles
from audit_app.verify import Verification
from bench import bundle
from bench.entries import AT, entry
from bench.measure import Result, timed

BATCH = 500
#: How many entries are appended alone, and how many in batches. The world of `evidence` notes the rate of a longer log.
_ALONE, _BATCHED = 2_000, 100_000
#: How many entries an idle log has.
SHORT = 20
#: The most idle logs. To make them takes twice as long as to date them.
_IDLE = 200
#: How often the beat asks for checkpoints, in seconds. Here, the appending process also signs.
SIGN_EVERY = 10.0


def run(entries: int, bar: Any) -> list[Result]:
    keys.create()
    alone, batched = min(_ALONE, entries), min(_BATCHED, entries)
    # This comes first, because a round signs any log that is due.
    idle = _heartbeats(bar, min(_IDLE, entries // 10) // redating.BATCH * redating.BATCH)
    results = [append(bar, "entry appended alone", alone, 1, "≥ 2,000/s on PostgreSQL")[1]]
    tenant, appended = append(bar, f"batch of {BATCH} entries appended", batched, BATCH, "≥ 25,000 entries/s")
    return [*results, appended, _receipts(bar, tenant, batched), idle, _heartbeats_of_one(bar, tenant, batched)]


def make(entries: int, bar: Any) -> dict[str, Any]:
    """Write two logs whose evidence is measured: one with a fiftieth of the entries. Return their tenants."""
    keys.create()
    made = {}
    for count in (max(entries // 50, 1), entries):
        tenant, result = append(bar, f"{count:,} entries appended", count, BATCH, "")
        bundle.assign(tenant, count)
        made[str(count)] = str(tenant)
    return {
        "tenants": made,
        "appended": f"{entries:,} entries appended in batches of {BATCH}: {result.rate:,.0f} a second",
    }


def evidence(tenants: Mapping[str, str], bar: Any) -> list[Result]:
    """Check the larger of the logs that `make` has made, and measure the evidence of both."""
    logs = sorted((int(count), UUID(tenant)) for count, tenant in tenants.items())
    count, tenant = logs[-1]
    return [_verified(bar, tenant, count), *bundle.run(bar, logs)]


def append(bar: Any, name: str, count: int, batch: int, aim: str) -> tuple[UUID, Result]:
    tenant, signed_at = uuid4(), time.perf_counter()
    ticking = bar.add_task(name, total=count)

    def one(first: int) -> None:
        nonlocal signed_at
        with transaction.atomic():
            recorder.record([entry(tenant, first + offset) for offset in range(min(batch, count - first))], at=AT)
        if time.perf_counter() - signed_at > SIGN_EVERY or first + batch >= count:
            checkpoints.sign(tenant, at=AT)
            signed_at = time.perf_counter()

    result = timed(
        name,
        [partial(one, first) for first in range(0, count, batch)],
        aim=aim,
        tick=partial(bar.advance, ticking, batch),
    )
    return tenant, Result(result.name, result.seconds, result.wall, aim, units=count, unit="entries")


def _verified(bar: Any, tenant: UUID, count: int) -> Result:
    ticking = bar.add_task("verifying in the database", total=count)
    found = Verification.begin(tenant)
    seconds, begun = [], time.perf_counter()
    while not found.has_ended:
        started = time.perf_counter()
        found.advance(1_000)
        seconds.append(time.perf_counter() - started)
        bar.update(ticking, completed=found.seq)
    if found.flaw:
        raise SystemExit(str(found.flaw))
    wall = time.perf_counter() - begun
    aim = "≤ 12 s for 1,000,000" if count == bundle.AIMED_AT else ""
    return Result("1,000 entries verified by the server", seconds, wall, aim, units=count, unit="entries")


def _receipts(bar: Any, tenant: UUID, count: int) -> Result:
    from audit_app import proofs

    ticking, dice = bar.add_task("receipts", total=300), random.Random(1)
    acts = [partial(proofs.receipt, tenant, dice.randrange(count)) for _ in range(300)]
    return timed(f"receipt in a log of {count:,}", acts, tick=partial(bar.advance, ticking))


def proven(named: str, size: int, bar: Any) -> list[Result]:
    """Measure proofs in the tree that `grow` has made."""
    tenant = UUID(named)
    root = Tiles(tenant, 0).frontier(size).root()
    ticking, dice = bar.add_task("inclusion proofs", total=500), random.Random(2)
    indexes = [dice.randrange(size) for _ in range(500)]

    def prove(index: int) -> None:
        path = Tiles(tenant, 0).inclusion(index, size)
        tree.check_inclusion(index, size, _leaf(index), path, root)

    acts, tick = [partial(prove, index) for index in indexes], partial(bar.advance, ticking)
    return [timed(f"inclusion proof at {size:,}, made and checked", acts, aim="≤ 1 ms", tick=tick)]


def grow(size: int, bar: Any) -> UUID:
    """Make a tree of this size, and return its tenant. It has no entries, because a proof reads only tiles."""
    ticking, step, tenant = bar.add_task(f"tiles of {size:,} entries", total=size), 65_536, uuid4()
    for start in range(0, size, step):
        end = min(size, start + step)
        with transaction.atomic():
            Tiles(tenant, 0).extend(start, [_leaf(index) for index in range(start, end)])
        bar.update(ticking, completed=end)
    return tenant


def _leaf(index: int) -> bytes:
    return tree.leaf(index.to_bytes(8))


def _heartbeats(bar: Any, count: int) -> Result:
    """Measure how fast the signer renews the date of logs that have a few entries and no new entries.

    The aim is 200,000 logs an hour.
    """
    tenants = [uuid4() for _ in range(count)]
    ticking = bar.add_task("heartbeats", total=2 * count)
    for tenant in tenants:
        with transaction.atomic():
            recorder.record([entry(tenant, number) for number in range(SHORT)], at=AT)
    for tenant in tenants:
        checkpoints.sign(tenant, at=AT)
        bar.advance(ticking)
    later, each = AT + dt.timedelta(hours=2), redating.BATCH

    def round_of_the_signer() -> None:
        done = signing_round.work(lambda: later, limit=each)
        if done.dated != each:
            raise SystemExit(f"a round of the signer did {done}")

    name, aim = f"{each} idle logs of {SHORT} entries dated anew", "≥ 56 logs/s, which is 200,000 an hour"
    done = timed(name, [round_of_the_signer] * (count // each), tick=partial(bar.advance, ticking, each))
    return Result(name, done.seconds, done.wall, aim, units=count, unit="logs")


def _heartbeats_of_one(bar: Any, tenant: UUID, count: int) -> Result:
    """Measure how the signer renews the date of one long log each hour for a day.

    In this time, every entry of the log is compared with the tiles once.
    """
    ticking, have = bar.add_task("heartbeats of a long log", total=24), keys.load()

    def beat(hour: int) -> None:
        if redating.date([tenant], at=AT + hour * dt.timedelta(hours=1), have=have) != {tenant}:
            raise SystemExit("the long log was not dated")

    acts = [partial(beat, hour) for hour in range(1, 25)]
    return timed(f"idle log of {count:,} dated anew", acts, tick=partial(bar.advance, ticking))
