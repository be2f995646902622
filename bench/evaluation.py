"""Measure how fast the operations give advice, and allow an access and write the entry, inside processes of their own.

Libraries of other makers are measured for comparison. What a caller sees over HTTP is in bench/decisions.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.db import connection

from bench import grants, together
from bench.measure import Result
from requests_app.domain.evaluation import Question
from requests_app.operations import allow_access
from requests_app.queries.evaluation import evaluate
from tests.caller import service_of
from tests.cast import Cast

CONNECTIONS, ROUNDS = 8, 3
PEERS = Path(__file__).parent / "peers"
#: Where the other products are installed. They stay for later runs.
PLACE = Path("var/bench/peers")
_LACKS = "no database, no log"
#: The other products that are libraries.
IN_PROCESS = ("cedarpy", "pycasbin", "regopy")


def run(cast: Cast, size: int, *, each: int, with_peers: bool, bar: Any) -> tuple[list[Result], list[str]]:
    """Measure with this number of grants in the database. Return the results, and what could not be measured."""
    pairs = grants.ensure(cast, size, bar)
    results = [*_ours(cast, pairs, each, f"{size:,} grants", bar), _one_log(cast, pairs, each, bar)]
    if not with_peers:
        return results, []
    known, missing = peers(pairs, each, bar)
    return results + known, missing


def _ours(cast: Cast, pairs: list[grants.Pair], each: int, size: str, bar: Any) -> list[Result]:
    service = service_of(cast)
    ways: list[tuple[str, Callable[[Question], Any], str]] = [
        ("advice", lambda question: evaluate(question, actor=service), ""),
        ("access and its entry", lambda question: allow_access(question, actor=service), "≥ 600/s, p99 ≤ 40 ms"),
    ]
    return [_measured(f"{name}, {size}", ask, pairs, each, aim, bar) for name, ask, aim in ways]


def _one_log(cast: Cast, pairs: list[grants.Pair], each: int, bar: Any) -> Result:
    """Measure accesses that all go to one tenant. The tenant's log takes only one entry at a time."""
    service = service_of(cast)
    return _measured(
        "access, all to one tenant", lambda question: allow_access(question, actor=service), pairs[:1], each, "", bar
    )


def _measured(
    name: str, ask: Callable[[Question], Any], pairs: list[grants.Pair], each: int, aim: str, bar: Any
) -> Result:
    def make() -> Callable[[Question], None]:
        connection.ensure_connection()

        def act(question: Question) -> None:
            if not ask(question).decision:
                raise SystemExit(f"no: {question}")

        return act

    ticking = bar.add_task(name, total=ROUNDS)
    questions = [_question(pair) for pair in pairs]
    seconds, wall = [], 0.0
    # Child processes open their own connections. They would close an open connection of the parent.
    connection.close()
    for _ in range(ROUNDS):
        found, took = together.measure(make, questions, processes=CONNECTIONS, each=each)
        seconds += found
        wall += took
        bar.advance(ticking)
    return Result(name, seconds, wall, aim)


def _question(pair: grants.Pair) -> Question:
    return Question(
        subject_type="engineer",
        subject=pair.engineer,
        action="read",
        service="exchange-online",
        resource=pair.resource,
        item="1.mail",
    )


# --- Other products ---------------------------------------------------------------------------------------------


def peers(
    pairs: list[grants.Pair],
    each: int,
    bar: Any,
    *,
    products: Sequence[str] = IN_PROCESS,
    processes: int = CONNECTIONS,
    lacks: str = _LACKS,
) -> tuple[list[Result], list[str]]:
    """Measure other products with this number of processes that ask. Return the results, and what is missing."""
    results, missing = [], []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([_for_peers(pair) for pair in pairs], file)
        file.flush()
        for name in products:
            ticking = bar.add_task(name, total=1)
            try:
                answer = _peer_answer(_environment(), name, file.name, each, processes)
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                missing.append(f"{name}: {error}")
                continue
            finally:
                bar.advance(ticking)
            called = f"{name} {answer['version']}, in the process, handed the grant"
            results.append(Result(called, answer["seconds"], answer["wall"], lacks))
    return results, missing


def _for_peers(pair: grants.Pair) -> dict[str, Any]:
    grant = {"engineer": pair.engineer, "resource": pair.resource, "until": int(pair.until), "level": pair.level}
    return {"engineer": pair.engineer, "resource": pair.resource, "action": "read", "grant": grant}


def _peer_answer(python: str, name: str, questions: str, each: int, processes: int) -> dict[str, Any]:
    command = [python, str(PEERS / "ask.py"), name, questions, str(each), str(processes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["it failed"])[-1])
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def _environment() -> str:
    """Return the path of Python in the other products' environment, which is made if needed.

    The environment has only the packages of their lock file.
    """
    python, lock = PLACE / "venv" / "bin" / "python", PEERS / "requirements.txt"
    stamp = PLACE / "venv" / lock.name
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        shutil.rmtree(PLACE / "venv", ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", PLACE / "venv"], check=True, capture_output=True)
        install: list[Any] = [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock]
        subprocess.run(install, check=True, capture_output=True, timeout=300)
        stamp.write_text(lock.read_text())
    return str(python.absolute())
