"""Measure with wrk what counting costs the decision point: the same load, in turns, with and without metrics.

The throughput of a machine drifts by more than the cost. So the cost is the processor time of each request.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import grants, over_http, product
from bench.measure import Result
from requests_app import operations
from requests_app.domain.scopes import Scope
from tests.cast import Cast
from tests.proxies import stand

#: How many times each of the two servers is measured. They take turns.
ROUNDS = 6
CONNECTIONS = 8
#: The most that counting may add to the processor time of a decision.
MOST = 0.02


def run(cast: Cast, seconds: int, bar: Any) -> tuple[list[Result], list[str]]:
    wrk = stand.path_of("wrk")
    if wrk is None:
        return [], ["metrics: wrk is needed"]
    cast.opened()
    question = over_http.question(grants.Pair(str(cast.priya.pk), str(cast.resource().pk), 0.0, "read"), {})
    scopes = frozenset({Scope.EVALUATE})
    secret = operations.issue_access_token(cast.own_client("Gateway", sorted(scopes)).row, scopes=scopes).secret
    servers = {"without metrics": {}, "with metrics": {"METRICS_TOKEN": "a-token-of-the-measurement"}}
    found: dict[str, list[tuple[dict[str, Any], float]]] = {name: [] for name in servers}
    with ExitStack() as stack:
        running = {name: stack.enter_context(product.running(**more)) for name, more in servers.items()}
        ticking = bar.add_task("counting", total=(ROUNDS + 1) * len(servers))
        for turn in range(ROUNDS + 1):
            for name, server in running.items():
                before = server.used()[0]
                record = _wrk(wrk, server, json.dumps(question), secret, 2 if turn == 0 else seconds)
                spent = server.used()[0] - before
                bar.advance(ticking)
                if record["failed"]:
                    raise SystemExit(f"no: {name}: {record['failed']} of {record['requests']} failed")
                if turn:
                    found[name].append((record, spent / record["requests"] * 1000))
    return _results(found), []


def _results(found: dict[str, list[tuple[dict[str, Any], float]]]) -> list[Result]:
    costs = {name: statistics.median(cost for _record, cost in rows) for name, rows in found.items()}
    plain, counted = costs.values()
    aims = {
        "without metrics": f"CPU ms: web {plain:,.3f}",
        "with metrics": f"CPU ms: web {counted:,.3f}, {counted / plain - 1:+.1%}; at most {MOST:+.0%}",
    }
    results = []
    for name, rows in found.items():
        quantiles = [float(each) / 1e6 for record, _cost in rows for each in record["quantiles"]]
        wall = sum(record["microseconds"] for record, _cost in rows) / 1e6
        requests = sum(record["requests"] for record, _cost in rows)
        results.append(Result(f"advice over HTTP, {name}", quantiles, wall, aims[name], requests))
    return results


def _wrk(wrk: str, server: product.Product, body: str, secret: str, seconds: int) -> dict[str, Any]:
    script = Path(__file__).with_name("advice.lua")
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
    address = f"http://127.0.0.1:{server.port}/access/v1/evaluation"
    environment = {**os.environ, "BODY": body, "SECRET": secret}
    done = subprocess.run([*command, address], env=environment, capture_output=True, text=True, timeout=seconds + 60)
    line = re.search(r"^RESULT (.*)$", done.stdout, flags=re.MULTILINE)
    if line is None:
        raise SystemExit(f"wrk: {done.stdout[-500:]}{done.stderr[-500:]}")
    record: dict[str, Any] = json.loads(line.group(1))
    return record
