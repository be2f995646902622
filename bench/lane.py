"""`python -m bench.lane`: measure the processor time of one question to the decision point, without HTTP.

Both ways are measured in turns on the same database: each question alone, and the lane with several together. The time
is that of this process and of its session in PostgreSQL.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

#: How many questions are asked together.
TOGETHER = (1, 8, 32)
TOKENS, ROUNDS = 50, 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.lane", description=__doc__)
    parser.add_argument("--grants", type=int, default=10_000, help="grants in the table")
    parser.add_argument("--asked", type=int, default=2_000, help="questions in each round")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="lockbox-bench-"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    os.environ["DATA_DIR"], os.environ["LOG_LEVEL"] = str(scratch), "ERROR"
    import django

    django.setup()
    from django.test.utils import setup_test_environment

    setup_test_environment()
    try:
        return _run(arguments, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(arguments: argparse.Namespace, scratch: Path) -> int:
    from django.core.management import call_command
    from django.db import connection
    from rich.progress import Progress

    from bench import grants, world

    if connection.vendor == "postgresql":
        from django.test.runner import DiscoverRunner

        DiscoverRunner(verbosity=0, interactive=False).setup_databases()
    else:
        call_command("migrate", verbosity=0)
    cast = world.make(scratch / "content")
    with Progress(disable=True) as bar:
        pairs = grants.ensure(cast, arguments.grants, bar)
    for name, ask in _ways(cast, pairs):
        found = [_measured(ask, arguments.asked) for _ in range(ROUNDS)]
        here, there, rate = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:30} {here:7.3f} ms here  {there:7.3f} ms in the database  {rate:8,.0f}/s", flush=True)
    return 0


def _measured(ask: Callable[[int], None], number: int) -> tuple[float, float, float]:
    from time import perf_counter

    ask(number // 10)
    began, here, there = perf_counter(), process_time(), _of_server()
    ask(number)
    took = perf_counter() - began
    return (process_time() - here) / number * 1000, (_of_server() - there) / number * 1000, number / took


def _of_server() -> float:
    """Return the seconds of processor time of this connection's session in PostgreSQL."""
    from django.db import connection

    from bench import product

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    return product.used(connection.connection.info.backend_pid)


def _ways(cast: Any, pairs: list[Any]) -> Iterator[tuple[str, Callable[[int], None]]]:
    from bench.evaluation import _question
    from requests_app import operations
    from requests_app.domain.deciding import Asked
    from requests_app.domain.scopes import Scope
    from requests_app.models.people import actor_of_token, find_token
    from requests_app.operations._decision_lane import DecisionLane
    from requests_app.operations._waiting_questions import Call
    from requests_app.queries.evaluation import evaluate

    scopes = frozenset({Scope.EVALUATE})
    client = cast.own_client("Gateway", sorted(scopes)).row
    tokens = [operations.issue_access_token(client, scopes=scopes).row.secret_hash for _ in range(TOKENS)]
    draw = random.Random(17)
    questions = [_question(pair) for pair in pairs]

    class Unlimited:
        is_over = False

    lane = DecisionLane(lambda *_: Unlimited())

    def alone(asks: Callable[..., Any]) -> Callable[[int], None]:
        def run(number: int) -> None:
            for _ in range(number):
                found = find_token(secret_hash=draw.choice(tokens))
                assert found is not None
                verdict = asks(draw.choice(questions), actor=actor_of_token(found[0]))
                assert verdict.decision

        return run

    def together(size: int, *, is_access: bool) -> Callable[[int], None]:
        def run(number: int) -> None:
            for _ in range(number // size):
                calls = [
                    Call([Asked(token_hash=draw.choice(tokens), question=draw.choice(questions), is_access=is_access)])
                    for _ in range(size)
                ]
                lane._work(calls)
                assert all(getattr(call.future.result(0)[0].verdict, "decision", False) for call in calls)

        return run

    yield "advice, alone", alone(evaluate)
    for size in TOGETHER:
        yield f"advice, {size} together", together(size, is_access=False)
    yield "access, alone", alone(operations.allow_access)
    for size in TOGETHER:
        yield f"access, {size} together", together(size, is_access=True)


if __name__ == "__main__":
    sys.exit(main())
