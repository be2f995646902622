"""Measure the processor time of one question to the decision point, without HTTP.

Both ways take turns on the same database: each question alone, and the lane with several together. The time is that of
this process and of its session in PostgreSQL.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.grants import Pair
from bench.measure import Result, of_session
from requests_app import operations
from requests_app.domain.deciding import Asked
from requests_app.domain.evaluation import Question
from requests_app.domain.scopes import Scope
from requests_app.models.people import actor_of_token, find_token
from requests_app.operations._decision_lane import DecisionLane
from requests_app.operations._waiting_questions import Call
from requests_app.queries.evaluation import evaluate
from tests.cast import Cast

#: How many questions are asked together.
TOGETHER = (1, 8, 32)
TOKENS, ROUNDS = 50, 3


def run(cast: Cast, pairs: Sequence[Pair], asked: int, bar: Any) -> list[Result]:
    """Measure with so many questions in each round."""
    ways = list(_ways(cast, pairs))
    ticking = bar.add_task("questions", total=len(ways) * (ROUNDS + 1))
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name, _ask in ways}
    for turn in range(ROUNDS + 1):
        for name, ask in ways:
            measured = _measured(ask, asked)
            if turn:
                found[name].append(measured)
            bar.advance(ticking)
    return [_result(name, rounds, asked) for name, rounds in found.items()]


def _measured(ask: Callable[[int], None], number: int) -> tuple[float, float, float]:
    """Return the seconds by the clock, of this process and of the database, for each question."""
    before = (time.perf_counter(), time.process_time(), of_session())
    ask(number)
    now = (time.perf_counter(), time.process_time(), of_session())
    wall, here, there = ((after - then) / number for after, then in zip(now, before, strict=True))
    return wall, here, there


def _result(name: str, rounds: list[tuple[float, float, float]], asked: int) -> Result:
    walls, here, there = zip(*rounds, strict=True)
    web, database = min(here) * 1000, min(there) * 1000
    says = f"CPU ms: {web:.3f}" + (f" + {database:.3f} database" if database else "")
    numbers = {"web": web, "database": database}
    return Result(name, list(walls), sum(walls) * asked, says, asked * ROUNDS, numbers=numbers)


def _ways(cast: Cast, pairs: Sequence[Pair]) -> Iterator[tuple[str, Callable[[int], None]]]:
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


def _question(pair: Pair) -> Question:
    return Question(
        subject_type="engineer", subject=pair.engineer, action="read", service="exchange-online",
        resource=pair.resource, item="1.mail",
    )  # fmt: skip
