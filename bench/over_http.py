"""Measure the decision point over HTTP: with the product's web server, a client's token, and open connections."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from django.db import connection
from django.test import override_settings

from bench import grants, together
from bench.measure import Result
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.work.supervisor import web_command
from tests.cast import Cast

#: One process for each core. Each process has as many threads as there are callers.
WORKERS = os.cpu_count() or 2
#: So high that the quota does not limit the measurement.
_PLENTY = "100000000"


def measure(cast: Cast, pairs: Sequence[grants.Pair], *, each: int, callers: int, bar: Any) -> list[Result]:
    """Measure questions (advice) and reported accesses over HTTP, with this number of simultaneous callers."""
    scopes = frozenset({Scope.EVALUATE})
    made = cast.own_client("Gateway", sorted(scopes))
    secret = operations.issue_access_token(made.row, scopes=scopes).secret
    results = []
    with _server(callers) as port:
        for name, context in (("advice", {}), ("access and its entry", {"purpose": "access", "item": "1.mail"})):
            ticking = bar.add_task(f"{name}, over HTTP", total=1)
            bodies = [json.dumps(question(pair, context)) for pair in pairs]
            seconds, wall = together.measure(_caller(port, secret), bodies, processes=callers, each=each)
            results.append(Result(f"{name}, over HTTP", seconds, wall))
            bar.advance(ticking)
    return results


def question(pair: grants.Pair, context: dict[str, str]) -> dict[str, Any]:
    return {
        "subject": {"type": "engineer", "id": pair.engineer},
        "action": {"name": "read"},
        "resource": {"type": "exchange-online", "id": pair.resource},
        "context": context,
    }


def _caller(port: int, secret: str) -> Callable[[], Callable[[str], None]]:
    def make() -> Callable[[str], None]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

        def act(body: str) -> None:
            connection.request("POST", "/access/v1/evaluation", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or json.loads(text)["decision"] is not True:
                raise SystemExit(f"no: {answer.status} {text!r}")

        return act

    return make


@contextmanager
def _server(callers: int) -> Iterator[int]:
    """Run the web server on loopback, with the database of this measurement, until the block ends. Yield its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    # Child processes open their own connections. They would close an open connection of the parent.
    connection.close()
    environment = {**os.environ, "DATABASE_URL": address(), "EVALUATIONS_PER_MINUTE": _PLENTY}
    threads = max(2, callers // WORKERS)
    with override_settings(HOST="127.0.0.1", PORT=port, WEB_WORKERS=WORKERS, WEB_THREADS=threads):
        command = web_command()
    process = subprocess.Popen(command, env=environment)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(15)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            probe = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            probe.request("GET", "/healthz")
            if probe.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the web server did not come up")


def address() -> str:
    """Return the URL of the database that this process uses, in the form of DATABASE_URL."""
    so = connection.settings_dict
    user = quote(so["USER"], safe="") + (f":{quote(so['PASSWORD'], safe='')}" if so["PASSWORD"] else "")
    host = quote(so["HOST"], safe="")
    return f"postgresql://{user}@{host}{':' + str(so['PORT']) if so['PORT'] else ''}/{quote(so['NAME'], safe='')}"
