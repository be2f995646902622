"""Measure how long after a customer's revocation each way into an application refuses, on the running product.

The clock begins when the customer's call is sent, and ends when the refusal is known. Nothing waits longer for its next
question than a millisecond, except where the way itself waits.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench import guards, product
from bench.measure import Result
from lockbox_guard import Guard, Refused
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.models import Grant, OutboxMessage, Token
from requests_app.models.outbox import POLL
from requests_app.models.people import actor_of_token
from requests_app.operations._stream_settings import Delivery, Wanted
from tests.caller import token_of
from tests.cast import PROXY_SECRET, Cast

_AIM = "≤ 1 s"
#: How long a way may take until it allows, or until it refuses. A measurement without a result has no meaning.
PATIENCE = 120.0
#: For one window: allows it now, and then returns the monotonic time at which it was refused.
Watch = Callable[[], float]
Way = Callable[[Grant], Watch]


def run(cast: Cast, count: int, bar: Any) -> tuple[list[Result], list[str]]:
    cast.web_tool()
    cast.proxy()
    # An engineer gets grant tokens only for an application that has a guard.
    cast.guard()
    results, missing, calls = [], list[str](), list[float]()
    with product.running(whole=True) as running, tempfile.TemporaryDirectory(dir=os.environ["DATA_DIR"]) as place:
        revoke = partial(_revoke, running, token_of(cast, "ada", Scope.GRANTS_CLOSE))
        for name, begin in (
            ("forward auth, next request", _forward_auth),
            ("decision point, next question", _decision_point),
            ("guard, Python", _guard),
            ("guard, Node", _guard_in_node),
            ("signals, poll", _poll),
            ("signals, push", _push),
        ):
            ticking = bar.add_task(name, total=count)
            try:
                with begin(cast, running, Path(place)) as way:
                    # The first one also starts what later ones find: connections, caches, a place in each log.
                    _once(cast, way, revoke, [], lambda: None)
                    _settled()
                    found = [_once(cast, way, revoke, calls, partial(bar.advance, ticking)) for _ in range(count)]
            except (OSError, ValueError) as error:
                missing.append(f"{name}: {error}")
                continue
            results.append(Result(f"revoked → refused: {name}", found, sum(found), _AIM))
    called = Result("the customer’s call itself, answered", calls, sum(calls))
    return [called, *results], missing


def _once(cast: Cast, way: Way, revoke: Callable[[Grant], None], calls: list[float], tick: Callable[[], None]) -> float:
    grant = cast.in_quillo()
    refused_at = way(grant)
    begun = time.monotonic()
    revoke(grant)
    calls.append(time.monotonic() - begun)
    found = refused_at() - begun
    tick()
    return found


def _settled() -> None:
    """Wait until the product has sent what the preparation caused: all tenants get mails about a changed service."""
    until = time.monotonic() + 5 * PATIENCE
    waiting = OutboxMessage.objects.exclude(lane=POLL).filter(state=OutboxMessage.State.WAITING)
    # Some messages are not due for a long time.
    while waiting.filter(next_attempt_at__lte=clock.now()).exists():
        if time.monotonic() > until:
            raise SystemExit("the outbox does not become empty")
        time.sleep(0.5)


def _revoke(running: product.Product, bearer: str, grant: Grant) -> None:
    status, text = call(running.port, "POST", f"/api/v1/access-requests/{grant.access_request_id}/revoke", bearer, {})
    if status != 200:
        raise SystemExit(f"no: {status} {text}")


def call(port: int, method: str, path: str, bearer: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """Call the product on a new connection. Return the status and the body."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers |= {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as line:
        line.request(method, path, None if body is None else json.dumps(body), headers)
        answer = line.getresponse()
        return answer.status, answer.read().decode()


def issued(cast: Cast, grant: Grant) -> str:
    return str(operations.issue_grant_token(grant.pk, alg="RS256", actor=cast.as_("priya")).token)


# --- Ways that ask at each access -------------------------------------------------------------------------------


@contextmanager
def _forward_auth(cast: Cast, running: product.Product, _place: Path) -> Iterator[Way]:
    about = {
        "X_Lockbox_Proxy": PROXY_SECRET, "X_Original_Method": "GET", "X_Original_URI": "/tenants/7/pages",
        "X_Original_Host": "quillo.example",
    }  # fmt: skip

    def way(grant: Grant) -> Watch:
        ask = partial(call, running.port, "GET", "/forward-auth/original", issued(cast, grant), **about)
        return _at_next(lambda: ask()[0] == 200)

    yield way


@contextmanager
def _decision_point(cast: Cast, running: product.Product, _place: Path) -> Iterator[Way]:
    bearer = _client(cast, Scope.EVALUATE)[1]

    def way(grant: Grant) -> Watch:
        question = {
            "subject": {"type": "engineer", "id": str(grant.engineer_id)}, "action": {"name": "view"},
            "resource": {"type": "quillo", "id": str(grant.access_request.scope.get().resource_id)},
        }  # fmt: skip

        def is_allowed() -> bool:
            status, text = call(running.port, "POST", "/access/v1/evaluation", bearer, question)
            if status != 200:
                raise SystemExit(f"no: {status} {text}")
            return bool(json.loads(text)["decision"])

        return _at_next(is_allowed)

    yield way


def _at_next(is_allowed: Callable[[], bool]) -> Watch:
    """Ask now, and once more after the revocation was answered: one more yes would be wrong."""
    if not is_allowed():
        raise SystemExit("no: the window is not open")

    def refused_at() -> float:
        if is_allowed():
            raise SystemExit("yes: after the revocation was answered")
        return time.monotonic()

    return refused_at


