"""Known problems of the task queue, with real processes that are really killed, on a real database."""

import datetime as dt
import os
import signal
import socket
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

from audit_app import checkpoints, keys
from audit_app.models import AuditEntry, Checkpoint
from audit_app.notes import Note
from requests_app.domain import clock
from requests_app.domain.states import State
from requests_app.models import AccessRequest, Heartbeat, OutboxMessage, TaskAttempt
from requests_app.work.processes import tree
from tests.cast import gather
from tests.ports import free_port
from tests.tasks.conftest import Notes, Running, Start, beats, in_service, runs, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_clock,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

#: How many seconds a chore runs that ignores its end.
HELD_OUT = 60.0
NOTE, DIE, FAIL = (f"tests.tasks.chores.{name}" for name in ("note", "die", "fail"))
#: A supervisor that notices quickly if a part stops working.
WATCHFUL = {"HEARTBEAT_MAX_AGE_SECONDS": "6"}
#: Short time limits, except for the queue: even on a slow machine, it delivers no running task again.
PATIENT = {"DJANGO_SETTINGS_MODULE": "tests.tasks.patient_settings"}


def forked(running: Running) -> list[int]:
    """Return the processes of the only cluster, in this order: a worker, the monitor, the pusher, and more workers."""
    parents = {}
    for pid in running.family():
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        parents[pid] = int(state[1])
    (cluster,) = [pid for pid, parent in parents.items() if parent == running.pid and runs(pid, "cluster")]
    return sorted(pid for pid, parent in parents.items() if parent == cluster)


def are_idle(pids: set[int]) -> bool:
    """Return whether all these processes sleep, three times in a row.

    If a worker sleeps for so long, it is waiting for a task.
    """
    for _ in range(3):
        if any(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S" for pid in pids):
            return False
        time.sleep(0.2)
    return True


def waiting_words() -> list[str]:
    return [row.task["args"][1] for row in OrmQ.objects.all() if row.func() == NOTE]


# --- A worker that is killed while it waits --------------------------------------------------------------


@pytest.mark.deep
def test_a_cluster_whose_idle_workers_were_killed_is_started_again(start: Start, notes: Notes) -> None:
    running = start("lockbox", "--no-web", **WATCHFUL)
    in_service()
    no_workers = forked(running)[1:3]
    assert len(no_workers) == 2
    for attempt in range(6):
        workers = set(forked(running)) - set(no_workers)
        wait_for(lambda: are_idle(workers), within=20, why="idle workers")  # noqa: B023 - called at once
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        async_task(NOTE, notes.path, f"word-{attempt}")
        wait_for(lambda: f"word-{attempt}" in notes(), within=40, why="work goes on")  # noqa: B023 - called at once
        # If the killed worker was running a task, it held no lock, and django-q2 has replaced it.
        if "cluster-1 does no work any more; it is killed and started again." in running.log:
            break
    else:
        pytest.fail("The trap is gone from django-q2: the watchdog may have less to do.")
    running.stop()
    assert (running.process.returncode, running.orphans()) == (0, [])


@pytest.mark.deep
def test_a_healthy_neighbour_does_not_hide_a_stuck_cluster(start: Start, notes: Notes) -> None:
    running = start("lockbox", "--no-web", "--no-beat", "--clusters", "2", **WATCHFUL)
    names = sorted(in_service(2))
    assert names[1].endswith("-2")
    # The monitor writes the heartbeat.
    for pid in tree(os.getsid(Heartbeat.objects.get(name=names[1]).pid)):
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: "cluster-2 does no work any more" in running.log, within=30)
    before = beats()[names[1]]
    wait_for(lambda: beats()[names[1]] > before, within=30, why="the second cluster lives again")
    assert "cluster-1 does no work any more" not in running.log


