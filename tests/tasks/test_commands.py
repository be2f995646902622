"""The commands for operators, and for the probe of a container."""

import datetime as dt
import resource
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from lockbox_site.demo import people
from requests_app.domain import clock
from requests_app.models import AccessRequest, Heartbeat, OutboxMessage
from requests_app.work import heartbeats, supervisor
from tests.cast import gather

pytestmark = pytest.mark.django_db(transaction=True)


def output_of(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def seen(name: str, **ago: float) -> None:
    Heartbeat.objects.update_or_create(name=name, defaults={"at": clock.now() - dt.timedelta(**ago), "pid": 1})


def test_a_probe_passes_while_its_own_cluster_lives_and_fails_when_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_NAME", "here")
    seen("worker:elsewhere", seconds=1)
    with pytest.raises(CommandError, match=r"worker:here has never been seen\."):
        output_of("heartbeat")
    seen("worker:here", seconds=10)
    assert output_of("heartbeat") == "worker:here was last seen 10 s ago.\n"
    seen("worker:here", seconds=settings.HEARTBEAT_MAX_AGE_SECONDS + 5)
    with pytest.raises(CommandError, match=r"worker:here was last seen 65 s ago\."):
        output_of("heartbeat")
    assert output_of("heartbeat", "--max-age", "70")


def test_a_probe_asks_for_any_name() -> None:
    seen("beat", seconds=3)
    assert output_of("heartbeat", "beat") == "beat was last seen 3 s ago.\n"


def test_a_cluster_is_named_after_its_host_unless_it_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLUSTER_NAME", raising=False)
    monkeypatch.setattr(heartbeats.socket, "gethostname", lambda: "box7")
    assert heartbeats.of_cluster(heartbeats.cluster_name()) == "worker:box7"
    assert len(heartbeats.of_cluster("n" * 300)) == 120


def test_a_line_to_copy_runs_in_a_shell_that_knows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "my data"))
    with pytest.raises(CommandError, match="There is no demo world here") as refused:
        output_of("demo_people")
    line = str(refused.value).partition("Make it: ")[2]
    assert line.endswith(" manage.py demo_world")
    bare = {"PATH": "/usr/bin:/bin"}
    checked = ["sh", "-c", line.replace("demo_world", "log_key create")]
    done = subprocess.run(checked, cwd=settings.BASE_DIR, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my data" / "log_key").exists()


def test_the_list_of_the_demo_world_fits_into_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DATA_DIR, settings.ENGINEER_SECOND_FACTOR = str(tmp_path), True
    monkeypatch.setattr("lockbox_site.management.commands.demo_people.exists", lambda: True)
    people.keep_client("an-id", "a-secret")
    apps = {person.email: people.give_app(person.email) for person in people.everybody() if person.needs_app}
    output = output_of("demo_people")
    listed = output.partition("\n\nType the secret")[0].splitlines()
    assert max(map(len, listed)) <= 80
    passwords = people.passwords()
    assert [line.split()[:2] for line in listed if "@" in line] == [
        *map(list, passwords.items()), *map(list, apps.items()),
    ]  # fmt: skip


def test_sweep_and_drain_run_without_a_worker() -> None:
    row = gather().submitted()
    AccessRequest.objects.filter(pk=row.pk).update(decide_by=clock.now() - dt.timedelta(minutes=1))
    assert output_of("sweep") == "Swept: 1.\n"
    assert AccessRequest.objects.get(pk=row.pk).state == "EXPIRED"
    assert output_of("drain_outbox").startswith("Delivered: ")
    assert not OutboxMessage.objects.filter(state="waiting").exists()
    assert (output_of("sweep"), output_of("drain_outbox")) == ("Swept: 0.\n", "Delivered: 0.\n")
    assert not Heartbeat.objects.workers().exists(), "a hand at work is no sign of a worker"


def test_nothing_to_run_is_reported() -> None:
    with pytest.raises(CommandError, match="There is nothing to run"):
        call_command("lockbox", "--no-web", "--no-beat", "--clusters", "0")


def test_a_database_behind_the_code_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from requests_app.management import _fitness

    monkeypatch.setattr(_fitness.migrated, "missing", lambda: 1)
    with pytest.raises(CommandError, match=r"Run: \S*customer-lockbox migrate --data-dir \S+$"):
        call_command("lockbox", "--no-web")


@pytest.mark.parametrize("host", ["not..a..name", "192.0.2.7"])
def test_an_address_that_is_not_ours_is_one_line(host: str, settings: pytest.FixtureRequest) -> None:
    settings.HOST = host  # type: ignore[attr-defined]  # the settings fixture takes any name
    with pytest.raises(CommandError, match="HOST"):
        call_command("lockbox", "--clusters", "0", "--no-beat")


def test_the_web_server_gets_a_number_for_its_address() -> None:
    """The web server accepts no host names.

    `localhost` becomes an IPv4 address, because browsers try IPv6 only if IPv4 does not answer.
    """
    assert supervisor.address_of("localhost", 8000) == "127.0.0.1"
    command = supervisor.web_command()
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--interface") + 1] == "rsgi"


def test_the_web_servers_options_are_ones_that_it_knows() -> None:
    known = subprocess.run(
        [sys.executable, "-m", "granian", "--help"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    options = [word for word in supervisor.web_command() if word.startswith("--")]
    assert options
    assert [option for option in options if option not in known] == []


@pytest.mark.parametrize(("number", "is_printed"), [("10.1.2.3", True), ("lockbox.example.com", False)])
def test_the_start_says_that_passkeys_need_a_name(
    number: str, is_printed: bool, settings: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PASSKEY_RP_ID = number  # type: ignore[attr-defined]  # the settings fixture takes any name
    monkeypatch.setattr(supervisor, "require_free_port", lambda host, port: None)
    monkeypatch.setattr(supervisor, "Supervisor", lambda parts, **_: SimpleNamespace(run=lambda: 0))
    err = StringIO()
    call_command("lockbox", "--no-beat", "--clusters", "0", stderr=err)
    assert ("Passkeys can't be used at http://localhost:8000" in err.getvalue()) is is_printed


def test_the_other_parts_start_when_the_web_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the web server has the processors for itself, and answers earlier."""
    answers = [False, False, True]
    started: list[str] = []

    def start(_self: supervisor.Supervisor, part: supervisor.ChildProcess) -> None:
        started.append(part.label)
        part.child = SimpleNamespace(is_running=True, pid=0)  # type: ignore[assignment]  # no process is started
        part.started = clock.monotonic()

    monkeypatch.setattr(supervisor.Supervisor, "_start", start)
    monkeypatch.setattr(supervisor, "Undertaker", lambda *_: SimpleNamespace(keep=lambda: None))
    monkeypatch.setattr(supervisor, "web_answers", lambda host, port: answers.pop(0))
    parts = [supervisor.ChildProcess(kind, kind, []) for kind in (supervisor.BEAT, supervisor.CLUSTER, supervisor.WEB)]
    running = supervisor.Supervisor(parts)
    for _ in range(4):
        running._look_after_all()
        assert started == ["web"]
    running._look_after_all()
    assert started == ["web", "beat", "cluster"]
    alone: list[supervisor.ChildProcess] = parts[:2]
    for part in alone:
        part.child = None
    without_web = supervisor.Supervisor(alone)
    without_web._look_after_all()
    assert started[3:] == ["beat", "cluster"], "where no web server runs, nobody waits for it"
    for each in (running, without_web):
        each._signs.close()


@pytest.mark.parametrize(("web_workers", "sockets"), [(2, 1), (supervisor.FEW_WEB_WORKERS + 1, 2)])
def test_at_rest_the_supervisor_wakes_once_a_second(
    web_workers: int, sockets: int, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datagrams of a few web processes wait for the next look. Many would not have room."""
    now, waits = 1000.0, list[tuple[int, float]]()

    def select(wakers: list[int], _writers: object, _failed: object, left: float) -> tuple[list[int], ...]:
        nonlocal now
        waits.append((len(wakers), left))
        now += left
        return [], [], []

    settings.WEB_WORKERS = web_workers
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    monkeypatch.setattr(supervisor.select, "select", select)
    monkeypatch.setattr(supervisor, "Undertaker", lambda *_: SimpleNamespace(keep=lambda: None))
    part = supervisor.ChildProcess("beat", supervisor.BEAT, [])
    running = supervisor.Supervisor([part])
    running._rest()
    # A part that has ended starts again in a moment.
    part.not_before = now + 0.25
    running._rest()
    assert waits == [(sockets, 1.0), (sockets, 0.25)]
    running._signs.close()


@pytest.mark.parametrize("choices", [[300, 600], [60], [14400, 90000]])
def test_the_demo_world_is_made_with_any_offered_lengths(choices: list[int], settings: pytest.FixtureRequest) -> None:
    settings.WINDOW_CHOICES_SECONDS = choices  # type: ignore[attr-defined]  # the settings fixture takes any name
    assert output_of("demo_world") == "The demo world is made.\n"
    assert set(AccessRequest.objects.values_list("window_for", flat=True)) <= set(choices)
    assert AccessRequest.objects.filter(state="OPEN").exists()


@pytest.mark.parametrize(("hard", "most"), [(resource.RLIM_INFINITY, 16_384), (65_536, 16_384), (4_096, 2_048), (1, 1)])
def test_clients_leave_half_of_the_descriptors_to_the_work(
    hard: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1, hard))
    command = supervisor.web_command()
    assert command[command.index("--backpressure") + 1] == str(most)
