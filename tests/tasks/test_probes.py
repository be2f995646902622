"""The probes of a container say only what its own parts do, and need no database for it."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from lockbox_site import probing
from requests_app.domain import clock
from requests_app.management import _waiting
from requests_app.models import Heartbeat
from requests_app.platform.database import migrated
from requests_app.work import heartbeats, probe_file, supervisor
from requests_app.work.beat import tick
from requests_app.work.watchdog import Watchdog
from tests.tasks.conftest import Start, runs, wait_for

NOT_YET = "No part of Customer Lockbox runs here yet."


@pytest.fixture
def place(tmp_path: Path, settings: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "probe"
    settings.PROBE_FILE = str(path)  # type: ignore[attr-defined]  # the settings fixture takes any name
    monkeypatch.setenv("PROBE_FILE", str(path))
    return path


def probe(what: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = probing.run([what], program="customer-lockbox")
    return status, capsys.readouterr().out.strip()


def test_nothing_is_alive_before_a_part_has_reported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("live", "ready"):
        assert probe(what, capsys) == (1, NOT_YET)
        place.write_text("{half")
        assert probe(what, capsys) == (1, NOT_YET)
        place.unlink()


def test_a_part_that_works_is_alive_and_ready(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe_file.write([])
    assert probe("live", capsys) == probe("ready", capsys) == (0, "ok")
    assert [entry.name for entry in place.parent.iterdir()] == ["probe"], "no draft is left"


def test_a_part_that_does_not_work_is_alive_but_not_ready(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A restart of the container does not help: the supervisor restarts the part itself, or the database is away."""
    probe_file.write(["cluster-1: it has done no work for 31 s."])
    assert probe("live", capsys) == (0, "ok")
    assert probe("ready", capsys) == (1, "cluster-1: it has done no work for 31 s.")


