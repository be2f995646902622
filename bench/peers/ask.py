"""Ask another product the benchmark's questions: `ask.py NAME PROGRAM QUESTIONS EACH PROCESSES`.

This program runs in the environment in which the other products are installed. Each question contains the
grant. The product evaluates the same rule as Lockbox: this engineer, this resource, before the window's
end, a sufficient level. The output is JSON: {"version", "seconds", "wall"}.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
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


def cerbos(port: int) -> Callable[[], Ask]:
    def connect() -> Ask:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

        def ask(question: Question) -> bool:
            principal = {"id": question["engineer"], "roles": ["engineer"], "attr": {"now": int(time.time())}}
            resource = {"kind": "mailbox", "id": question["resource"], "attr": question["grant"]}
            body = {"principal": principal, "resources": [{"actions": [question["action"]], "resource": resource}]}
            connection.request("POST", "/api/check/resources", json.dumps(body), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            return answer["results"][0]["actions"][question["action"]] == "EFFECT_ALLOW"

        return ask

    return connect


def surely(make: Callable[[], Ask]) -> Callable[[], Callable[[Question], None]]:
    """Wrap a product's call so that a wrong answer ends the run."""

    def made() -> Callable[[Question], None]:
        ask = make()

        def act(question: Question) -> None:
            if not ask(question):
                raise SystemExit("the peer said no to what is allowed")

        questions = json.loads(Path(sys.argv[3]).read_text())[:1]
        for change in ({"until": 0}, {"engineer": "another"}, {"resource": "another"}, {"level": "names"}):
            for question in questions:
                if ask({**question, "grant": {**question["grant"], **change}}):
                    raise SystemExit(f"the peer said yes to {change}")
        return act

    return made


class Server:
    """Cerbos on loopback, until the block ends. It runs without telemetry, audit log and admin API."""

    def __init__(self, program: str) -> None:
        self.program, self.port = program, free_port()

    def __enter__(self) -> int:
        self.scratch = tempfile.TemporaryDirectory()
        config = Path(self.scratch.name) / "config.yaml"
        config.write_text(
            "server:\n"
            f'  httpListenAddr: "127.0.0.1:{self.port}"\n  grpcListenAddr: "127.0.0.1:{free_port()}"\n'
            "telemetry:\n  disabled: true\naudit:\n  enabled: false\n"
            f'storage:\n  driver: disk\n  disk:\n    directory: "{HERE / "cerbos"}"\n'
        )
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "CERBOS_NO_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
        self.process = subprocess.Popen([self.program, "server", f"--config={config}"], env=environment, **silent)
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            try:
                probe = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                probe.request("GET", "/_cerbos/health")
                if probe.getresponse().status == 200:
                    return self.port
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise SystemExit("Cerbos did not come up")

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(15)
        self.scratch.cleanup()


def free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main(name: str, program: str, path: str, each: str, processes: str) -> None:
    questions = json.loads(Path(path).read_text())
    if name == "cerbos":
        output = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()
        with Server(program) as port:
            seconds, wall = measure(surely(cerbos(port)), questions, processes=int(processes), each=int(each))
        number = output[0] if output else ""
    else:
        make = {"cedarpy": cedarpy, "pycasbin": pycasbin, "regopy": regopy}[name]
        seconds, wall = measure(surely(make), questions, processes=int(processes), each=int(each))
        number = version(name)
    json.dump({"version": number, "seconds": seconds, "wall": wall}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