@pytest.mark.deep
def test_a_beat_that_hangs_is_started_again(start: Start) -> None:
    running = start("lockbox", "--no-web", "--clusters", "0", **WATCHFUL)
    wait_for(lambda: Heartbeat.objects.filter(name="beat").exists(), within=20)
    (beat,) = [pid for pid in running.family() if runs(pid, "beat")]
    os.kill(beat, signal.SIGSTOP)
    wait_for(lambda: "beat does no work any more" in running.log, within=20)
    wait_for(lambda: Heartbeat.objects.get(name="beat").pid != beat, within=20)


# --- From an entry to its checkpoint ---------------------------------------------------------------------


def test_an_entry_is_under_a_signed_checkpoint_within_a_minute(start: Start) -> None:
    world = gather()
    key = Path(settings.LOG_KEY_FILE).read_text().strip()
    start("lockbox", "--no-web", LOG_KEY=key, LOG_ORIGIN=settings.LOG_ORIGIN, SWEEP_SECONDS="10")
    in_service()
    for _ in range(2):  # the second entry comes just after a round, so it waits longest
        world.submitted()
        newest = AuditEntry.objects.filter(tenant_id=world.contoso.pk).order_by("-seq").first()
        assert newest is not None
        covering = Checkpoint.objects.filter(tenant_id=world.contoso.pk, size__gt=newest.seq)
        found = wait_for(covering.first, within=60, why="the entry is signed")
        assert found.signed_at - newest.at < dt.timedelta(seconds=60)
        (public,) = keys.load().publics
        assert Note.parse(found.note).times(keys.log_key(checkpoints.origin_of(world.contoso.pk, 0), public)) == [None]


# --- A task that kills its worker ------------------------------------------------------------------------


def test_a_task_that_kills_its_worker_is_parked_and_the_others_go_on(start: Start, notes: Notes) -> None:
    start("cluster")
    async_task(DIE, notes.path)
    async_task(FAIL, notes.path)
    for number in range(5):
        async_task(NOTE, notes.path, f"other {number}")
    wait_for(lambda: TaskAttempt.objects.parked().count() == 2, within=60, why="both are parked")
    wait_for(lambda: not OrmQ.objects.exists(), within=20, why="the queue lets go of them")
    time.sleep(6)  # longer than `retry`, so a task would have been delivered again
    counted = Counter(line.split()[0] for line in notes())
    assert (counted["died"], counted["failed"]) == (2, 2)
    assert {line for line in notes() if line.startswith("other")} == {f"other {number}" for number in range(5)}
    dead, failed = (TaskAttempt.objects.get(name__contains=word) for word in (".die(", ".fail("))
    assert (dead.attempts, failed.attempts) == (2, 2)
    assert (dead.last_error, failed.last_error) == ("", "RuntimeError: no luck")


# --- Stopping --------------------------------------------------------------------------------------------


@pytest.mark.deep
def test_a_stop_under_a_backlog_is_quick_and_loses_nothing(start: Start, notes: Notes) -> None:
    words = [f"word-{number}" for number in range(120)]
    for word in words:
        async_task(NOTE, notes.path, word, 0.15)
    running = start("lockbox", "--no-web", **PATIENT)
    wait_for(lambda: len(notes()) >= 10, within=30)
    running.stop()
    assert (running.process.returncode, running.orphans()) == (0, [])
    done, left = notes(), waiting_words()
    assert len(done) < len(words), "there was no backlog to stop under"
    assert set(done) | set(left) == set(words)
    start("cluster", **PATIENT)
    wait_for(lambda: set(notes()) == set(words) and not waiting_words(), within=60)
    repeated = [word for word, count in Counter(notes()).items() if count > 1]
    assert len(repeated) <= 2, "only what a killed worker held at that moment may run again"


