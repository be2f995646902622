"""Measure how fast the product takes in what guards report, over HTTP, in reports of 1,000 accesses."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid
from http.client import HTTPConnection
from typing import Any

from bench import product
from bench.measure import Result
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.scopes import Scope
from requests_app.models import Grant
from requests_app.platform import token_ids
from tests.cast import Cast

_GOAL = 10_000
_ITEMS = [f"GET /w/{{id}}/pages/{{page}}/part{n}" for n in range(10)]


def run(cast: Cast, batches: int, bar: Any) -> list[Result]:
    made = cast.guard()
    windows = [cast.in_quillo() for _ in range(20)]
    bearer = operations.issue_access_token(made.row, scopes=frozenset({Scope.GUARD})).secret
    with product.running() as running:
        return [
            _measured(running, bearer, windows[:share], guards, batches, bar) for share in (1, 20) for guards in (1, 4)
        ]


def _measured(
    running: product.Product, bearer: str, windows: list[Grant], guards: int, batches: int, bar: Any
) -> Result:
    """Let guards report at the same time, each one report after another."""
    name = f"1,000 accesses of {len(windows)} windows, {guards} at once"
    ticking = bar.add_task(name, total=guards)
    bodies = [_bodies(windows, batches + 1) for _ in range(guards)]
    ready, seconds = threading.Barrier(guards + 1), list[float]()

    def report(mine: list[str]) -> None:
        line = HTTPConnection("127.0.0.1", running.port, timeout=60)
        for number, body in enumerate(mine):
            begun = time.perf_counter()
            line.request("POST", "/api/v1/guard/accesses", body, headers)
            answer = line.getresponse()
            text = answer.read()
            if answer.status != 200 or json.loads(text)["rejected"]:
                raise SystemExit(f"no: {answer.status} {text!r}")
            if number == 0:
                ready.wait(60)
            else:
                seconds.append(time.perf_counter() - begun)
        bar.advance(ticking)

    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    threads = [threading.Thread(target=report, args=(mine,)) for mine in bodies]
    for thread in threads:
        thread.start()
    ready.wait(120)
    before, begun = running.used(), time.perf_counter()
    for thread in threads:
        thread.join()
    wall, after = time.perf_counter() - begun, running.used()
    accesses = guards * batches * limits.REPORTED_MAX
    if len(seconds) * limits.REPORTED_MAX != accesses:
        raise SystemExit("a guard has stopped")
    web, database = (now - then for now, then in zip(after, before, strict=True))
    per_core = f"{accesses / (web + database):,.0f}/s per core (≥ {_GOAL:,})"
    parts = f"web {accesses / web:,.0f}" + (f", database {accesses / database:,.0f}" if database else "")
    return Result(name, seconds, wall, f"{per_core}: {parts}", accesses)


def _bodies(windows: list[Grant], count: int) -> list[str]:
    """Return the reports of a new guard, which are ready to be sent."""
    guard, at, size = str(uuid.uuid4()), clock.now() - dt.timedelta(seconds=1), limits.REPORTED_MAX
    named = [
        {
            "grant_id": str(grant.pk),
            "resource": str(grant.access_request.scope.get().resource_id),
            "engineer": str(grant.engineer_id),
            "jti": token_ids.made(grant.pk, grant.engineer_id),
            "action": "view",
            "at": at.isoformat(),
            "kind": "access",
            "code": "",
        }
        for grant in windows
    ]
    accesses = [{**named[n % len(named)], "item": _ITEMS[n % len(_ITEMS)]} for n in range(size)]
    about = {"guard": guard, "life": guard, "version": "lockbox-guard-python/0.1.0", "backlog": 0, "accesses": accesses}
    return [json.dumps({**about, "first": 1 + number * size}) for number in range(count)]
