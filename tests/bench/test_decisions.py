"""What the benchmark asks the decision point is what it says: questions whose answer is yes, spread over tenants."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.db.models import Count

from bench import decisions, grants, kept, world
from bench.kept import World
from bench.load import Load, line
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.evaluation import Question
from requests_app.models import AccessRequestResource, Grant, Ticket
from requests_app.queries.evaluation import evaluate
from tests.bench.test_behind import Bar
from tests.caller import service_of

DAY = dt.timedelta(days=1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "TENANTS", 10)
    for name, number in {"TENANTS": 10, "ENGINEERS": 7, "FEW": 3, "LIVE": 20, "STEP": 39}.items():
        monkeypatch.setattr(grants, name, number)


@pytest.mark.django_db
def test_each_question_of_the_benchmark_is_about_an_open_window_among_many_ended_ones(
    small: None, tmp_path: Path
) -> None:
    cast = world.make(tmp_path / "content")
    pairs = grants.make(cast, 400, Bar())
    assert (len(pairs), len({pair.tenant for pair in pairs}), len({pair.engineer for pair in pairs})) == (20, 10, 7)
    assert (Grant.objects.count(), Grant.objects.filter(closed_at=None).count()) == (400, 20)
    for pair in pairs:
        asked = decisions.question(pair, {})
        found = evaluate(
            Question(
                subject_type="engineer",
                subject=asked["subject"]["id"],
                action="read",
                service=asked["resource"]["type"],
                resource=asked["resource"]["id"],
            ),
            actor=service_of(cast),
        )
        assert found.decision, found
    # A world that stays is used again when its windows have long ended.
    Grant.objects.filter(closed_at=None).update(opens_at=clock.now() - 2 * DAY, closes_at=clock.now() - DAY)
    again = grants.open_again()
    assert [pair.engineer for pair in again] == [pair.engineer for pair in pairs]
    assert all(pair.until > clock.now().timestamp() for pair in again)
    assert Grant.objects.filter(closed_at=None, opens_at__lt=clock.now()).count() == 20


@pytest.mark.django_db
def test_the_ended_grants_of_a_world_are_spread_as_real_ones_are(small: None, tmp_path: Path) -> None:
    grants.make(world.make(tmp_path / "content"), 400, Bar())
    ended = Grant.objects.exclude(closed_at=None)
    # Up to three access requests belong to one ticket, and all of them have its tenant, engineer and resource.
    tickets = Ticket.objects.filter(reference__startswith="GT").annotate(number=Count("access_requests"))
    assert {ticket.number for ticket in tickets} == {1, 3}
    scopes = {
        (scope.access_request.ticket_id, scope.access_request.requested_by_id, scope.resource_id)
        for scope in AccessRequestResource.objects.select_related("access_request")
    }
    assert len(scopes) == len(tickets)
    each = Counter(ended.values_list("tenant__slug", flat=True))
    assert len(each) == 10
    assert max(each.values()) > 4 * min(each.values())
    # No engineer works for one tenant only.
    assert len(set(ended.values_list("engineer", "tenant"))) > 40


@pytest.mark.django_db
def test_rows_that_are_due_are_found_by_the_sweeps(small: None, tmp_path: Path) -> None:
    cast = world.make(tmp_path / "content")
    grants.make(cast, 60, Bar())
    for windows, sweep in ((False, operations.sweeps.expire_overdue), (True, operations.sweeps.close_elapsed)):
        for start in (0, 7):
            grants.due(cast, 7, windows=windows, start=start)
        assert sweep(actor=Actor.system("sweep"), limit=100) == 14


def test_a_world_stays_until_its_shape_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATA_DIR"):
        monkeypatch.setenv(name, "")
    made = World.named("log-7")
    assert kept.facts(made, tmp_path) is None
    kept.begin(made, tmp_path)
    home = Path(os.environ["DATA_DIR"])
    assert home == tmp_path / "worlds" / "sqlite-log-7"
    (home / "rows").touch()
    # A pipe of a server that worked in the world can't be copied.
    (home / "chimes").mkdir()
    os.mkfifo(home / "chimes" / "pipe")
    # Nobody has finished it.
    assert kept.facts(made, tmp_path) is None
    kept.end(made, tmp_path, {"tenant": "a"})
    assert kept.facts(made, tmp_path) == {"tenant": "a"}
    # A part changes only its copy.
    copy = kept.enter_copy(made, tmp_path, "log-search")
    assert (Path(os.environ["DATA_DIR"]), (copy / "rows").exists()) == (copy, True)
    kept.leave(copy)
    assert not copy.exists()
    assert (home / "rows").exists()
    monkeypatch.setitem(kept._SHAPES, "log", kept._SHAPES["log"] + 1)
    assert kept.facts(made, tmp_path) is None
    kept.begin(made, tmp_path)
    assert not (home / "rows").exists()


def test_wrk_sends_each_request_in_turn_and_counts_answers_and_refusals() -> None:
    got: list[tuple[str, str, str | None, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            got.append((self.command, self.path, self.headers["X-Secret"], body))
            self.send_response(403 if self.path == "/second" else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        lines = [
            line("POST", "/first", {"Host": "localhost", "X-Secret": "a: b"}, json.dumps({"n": 1})),
            line("GET", "/second", {"Host": "localhost"}),
        ]
        with Load(lines) as requests:
            answers = requests.run(server.server_port, connections=1, seconds=1)
    finally:
        server.shutdown()
        server.server_close()
    first, second = ("POST", "/first", "a: b", b'{"n": 1}'), ("GET", "/second", None, b"")
    # wrk takes the first one for itself, before it begins.
    assert got[:4] == [second, first, second, first]
    assert answers.broken == 0
    assert answers.count - 1 <= 2 * answers.refused <= answers.count + 1
    assert len(answers.seconds) == 100
    assert answers.longest >= answers.seconds[99]
