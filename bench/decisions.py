"""Measure the decision point over HTTP with wrk: advice, and accesses with their committed entries, beside Cerbos.

The loads take turns, so that all of them see the same machine. The questions are spread over a thousand tenants and
fifty clients. At the end, the web server and the database are killed in the middle of a load: each answered yes must
have its entry.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench import cerbos, grants, load, measure, product, server
from bench.load import Answers, Load
from bench.measure import Result
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import ContentAccess
from tests.cast import Cast

#: How many connections wrk has, and how many clients ask.
CONNECTIONS, CLIENTS = 32, 50
ADDRESS = "/access/v1/evaluation"


@dataclass
class _Kind:
    """One kind of load: its requests, the port they go to, and what its runs have found."""

    name: str
    lines: list[str]
    port: int
    #: Returns the seconds of processor time that the server and its database have used.
    used: Callable[[], tuple[float, float]]
    #: Whether each answer needs an entry.
    writes: bool = False
    connections: int = CONNECTIONS
    found: list[tuple[Answers, tuple[float, float], float]] = field(default_factory=list)


def run(
    cast: Cast,
    size: int,
    pairs: Sequence[grants.Pair],
    *,
    seconds: int,
    rounds: int,
    only_aims: bool,
    bar: Any,
) -> tuple[list[Result], list[str]]:
    """Measure with `size` grants in the database: all loads, or those with an aim. `pairs` are the live grants.

    Return the results, and what else is to be said.
    """
    if not load.has_wrk():
        return [], ["Not measured: decisions. wrk is needed"]
    notes: list[str] = []
    secrets = _secrets(cast)
    with ExitStack() as stack:
        ours = stack.enter_context(product.running(LOG_LEVEL="INFO", LOG_FORMAT="json"))
        kinds = [kind for kind in _ours(ours, pairs, secrets) if kind.connections > 1 or not only_aims]
        try:
            theirs = stack.enter_context(cerbos.running())
            kinds.insert(0, _theirs(theirs, pairs))
        except cerbos.Missing as why:
            notes.append(f"Not measured: Cerbos. {why}")
        results = _taking_turns(kinds, f"{size:,} grants", seconds, rounds, bar, notes)
    notes.append(_after_a_crash(pairs, secrets, bar))
    return results, notes


def _secrets(cast: Cast) -> list[str]:
    scopes = frozenset({Scope.EVALUATE})
    clients = [cast.own_client(f"Gateway {number}", sorted(scopes)).row for number in range(CLIENTS)]
    return [operations.issue_access_token(client, scopes=scopes).secret for client in clients]


def _ours(ours: product.Product, pairs: Sequence[grants.Pair], secrets: Sequence[str]) -> list[_Kind]:
    hot = [pair for pair in pairs if pair.tenant == pairs[0].tenant]
    return [
        _Kind("advice", list(lines(pairs, secrets, {})), ours.port, ours.used),
        _Kind("access with its entry", list(lines(pairs, secrets, _ACCESS)), ours.port, ours.used, writes=True),
        _Kind("access, one tenant", list(lines(hot, secrets, _ACCESS)), ours.port, ours.used, writes=True),
        _Kind("access, one connection", list(lines(pairs, secrets, _ACCESS)), ours.port, ours.used, True, 1),
    ]


_ACCESS = {"purpose": "access", "item": "1.mail"}


def lines(pairs: Sequence[grants.Pair], secrets: Sequence[str], context: dict[str, str]) -> Iterable[str]:
    """Yield one request for each pair, or for each secret if there are more of them."""
    for number in range(max(len(pairs), len(secrets))):
        pair, secret = pairs[number % len(pairs)], secrets[number % len(secrets)]
        headers = {"Host": "localhost", "Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        yield load.line("POST", ADDRESS, headers, json.dumps(question(pair, context)))


def question(pair: grants.Pair, context: dict[str, str]) -> dict[str, Any]:
    return {
        "subject": {"type": "engineer", "id": pair.engineer},
        "action": {"name": "read"},
        "resource": {"type": "exchange-online", "id": pair.resource},
        "context": context,
    }


def _theirs(theirs: cerbos.Cerbos, pairs: Sequence[grants.Pair]) -> _Kind:
    name = f"Cerbos {theirs.version}, no database, no log, handed the grant"
    return _Kind(name, [cerbos.line(pair) for pair in pairs], theirs.port, lambda: (theirs.used(), 0.0))


# --- One load after the other -----------------------------------------------------------------------------------


def _taking_turns(kinds: list[_Kind], size: str, seconds: int, rounds: int, bar: Any, notes: list[str]) -> list[Result]:
    ticking = bar.add_task(size, total=(rounds + 1) * len(kinds))
    for turn in range(rounds + 1):
        for kind in kinds:
            found = _measured(kind, seconds if turn else min(2, max(1, seconds // 2)))
            if turn:
                kind.found.append(found)
            bar.advance(ticking)
    foreign = statistics.mean(other for kind in kinds for _answers, _used, other in kind.found)
    notes.append(f"{size}: other programs used {foreign:.0%} of one core meanwhile")
    return [_result(kind, size) for kind in kinds]


def _measured(kind: _Kind, seconds: int) -> tuple[Answers, tuple[float, float], float]:
    """Run one load. Return the answers, the processor time of server and database, and the share of other programs."""
    rows = ContentAccess.objects.count() if kind.writes else 0
    begun, before, busy, ours = time.monotonic(), kind.used(), measure.busy(), measure.by_children()
    with Load(kind.lines) as requests:
        answers = requests.run(kind.port, connections=kind.connections, seconds=seconds)
    written = _recorded() - rows if kind.writes else 0
    after = kind.used()
    used = (after[0] - before[0], after[1] - before[1])
    yes = answers.count - answers.refused
    if kind.writes and not yes <= written <= yes + kind.connections:
        raise SystemExit(f"no: {kind.name}: {yes} answered yes, but {written} were recorded")
    other = measure.busy() - busy - (measure.by_children() - ours) - sum(used)
    return answers, used, max(0.0, other) / (time.monotonic() - begun)


def _recorded() -> int:
    """Return how many accesses are recorded, when no more come.

    wrk does not wait for the answers to its last requests, which may be at work still.
    """
    before, found = -1, ContentAccess.objects.count()
    while found != before:
        time.sleep(0.3)
        before, found = found, ContentAccess.objects.count()
    return found


def _result(kind: _Kind, size: str) -> Result:
    count = sum(answers.count for answers, _used, _other in kind.found)
    spent = [sum(used[part] for _answers, used, _other in kind.found) / count * 1000 for part in (0, 1)]
    longest = max(answers.longest for answers, _used, _other in kind.found)
    says = [f"CPU ms: {spent[0]:.2f}", *([f"+ {spent[1]:.2f} database"] if spent[1] else [])]
    says += [f"longest {longest * 1000:,.0f} ms"]
    refused = sum(answers.refused + answers.broken for answers, _used, _other in kind.found)
    # An overloaded server refuses with 503. Only other answers count.
    count -= refused
    says += [f"{refused} refused or broken"] if refused else []
    quantiles = [each for answers, _used, _other in kind.found for each in answers.seconds]
    wall = sum(answers.wall for answers, _used, _other in kind.found)
    numbers = {"longest": longest * 1000, "web": spent[0], "database": spent[1]}
    return Result(f"{kind.name}, {size}", quantiles, wall, ", ".join(says), count, numbers=numbers)


# --- A crash ----------------------------------------------------------------------------------------------------


def _after_a_crash(pairs: Sequence[grants.Pair], secrets: Sequence[str], bar: Any) -> str:
    """Kill web server and database in the middle of a load. Raise SystemExit if an answered yes has no entry."""
    ticking = bar.add_task("crash", total=1)
    rows = ContentAccess.objects.count()
    with product.running(LOG_LEVEL="INFO", LOG_FORMAT="json") as ours, Load(lines(pairs, secrets, _ACCESS)) as requests:
        wrk = requests.begin(ours.port, connections=CONNECTIONS, seconds=4)
        time.sleep(2)
        with server.killed():
            os.killpg(ours.pid, signal.SIGKILL)
            answers = load.answers_of(wrk.communicate(timeout=60)[0])
    yes, entries = answers.count - answers.refused, _recorded() - rows
    bar.advance(ticking)
    if not yes or entries < yes:
        raise SystemExit(f"no: after the crash, {yes} answers were yes, and {entries} entries are there")
    return f"Killed with signal 9 under load: {yes:,} answered yes, {entries:,} entries, none missing"