@pytest.mark.deep
def test_a_task_that_does_not_stop_in_time_is_killed_and_done_later(start: Start, notes: Notes) -> None:
    async_task(NOTE, notes.path, "begun", 0.0)
    async_task("tests.tasks.chores.hold_out", notes.path, HELD_OUT)
    running = start("lockbox", "--no-web", STOP_SECONDS="2")
    wait_for(lambda: "holding out" in notes(), within=30)
    assert running.stop(is_cut_short=True) < HELD_OUT / 2
    assert "cluster-1 did not stop in time and is killed." in running.log
    assert (running.process.returncode, running.orphans()) == (0, [])
    assert [row.func() for row in OrmQ.objects.all() if "chores" in row.func()] == ["tests.tasks.chores.hold_out"]


@pytest.mark.deep
def test_a_second_signal_ends_it_at_once(start: Start, notes: Notes) -> None:
    async_task("tests.tasks.chores.hold_out", notes.path, HELD_OUT)
    running = start("lockbox", "--no-web", STOP_SECONDS="18")
    wait_for(lambda: "holding out" in notes(), within=30)
    running.family()
    running.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert running.stop(signal.SIGINT, is_cut_short=True) < 15, "it would be killed after 18 s, by itself"
    assert running.orphans() == []


@pytest.mark.deep
def test_a_supervisor_that_is_killed_leaves_nobody_behind(start: Start) -> None:
    running = start("lockbox", PORT=str(free_port()))
    in_service()
    running.until("Ready: ")
    assert len(running.family()) >= 9
    running.process.kill()
    running.process.wait(timeout=120)
    wait_for(lambda: running.orphans() == [], within=5, why="all have ended")


@pytest.mark.deep
def test_a_part_that_dies_is_started_again(start: Start) -> None:
    running = start("lockbox", "--no-web")
    in_service()
    (beat,) = [pid for pid in running.family() if runs(pid, "beat")]
    (cluster,) = [pid for pid in running.family() if runs(pid, "cluster") and _leads(pid)]
    os.kill(beat, signal.SIGKILL)
    os.kill(cluster, signal.SIGKILL)
    wait_for(lambda: running.log.count("starts again in 1 s") == 2, within=10)
    assert "beat ended with code -9" in running.log
    killed = clock.now()
    wait_for(lambda: max(beats().values()) > killed + dt.timedelta(seconds=1), within=20, why="the cluster is back")
    wait_for(lambda: Heartbeat.objects.get(name="beat").at > killed, within=20, why="the beat is back")
    running.family()
    running.stop()
    assert running.orphans() == [], "not even the first cluster's workers"


def _leads(pid: int) -> bool:
    return os.getsid(pid) == pid


# --- The web server --------------------------------------------------------------------------------------


def test_the_whole_runs_says_where_and_ends_by_ctrl_c(start: Start) -> None:
    port = free_port()
    healthz = f"http://127.0.0.1:{port}/healthz"
    running = start("lockbox", is_checked=True, PORT=str(port), WEB_WORKERS="1")
    running.until(f"Ready: http://127.0.0.1:{port} ")
    in_service()
    with urllib.request.urlopen(healthz, timeout=60) as answer:
        assert answer.status == 200
    (web,) = [pid for pid in running.family() if runs(pid, "granian") and _leads(pid)]
    os.kill(web, signal.SIGKILL)
    wait_for(lambda: "web ended with code -9" in running.log, within=10)
    wait_for(lambda: _answers(healthz), within=20, why="the web server is back")
    running.stop(signal.SIGINT)
    assert (running.process.returncode, running.orphans()) == (0, [])


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_port_in_use_is_one_line_that_says_what_to_do(start: Start) -> None:
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        running = start("lockbox", PORT=str(port))
        assert running.process.wait(timeout=120) == 1
    (line,) = running.log.splitlines()
    shown = f"Port {port} of 127.0.0.1 is in use. Stop what uses it, or choose another: PORT={port + 1}"
    assert line == f"CommandError: {shown}"