def test_a_supervisor_that_hangs_is_neither(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe_file.write([])
    old = json.loads(place.read_text()) | {"at": clock.monotonic() - 21}
    place.write_text(json.dumps(old))
    for what in ("live", "ready"):
        assert probe(what, capsys) == (1, "The supervisor has not reported for 21 s.")


@pytest.fixture
def web(request: pytest.FixtureRequest) -> Iterator[str]:
    """Answer /readyz?part=web with this status, and everything else with 404. Return the `host:port`."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param if self.path == "/readyz?part=web" else 404)
            self.end_headers()
            self.wfile.write(b"the checks")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("web", "answer"), [(200, (0, "ok")), (503, (1, "the checks"))], indirect=["web"])
def test_a_web_server_is_asked_itself(
    place: Path, web: str, answer: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    probe_file.write([], web=web)
    assert probe("ready", capsys) == answer
    assert probe("live", capsys) == (0, "ok")


def test_a_web_server_that_does_not_answer_is_not_ready(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe_file.write([], web="127.0.0.1:9")
    assert probe("ready", capsys) == (1, "The web server does not answer (ConnectionRefusedError).")


def test_a_link_of_another_user_is_never_written_through(place: Path) -> None:
    """The directory may be /tmp, and everybody knows the name of the draft."""
    victim = place.with_name("victim")
    victim.write_text("stays")
    place.with_name(f".{place.name}.{os.getpid()}").symlink_to(victim)
    probe_file.write([])
    assert (victim.read_text(), json.loads(place.read_text())["faults"]) == ("stays", [])


def test_without_a_file_nothing_is_written_and_the_probe_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PROBE_FILE", raising=False)
    probe_file.write([])
    assert probing.run(["live"], program="customer-lockbox") == 2
    assert "PROBE_FILE is not set" in capsys.readouterr().err


def test_the_probe_imports_nothing_of_django() -> None:
    """It runs every few seconds in each container."""
    code = "import sys; from lockbox_site import command_line, probing; print('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# --- What the supervisor reports -------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_only_a_part_that_was_seen_to_work_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    watchdog = Watchdog(stale_after=60)

    def after(seconds: int, *names: str) -> str:
        nonlocal now
        for name in names:
            heartbeats.touch(name, at=clock.now())
        for _ in range(seconds):
            now += 1
            watchdog.look()
        return watchdog.fault("worker:own", started=0.0, patience=30)

    assert watchdog.fault("worker:own", started=0.0, patience=30) == "the database does not answer"
    assert after(3, "worker:own") == "it has done no work yet", "the row of a former process of the same name"
    assert after(3, "worker:other") == "it has done no work yet"
    assert after(3, "worker:own") == ""
    assert after(30, "worker:other") == "it has done no work for 32 s"
    now += 60
    assert watchdog.fault("worker:own", started=0.0, patience=30) == "the database does not answer"


def test_the_supervisor_names_each_part_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "Undertaker", lambda *_: SimpleNamespace(keep=lambda: None))
    parts = [
        supervisor.ChildProcess("web", supervisor.WEB, []),
        supervisor.ChildProcess("cluster-1", supervisor.CLUSTER, [], heartbeat="worker:here-1"),
        supervisor.ChildProcess("beat", supervisor.BEAT, [], heartbeat="beat:here"),
    ]
    running = supervisor.Supervisor(parts)
    assert running.faults() == [f"{part.label}: it does not run." for part in parts]
    for part in parts:
        part.child = SimpleNamespace(is_running=True, pid=0)  # type: ignore[assignment]  # no process is started
    silent = {"worker:here-1": "it has done no work for 31 s"}
    monkeypatch.setattr(Watchdog, "fault", lambda self, name, *, started, patience: silent.get(name, ""))
    assert running.faults() == ["web: it does not run.", "cluster-1: it has done no work for 31 s."]
    running._web_answered = True
    assert running.faults() == ["cluster-1: it has done no work for 31 s."]
    running._signs.close()


def test_the_supervisor_judges_its_parts_only_if_they_are_reported(
    place: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(supervisor, "Undertaker", lambda *_: SimpleNamespace(keep=lambda: None))
    running, judged = supervisor.Supervisor([]), list[bool]()

    def faults() -> list[str]:
        judged.append(True)
        return []

    monkeypatch.setattr(running, "faults", faults)
    settings.PROBE_FILE = ""
    running._look_after_all()
    assert (judged, place.exists()) == ([], False)
    settings.PROBE_FILE = str(place)
    running._look_after_all()
    assert (judged, place.exists()) == ([True], True)
    running._signs.close()


@pytest.mark.django_db(transaction=True)
def test_a_beat_has_a_heartbeat_of_its_own_that_another_beat_does_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "host_name", lambda: "one")
    tick()
    monkeypatch.setattr(heartbeats, "host_name", lambda: "two")
    tick()
    names = set(Heartbeat.objects.filter(name__startswith="beat").values_list("name", flat=True))
    assert names == {"beat", "beat:one", "beat:two"}
    assert {"beat:one", "beat:two"} <= set(Heartbeat.objects.of_places().values_list("name", flat=True))
    assert "beat" not in Heartbeat.objects.of_places().values_list("name", flat=True), "it is never forgotten"


# --- Containers start in any order -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_part_waits_for_the_database_and_for_its_migrations(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers: list[object] = [OperationalError("connection refused"), 2, 2, 0]
    seen: list[tuple[int, int]] = []

    def missing() -> object:
        seen.append((probing.run(["live"], program=""), probing.run(["ready"], program="")))
        found = numbers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(migrated, "missing", missing)
    monkeypatch.setattr(_waiting, "PAUSE_SECONDS", 0.0)
    _waiting.for_database()
    assert numbers == []
    assert seen == [(1, 1), (0, 1), (0, 1), (0, 1)], "alive, and not ready"
    assert capsys.readouterr().err.splitlines() == [
        "Waiting for the database: connection refused",
        "Waiting for the command migrate. Missing migrations: 2",
        "The database is there and up to date.",
    ]


@pytest.mark.deep
def test_a_worker_that_hangs_is_not_ready_although_another_one_works(start: Start, tmp_path: Path) -> None:
    """Each supervisor runs as if it were alone in a container. Both use the same database."""

    def probed(name: str, what: str) -> bool:
        command = [sys.executable, "-m", "lockbox_site.command_line", "probe", what]
        return subprocess.run(command, env={**os.environ, "PROBE_FILE": str(tmp_path / name)}).returncode == 0

    def container(name: str) -> object:
        return start("lockbox", "--no-web", "--no-beat", PROBE_FILE=str(tmp_path / name), HEARTBEAT_SECONDS="1")

    one = container("one")
    wait_for(lambda: probed("one", "ready"), within=30)
    clusters = [pid for pid in one.family() if runs(pid, "cluster")]  # type: ignore[attr-defined]  # a Running
    for pid in clusters:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: not probed("one", "ready"), within=20)
    assert probed("one", "live"), "its supervisor works, and will replace the cluster"
    for pid in clusters:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: probed("one", "ready"), within=30)
    os.kill(one.pid, signal.SIGSTOP)  # type: ignore[attr-defined]  # a Running
    started = time.monotonic()
    wait_for(lambda: not probed("one", "live"), within=30)
    assert time.monotonic() - started < 40
    os.kill(one.pid, signal.SIGCONT)  # type: ignore[attr-defined]  # a Running
