"""Measure a decision of the guards in an application, alone and with its record on the disk, beside other products."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import grants, libraries, together
from bench.measure import Result, timed
from lockbox_guard import Guard
from tests.guard import fake, node

_AIM = "p50 ≤ 20 µs"
_QUESTION: dict[str, Any] = {
    "action": "view", "tenant": "contoso", "identifier": "w-17", "engineer": fake.ADDRESS,
}  # fmt: skip
_ITEM = "GET /w/{id}"
#: The peers get the grant as a fact: they check no token, learn of no end, and record nothing.
LACKS = "no token, no feed, no record"
#: A first verification takes a thousand times as long as a decision.
FIRSTS = 500


def run(each: int, *, with_peers: bool, bar: Any) -> tuple[list[Result], list[str]]:
    """Measure one question after another, in one process for each product."""
    results, missing = [], list[str]()
    lockbox = fake.FakeLockbox()
    try:
        with tempfile.TemporaryDirectory(dir=os.environ["DATA_DIR"]) as place:
            results += _python(lockbox, Path(place), each, bar)
            try:
                results += _node(lockbox, Path(place), each, bar)
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                missing.append(f"the guard for Node: {error}")
    finally:
        lockbox.stop()
    if with_peers:
        claims = lockbox.claims()
        detail = claims["authorization_details"][0]
        pair = grants.Pair(claims["sub"], detail["resource"], float(claims["exp"]), "read")
        found, lacking = libraries.run(pair, each, LACKS, bar)
        return results + found, missing + lacking
    return results, missing


def _python(lockbox: fake.FakeLockbox, place: Path, each: int, bar: Any) -> list[Result]:
    token, results = lockbox.token(), []
    guard = Guard(**_options(lockbox), client_id="shop", client_secret="secret", queue=place / "python")
    ways = [
        ("decision", lambda token: guard.decide(token, item=_ITEM, **_QUESTION), _AIM),
        ("decision, record on the disk", lambda token: guard.admit(token, item=_ITEM, **_QUESTION), ""),
    ]
    for name, act, aim in ways:
        ticking = bar.add_task(name, total=1)
        seconds, wall = together.measure(partial(_ready, guard, act), [token], processes=1, each=each)
        results.append(Result(f"guard, Python: {name}", seconds, wall, aim))
        bar.advance(ticking)
    ticking = bar.add_task("first verifications", total=FIRSTS)
    decide, tokens = _ready(guard, ways[0][1]), [lockbox.token() for _ in range(FIRSTS + 1)]
    decide(tokens.pop())  # fetches the keys
    tick = partial(bar.advance, ticking)
    results.append(timed("guard, Python: first decision on a token", map(partial(partial, decide), tokens), tick=tick))
    guard.close()
    return results


def _options(lockbox: fake.FakeLockbox) -> dict[str, Any]:
    return {"issuer": lockbox.issuer, "service": "quillo", "origin": "http://localhost:9"}


def _ready(guard: Guard, act: Callable[[str], Any]) -> Callable[[str], Any]:
    guard.wait_for_feed()
    return act


def _node(lockbox: fake.FakeLockbox, place: Path, each: int, bar: Any) -> list[Result]:
    ticking = bar.add_task("guard for Node", total=1)
    tokens = [lockbox.token() for _ in range(FIRSTS)]
    options = {**_options(lockbox), "clientId": "shop", "clientSecret": "secret", "queue": str(place / "node")}
    about = {"options": options, "question": _QUESTION, "item": _ITEM, "tokens": tokens, "each": each}
    command = [node_program(), str(Path(__file__).with_name("guard.mjs")), str(node.GUARD), "measure"]
    done = subprocess.run(command, input=json.dumps(about), capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise ValueError(done.stderr[-500:])
    bar.advance(ticking)
    found = json.loads(done.stdout)
    named = {
        "decide": ("decision", _AIM),
        "access": ("decision, record on the disk", ""),
        "first": ("first decision on a token", ""),
    }
    return [Result(f"guard, Node: {name}", found[key], sum(found[key]), aim) for key, (name, aim) in named.items()]


def node_program() -> str:
    """Return the path of Node, with the guard's packages installed. Raise ValueError if that can't be."""
    import pytest

    try:
        return node.program()
    except pytest.fail.Exception as error:
        raise ValueError(str(error)) from error
