"""Measure evidence: a command writes a bundle with timelines, and the verifier reads it, in separate processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from audit_app import checkpoints, keys
from bench import product
from bench.measure import Result, process
from requests_app.domain import clock
from requests_app.models import Plan, Tenant

ROOT = Path(__file__).resolve().parents[1]
#: The aims are for this number of entries.
AIMED_AT = 1_000_000


def assign(tenant: UUID, count: int) -> None:
    """Make the tenant to whom a log belongs, and sign the log.

    The command would sign first. Signing all entries is no part of the measurement.
    """
    plan = Plan.objects.create(name=f"Measured {count}", includes_lockbox=True)
    Tenant.objects.create(
        pk=tenant,
        name=f"Measured {count}",
        slug=f"measured-{count}",
        plan=plan,
        lockbox_on=True,
        created_at=clock.now(),
    )
    checkpoints.sign(tenant, at=clock.now())


def run(bar: Any, logs: Sequence[tuple[int, UUID]]) -> list[Result]:
    """Measure bundles of logs with different lengths. The results show whether memory grows with the log.

    Each bundle adds an entry to its log, which says that it was taken.
    """
    ticking = bar.add_task("evidence, written and verified", total=2 * len(logs))
    results = []
    for count, tenant in logs:
        path = Path(settings.DATA_DIR) / f"evidence-{count}.zip"
        results.append(_written(tenant, count, path))
        bar.advance(ticking)
        results.append(_verified(tenant, count, path))
        bar.advance(ticking)
        path.unlink()
    return results


def _written(tenant: UUID, count: int, path: Path) -> Result:
    command = [sys.executable, str(ROOT / "manage.py"), "evidence", str(tenant), "-o", str(path)]
    wall, peak = process(command, environment={"DATABASE_URL": product.database_url()})
    name = f"evidence written, with timelines: {count:,} entries"
    aim = "constant memory" + (", ≤ 30 s" if count == AIMED_AT else "")
    return Result(name, [wall], wall, aim, units=count, unit="entries", peak=peak)


def _verified(tenant: UUID, count: int, path: Path) -> Result:
    vkey = str(keys.log_key(checkpoints.origin_of(tenant, 0), keys.load().publics[0]))
    command = [sys.executable, str(ROOT / "verify" / "lockbox_verify.py"), "verify", str(path), "--key", vkey]
    wall, peak = process(command)
    aim = "≤ 6 s, ≤ 200 MB" if count == AIMED_AT else ""
    return Result(f"evidence verified: {count:,} entries", [wall], wall, aim, units=count, unit="entries", peak=peak)
