"""Ask a library the benchmark's questions: `ask.py NAME QUESTIONS EACH PROCESSES`.

This program runs in the environment in which the libraries are installed. Each question contains the
grant. The library evaluates the same rule as Lockbox: this engineer, this resource, before the window's
end, a sufficient level. The output is JSON: {"version", "seconds", "wall"}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from together import measure  # noqa: E402 - the benchmark's own package needs what is not installed here

Question = dict[str, Any]
Ask = Callable[[Question], bool]


def cedarpy() -> Ask:
    import cedarpy as cedar

    policies = cedar.PolicySet.from_str((HERE / "policy.cedar").read_text())
    entities = cedar.Entities.from_json_str("[]")

    def entity(kind: str, name: str) -> dict[str, Any]:
        return {"__entity": {"type": kind, "id": name}}

    def ask(question: Question) -> bool:
        context = {
            "engineer": entity("Engineer", question["grant"]["engineer"]),
            "resource": entity("Mailbox", question["grant"]["resource"]),
            "until": question["grant"]["until"],
            "level": question["grant"]["level"],
            "now": int(time.time()),
        }
        request = {
            "principal": {"type": "Engineer", "id": question["engineer"]},
            "action": {"type": "Action", "id": question["action"]},
            "resource": {"type": "Mailbox", "id": question["resource"]},
            "context": context,
        }
        return cedar.is_authorized(request, policies, entities).allowed

    return ask


def pycasbin() -> Ask:
    import logging

    import casbin

    logging.disable(logging.CRITICAL)
    enforcer = casbin.Enforcer(str(HERE / "model.conf"), str(HERE / "policy.csv"))

    class Grant:
        def __init__(self, policy: dict[str, Any]) -> None:
            self.__dict__.update(policy)

    def ask(question: Question) -> bool:
        grant = Grant(question["grant"])
        now = int(time.time())
        return enforcer.enforce(question["engineer"], question["resource"], question["action"], grant, now)

    return ask


def regopy() -> Ask:
    from regopy import Interpreter

    rego = Interpreter()
    rego.add_module("policy", (HERE / "policy.rego").read_text())

    def ask(question: Question) -> bool:
        rego.set_input({**question, "now": int(time.time())})
        # A denial is a result without an expression.
        return list(rego.query("data.lockbox.allow").results[0].expressions) == [True]

    return ask


def surely(make: Callable[[], Ask]) -> Callable[[], Callable[[Question], None]]:
    """Wrap a library's call so that a wrong answer ends the run."""

    def made() -> Callable[[Question], None]:
        ask = make()

        def act(question: Question) -> None:
            if not ask(question):
                raise SystemExit("the peer said no to what is allowed")

        questions = json.loads(Path(sys.argv[2]).read_text())[:1]
        for change in ({"until": 0}, {"engineer": "another"}, {"resource": "another"}, {"level": "names"}):
            for question in questions:
                if ask({**question, "grant": {**question["grant"], **change}}):
                    raise SystemExit(f"the peer said yes to {change}")
        return act

    return made


def main(name: str, path: str, each: str, processes: str) -> None:
    questions = json.loads(Path(path).read_text())
    make = {"cedarpy": cedarpy, "pycasbin": pycasbin, "regopy": regopy}[name]
    seconds, wall = measure(surely(make), questions, processes=int(processes), each=int(each))
    json.dump({"version": version(name), "seconds": seconds, "wall": wall}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