# --- Ways that learn of it -----------------------------------------------------------------------------------------


@contextmanager
def _guard(cast: Cast, running: product.Product, place: Path) -> Iterator[Way]:
    made = cast.guard()
    guard = Guard(
        issuer=running.url, service="quillo", origin="https://quillo.example", queue=place / "python",
        client_id=str(made.row.pk), client_secret=made.secret,
    )  # fmt: skip
    guard.wait_for_feed()

    def way(grant: Grant) -> Watch:
        token = issued(cast, grant)

        def is_allowed() -> bool:
            try:
                guard.decide(token, item="GET /w/{id}", **_asked("7"))
            except Refused:
                return False
            return True

        _until(is_allowed)
        found = _End()
        threading.Thread(target=lambda: found.learn(_until(lambda: not is_allowed())), daemon=True).start()
        return found.at

    try:
        yield way
    finally:
        guard.close()


def _asked(identifier: str) -> dict[str, Any]:
    return {"action": "view", "tenant": "contoso", "identifier": identifier, "engineer": "priya@provider.example"}


@contextmanager
def _guard_in_node(cast: Cast, running: product.Product, place: Path) -> Iterator[Way]:
    made = cast.guard()
    options = {
        "issuer": running.url, "service": "quillo", "origin": "https://quillo.example", "queue": str(place / "node"),
        "clientId": str(made.row.pk), "clientSecret": made.secret,
    }  # fmt: skip
    command = [guards.node_program(), str(Path(__file__).with_name("guard.mjs")), str(guards.node.GUARD), "watch"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    assert process.stdin is not None
    assert process.stdout is not None
    lines, sent = process.stdout, process.stdin

    def way(grant: Grant) -> Watch:
        sent.write(json.dumps({"token": issued(cast, grant)}) + "\n")
        if (line := lines.readline()) != "allowed\n":
            raise SystemExit(f"no: {line!r}")
        # Both clocks are CLOCK_MONOTONIC.
        return lambda: int(lines.readline()) / 1e9

    try:
        sent.write(json.dumps({"options": options, "question": _asked("7")}) + "\n")
        yield way
    finally:
        sent.close()
        process.wait(15)


class _End:
    """The time of an end, which another thread learns."""

    def __init__(self) -> None:
        self._at, self._is_known = 0.0, threading.Event()

    def learn(self, at: float) -> None:
        self._at = at
        self._is_known.set()

    def at(self) -> float:
        if not self._is_known.wait(PATIENCE):
            raise SystemExit("nobody learned of the end of the window")
        return self._at


def _until(is_so: Callable[[], bool]) -> float:
    """Wait until something is so, and return the time."""
    until = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > until:
            raise SystemExit("it did not happen")
        time.sleep(0.001)
    return time.monotonic()


# --- Signals ----------------------------------------------------------------------------------------------------


class _Receiver:
    """Knows which windows have ended, from the tokens that arrive. It does not verify them."""

    def __init__(self) -> None:
        self._ends: dict[str, _End] = {}

    def way(self, grant: Grant) -> Watch:
        return self._ends.setdefault(str(grant.pk), _End()).at

    def take(self, token: str) -> None:
        at = time.monotonic()
        claims = _claims(token)
        if any(event.endswith("/session-revoked") for event in claims["events"]):
            self._ends.setdefault(claims["sub_id"]["session"]["id"], _End()).learn(at)


def _claims(token: str) -> dict[str, Any]:
    from base64 import urlsafe_b64decode

    found: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


@contextmanager
def _poll(cast: Cast, running: product.Product, _place: Path) -> Iterator[Way]:
    actor, bearer = _client(cast, Scope.SSF_MANAGE, Scope.SSF_READ)
    stream = operations.create_stream(Wanted(subject_format="complex"), actor=actor)
    receiver, ends = _Receiver(), threading.Event()

    def follow() -> None:
        known: list[str] = []
        while not ends.is_set():
            status, text = call(running.port, "POST", f"/ssf/v1/streams/{stream.pk}/poll", bearer, {"ack": known})
            if status != 200:
                raise SystemExit(f"no: {status} {text}")
            sets = json.loads(text)["sets"]
            known = [*sets]
            for token in sets.values():
                receiver.take(token)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    yield receiver.way
    # The last call waits at most as long as the product lets it.
    ends.set()


@contextmanager
def _push(cast: Cast, running: product.Product, _place: Path) -> Iterator[Way]:
    actor, _bearer = _client(cast, Scope.SSF_MANAGE, Scope.SSF_READ)
    receiver = _Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            token = self.rfile.read(int(self.headers["Content-Length"])).decode()
            receiver.take(token)
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/signals"
    wanted = Wanted(subject_format="complex", delivery=Delivery(is_push=True, url=url))
    try:
        stream = operations.create_stream(wanted, actor=actor)
        yield receiver.way
        operations.delete_stream(stream.pk, actor=actor)
    finally:
        server.shutdown()
        server.server_close()


def _client(cast: Cast, *scopes: Scope) -> tuple[Any, str]:
    """Return the actor of a new client of the provider, and its access token."""
    made = cast.own_client(f"Bench {', '.join(scopes)}", sorted(scopes))
    token = operations.issue_access_token(made.row, scopes=frozenset(scopes))
    row = Token.objects.select_related("account__client").filter(account=made.row.account).latest("created_at")
    return actor_of_token(row), token.secret
