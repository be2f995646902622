"""Measure with wrk what counting costs the decision point: the same load, in turns, with and without metrics.

The throughput of a machine drifts by more than the cost. So the cost is the processor time of each request.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any

from bench import decisions, grants, load, product
from bench.load import Answers, Load
from bench.measure import Result
from requests_app import operations
from requests_app.domain.scopes import Scope
from tests.cast import Cast

#: How many times each of the two servers is measured. They take turns.
ROUNDS = 6
CONNECTIONS = 8
#: The most that counting may add to the processor time of a decision.
MOST = 0.02


def run(cast: Cast, seconds: int, bar: Any) -> tuple[list[Result], list[str]]:
    if not load.has_wrk():
        return [], ["metrics: wrk is needed"]
    grant = cast.opened()
    pair = grants.Pair(str(cast.priya.pk), str(cast.resource().pk), 0.0, "read", str(grant.tenant_id))
    scopes = frozenset({Scope.EVALUATE})
    secret = operations.issue_access_token(cast.own_client("Gateway", sorted(scopes)).row, scopes=scopes).secret
    servers: dict[str, dict[str, Any]] = {
        "without metrics": {},
        "with metrics": {"METRICS_TOKEN": "a-token-of-the-measurement"},
    }
    found: dict[str, list[tuple[Answers, float]]] = {name: [] for name in servers}
    with ExitStack() as stack:
        requests = stack.enter_context(Load(decisions.lines([pair], [secret], {})))
        running = {name: stack.enter_context(product.running(**more)) for name, more in servers.items()}
        ticking = bar.add_task("counting", total=(ROUNDS + 1) * len(servers))
        for turn in range(ROUNDS + 1):
            # The machine's speed drifts, so neither server is always the first.
            for name, server in sorted(running.items(), reverse=bool(turn % 2)):
                before = server.used()[0]
                answers = requests.run(server.port, connections=CONNECTIONS, seconds=2 if turn == 0 else seconds)
                spent = server.used()[0] - before
                bar.advance(ticking)
                if answers.refused or answers.broken:
                    raise SystemExit(f"no: {name}: {answers.refused + answers.broken} of {answers.count} failed")
                if turn:
                    found[name].append((answers, spent / answers.count * 1000))
    return _results(found), []


def _results(found: dict[str, list[tuple[Answers, float]]]) -> list[Result]:
    costs = {name: statistics.median(cost for _answers, cost in rows) for name, rows in found.items()}
    plain, counted = costs.values()
    aims = {
        "without metrics": f"CPU ms: web {plain:,.3f}",
        "with metrics": f"CPU ms: web {counted:,.3f}, {counted / plain - 1:+.1%}; at most {MOST:+.0%}",
    }
    results = []
    for name, rows in found.items():
        quantiles = [each for answers, _cost in rows for each in answers.seconds]
        wall = sum(answers.wall for answers, _cost in rows)
        requests = sum(answers.count for answers, _cost in rows)
        results.append(Result(f"advice over HTTP, {name}", quantiles, wall, aims[name], requests))
    return results
