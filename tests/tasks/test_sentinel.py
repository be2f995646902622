"""A cluster has as many workers as it needs, sleeps while there is nothing to do, and reads the queue cheaply."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.brokers import get_broker
from django_q.tasks import async_task

from requests_app.platform import chime
from requests_app.work import broker, sentinel
from requests_app.work.sentinel import Sentinel, TaskQueue
from tests.tasks.conftest import Notes, Running, Start, in_service, runs, wait_for
from tests.tasks.test_for_real import forked

NOTE, HOLD = "tests.tasks.chores.note", "tests.tasks.chores.hold_out"


class Clustered(Sentinel):
    """A sentinel whose processes are made up."""

    def __init__(self, waiting: list[int]) -> None:
        self.most, self.pool, self._waited = 3, [object()], 0
        self._needed_at, self._busy = 0.0, set()
        self.spawned = 0
        self.task_queue: Any = SimpleNamespace(qsize=lambda: waiting[0], surplus=SimpleNamespace(value=0))

    def spawn_worker(self) -> None:
        self.pool.append(object())


def test_a_worker_is_added_only_if_no_task_is_taken_and_only_so_many() -> None:
    waiting = [5]
    cluster = Clustered(waiting)
    for now, waits, workers in ((1, 5, 1), (2, 4, 1), (3, 1, 1), (4, 0, 1), (5, 1, 1), (6, 1, 2), (7, 9, 3), (8, 9, 3)):
        waiting[0] = waits
        cluster._adapt(now)
        assert len(cluster.pool) == workers, now


def test_a_worker_that_nobody_needs_is_asked_to_end_and_the_last_one_is_not() -> None:
    waiting = [0]
    cluster = Clustered(waiting)
    cluster.pool = [object(), object()]
    cluster._adapt(sentinel.SPARE_AFTER_SECONDS - 1)
    assert cluster.task_queue.surplus.value == 0
    cluster._adapt(sentinel.SPARE_AFTER_SECONDS + 1)
    assert cluster.task_queue.surplus.value == 1
    cluster.pool, cluster.task_queue.surplus.value = [object()], 0
    cluster._adapt(9 * sentinel.SPARE_AFTER_SECONDS)
    assert cluster.task_queue.surplus.value == 0


def test_a_cluster_whose_last_worker_has_ended_gets_a_new_one_without_an_alarm() -> None:
    cluster = Clustered([0])
    cluster.reincarnate = lambda _process: pytest.fail("it logs a critical event")
    ended: Any = SimpleNamespace(is_alive=lambda: False, exitcode=0, timer=multiprocessing.Value("f", -1))
    cluster.pool = [ended, worker := object()]
    cluster._look_at(ended, 2.0)
    assert cluster.pool == [worker]
    cluster.pool = [ended]
    cluster._look_at(ended, 2.0)
    assert (len(cluster.pool), ended in cluster.pool) == (1, False)


def test_a_pusher_that_rests_is_woken_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster: Any = Clustered([0])
    cluster.start_event, cluster.stop_event, cluster.event_out = (multiprocessing.Event() for _ in range(3))
    cluster._is_stopping, seen = True, []
    monkeypatch.setattr(chime, "strike", lambda: seen.append(cluster.event_out.is_set()))
    cluster.look, cluster.stop = lambda: None, lambda: seen.append("stop")
    cluster.guard()
    assert seen == [True, "stop"]


def test_the_time_of_a_task_runs_only_while_it_runs_and_a_worker_without_a_task_is_never_ended() -> None:
    cluster = Clustered([0])
    cluster.reincarnate = lambda process: cluster.pool.remove(process)
    worker: Any = SimpleNamespace(pid=7, is_alive=lambda: True, exitcode=None, timer=multiprocessing.Value("f", 63.0))
    cluster.pool = [worker]
    cluster._look_at(worker, 2.0)
    assert worker.timer.value == 63.0, "it may have begun just now"
    cluster._busy = {7}
    cluster._look_at(worker, 2.0)
    assert worker.timer.value == 61.0
    worker.timer.value = -1
    cluster._look_at(worker, 2.0)
    assert (worker.timer.value, cluster.pool) == (-1.0, [worker])
    worker.timer.value = 1.5
    cluster._look_at(worker, 2.0)
    cluster._look_at(worker, 2.0)
    assert cluster.pool == [], "its task took too long"


def test_one_worker_for_each_surplus_leaves_the_queue_and_a_task_wakes_the_sentinel() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    queue = TaskQueue(maxsize=4, bell=writing)
    queue.put("a task")
    assert os.read(reading, 9) == b"!"
    queue.surplus.value = 1
    assert (queue.get(), queue.get(), queue.surplus.value) == ("STOP", "a task", 0)
    queue.close()
    queue.join_thread()
    for end in (reading, writing):
        os.close(end)


@pytest.mark.django_db(transaction=True)
def test_an_idle_look_at_the_queue_is_one_query_on_the_open_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.chime.Listener, "wait", lambda _self, _seconds: False)
    idle: Any = get_broker()
    idle.dequeue()
    opened = connection.connection
    with CaptureQueriesContext(connection) as during:
        assert idle.dequeue() == []
    assert [query["sql"].split()[0] for query in during.captured_queries] == ["SELECT"]
    assert connection.connection is opened


@pytest.mark.django_db(transaction=True)
def test_a_queued_task_wakes_the_clusters_of_this_host_when_it_is_committed() -> None:
    ears = broker.chime.Listener()
    with transaction.atomic():
        async_task(NOTE)
        assert not ears.wait(0)
    assert ears.wait(5)
    ears.close()


# --- With real processes -----------------------------------------------------------------------------------


def workers_of(running: Running) -> list[int]:
    worker, _monitor, _pusher, *more = forked(running)
    return [worker, *more]


@pytest.mark.slow
@pytest.mark.real_clock
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_a_task_that_takes_long_delays_no_other_one(start: Start, notes: Notes) -> None:
    running = start("lockbox", "--no-web", "--no-beat", WORKERS="2")
    in_service()
    async_task(HOLD, notes.path, 2.5)
    wait_for(lambda: "holding out" in notes(), within=10)
    async_task(NOTE, notes.path, "beside")
    wait_for(lambda: "beside" in notes(), within=10)
    assert notes() == ["holding out", "beside"], "the second worker did it while the first one was busy"
    assert len(workers_of(running)) == 2
    running.stop()
    assert (running.process.returncode, running.orphans()) == (0, [])


@pytest.mark.slow
@pytest.mark.real_clock
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_at_rest_a_clusters_processes_are_rarely_woken(start: Start) -> None:
    running = start("lockbox", "--no-web", "--no-beat", HEARTBEAT_SECONDS="10")
    in_service()
    (cluster,) = [pid for pid in running.family() if runs(pid, "cluster") and os.getsid(pid) == pid]
    _worker, monitor, pusher = forked(running)[:3]
    before = {pid: wakes(pid) for pid in (cluster, monitor, pusher)}
    time.sleep(4)
    woken = {pid: wakes(pid) - count for pid, count in before.items()}
    assert woken[cluster] <= 12, "django-q2 looks twice a second, and saves its state each time"
    assert woken[monitor] <= 12
    assert woken[pusher] <= 24, "one look a second, and the heartbeat"


def wakes(pid: int) -> int:
    """Return how often the threads of a process have waited and were woken."""
    threads = Path(f"/proc/{pid}/task").glob("*/status")
    lines = [line for thread in threads for line in thread.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
