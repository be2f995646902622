"""What the benchmark asks the decision point is what it says: questions whose answer is yes, spread over tenants."""

from __future__ import annotations

import datetime as dt
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bench import decisions, grants, kept, world
from bench.load import Load, line
from requests_app.domain import clock
from requests_app.domain.evaluation import Question
from requests_app.models import Grant, Ticket
from requests_app.queries.evaluation import evaluate
from tests.bench.test_behind import Bar
from tests.caller import service_of

DAY = dt.timedelta(days=1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "TENANTS", 10)
    for name, number in {"TENANTS": 10, "ENGINEERS": 7, "RESOURCES": 3, "LIVE": 20, "STEP": 40}.items():
        monkeypatch.setattr(grants, name, number)


@pytest.mark.django_db
def test_each_question_of_the_benchmark_is_about_an_open_window_among_many_ended_ones(
    small: None, tmp_path: Path
) -> None:
    cast = world.make(tmp_path / "content")
    pairs = grants.ensure(cast, 100, Bar())
    assert (len(pairs), len({pair.tenant for pair in pairs})) == (20, 10)
    assert (Grant.objects.count(), Grant.objects.filter(closed_at=None).count()) == (100, 20)
    assert Ticket.objects.filter(reference__startswith="GT").count() == 100
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
    assert grants.ensure(cast, 130, Bar()) == pairs
    assert Grant.objects.count() == 130
    # A world that stays is used again when its windows have long ended.
    Grant.objects.filter(closed_at=None).update(opens_at=clock.now() - 2 * DAY, closes_at=clock.now() - DAY)
    again = grants.open_again()
    assert [pair.engineer for pair in again] == [pair.engineer for pair in pairs]
    assert all(pair.until > clock.now().timestamp() for pair in again)
    assert Grant.objects.filter(closed_at=None, opens_at__lt=clock.now()).count() == 20


def test_a_world_stays_until_the_program_that_made_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("DATA_DIR", "")
    assert not kept.settle(tmp_path, 7)
    home = Path(os.environ["DATA_DIR"])
    assert home == tmp_path / "worlds" / "sqlite-7"
    (home / "rows").touch()
    # Nobody has finished it, so it is made again.
    assert not kept.settle(tmp_path, 7)
    assert not (home / "rows").exists()
    (home / "rows").touch()
    (home / "made").write_text(kept._fingerprint())
    assert kept.settle(tmp_path, 7)
    assert (home / "rows").exists()
    monkeypatch.setattr(kept, "_MADE_BY", ("grants.py",))
    assert not kept.settle(tmp_path, 7)
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