def test_a_web_server_that_cannot_start_ends_the_whole(start: Start) -> None:
    """This may be the operator's first start. Starting again without end would hide the error."""
    running = start(
        "lockbox", PORT=str(free_port()), GRANIAN_SSL_CERTIFICATE="/nowhere", GRANIAN_SSL_KEYFILE="/nowhere"
    )
    assert running.process.wait(timeout=120) == 1
    assert "The web server could not start; its own messages are above." in running.log
    assert running.orphans() == []


# --- Invalid rows ----------------------------------------------------------------------------------------


def test_a_schedule_that_cannot_be_parsed_stops_nothing(start: Start) -> None:
    past = clock.now() - dt.timedelta(minutes=5)
    Schedule.objects.create(name="foreign", func="os.system", args="((", next_run=past)
    running = start("beat")
    wait_for(lambda: OrmQ.objects.count() >= 4, within=20, why="the others are enqueued")
    Schedule.objects.create(name="another", func="os.system", kwargs="{", next_run=past)
    wait_for(lambda: not Schedule.objects.filter(func="os.system").exists(), within=10)
    assert "Schedule another is removed: its kwargs can't be read." in running.log
    running.stop()


# --- A lost queue ----------------------------------------------------------------------------------------


@pytest.mark.deep
def test_a_new_signing_key_loses_tasks_but_no_message_and_no_deadline(start: Start, tmp_path: Path) -> None:
    world = gather()
    waiting = world.submitted()
    overdue = world.submitted()
    AccessRequest.objects.filter(pk=overdue.pk).update(decide_by=clock.now() - dt.timedelta(minutes=1))
    due = set(OutboxMessage.objects.values_list("pk", flat=True))
    assert due
    assert OrmQ.objects.count() == 1, "one bell for both changes"
    mails = tmp_path / "mails"
    running = start("cluster", TASK_SIGNING_KEY="rotated", SECRET_KEY="rotated", EMAIL_URL=f"filemail://{mails}")
    wait_for(lambda: not OrmQ.objects.exists(), within=20, why="the bell can't be read any more, and is dropped")
    assert OutboxMessage.objects.filter(state="delivered").count() == 0
    assert "BadSignature" in running.log
    start("beat", TASK_SIGNING_KEY="rotated", SECRET_KEY="rotated")
    wait_for(
        lambda: not OutboxMessage.objects.filter(state="waiting").exists() and mails.exists(),
        within=40,
        why="the outbox is drained",
    )
    assert set(OutboxMessage.objects.filter(pk__in=due).values_list("state", flat=True)) == {"delivered"}
    assert AccessRequest.objects.get(pk=overdue.pk).state == State.EXPIRED
    assert AccessRequest.objects.get(pk=waiting.pk).state == State.PENDING_PROVIDER


def test_two_clusters_and_two_beats_do_nothing_twice(start: Start, notes: Notes) -> None:
    world = gather()
    late = [world.submitted().pk for _ in range(8)]
    AccessRequest.objects.filter(pk__in=late).update(decide_by=clock.now() - dt.timedelta(minutes=1))
    words = [f"word-{number}" for number in range(100)]
    for word in words:
        async_task(NOTE, notes.path, word)
    start("lockbox", "--no-web", "--clusters", "2", **PATIENT)
    start("beat", **PATIENT)
    wait_for(lambda: set(notes()) == set(words), within=60)
    wait_for(lambda: not AccessRequest.objects.filter(state=State.PENDING_PROVIDER).exists(), within=40)
    in_service(2)
    wait_for(lambda: not waiting_words(), within=30, why="what is done leaves the queue, and can't come back")
    assert Counter(notes()) == Counter(words)
    ends = AuditEntry.objects.filter(event="access_request.expired").values_list("correlation_id", flat=True)
    assert Counter(map(str, ends)) == Counter(map(str, late))
    messages = Counter(OutboxMessage.objects.values_list("key", flat=True))
    assert set(messages.values()) == {1}
