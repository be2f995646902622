"""A database outage ends no process. When the database is back, the work continues."""

import os
import signal
import time

import pytest
from django.db import connection
from django_q.tasks import async_task

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.work.processes import tree
from tests.ground import database_url
from tests.tasks.conftest import Notes, Start, beats, in_service, runs, wait_for
from tests.tasks.gate import Gate

pytestmark = [pytest.mark.deep, pytest.mark.real_clock, pytest.mark.postgres]

NOTE = "tests.tasks.chores.note"


def test_an_outage_of_the_database_ends_nothing_and_work_continues_after_it(start: Start, notes: Notes) -> None:
    with Gate(connection.settings_dict["HOST"] or "127.0.0.1", int(connection.settings_dict["PORT"] or 5432)) as gate:
        url = database_url(host="127.0.0.1", port=gate.port)
        running = start("lockbox", "--no-web", DATABASE_URL=url, HEARTBEAT_MAX_AGE_SECONDS="20")
        in_service()
        gate.close()
        time.sleep(24)  # longer than the watchdog's limit
        running.family()
        gate.open()
        async_task(NOTE, notes.path, "after the outage")
        # On a slow machine, the queue may deliver the task twice.
        wait_for(lambda: set(notes()) == {"after the outage"}, within=40, why="work goes on")
        back = clock.now()
        wait_for(lambda: Heartbeat.objects.get(name="beat").at > back, within=40, why="the beat goes on")
        assert "does no work any more" not in running.log
        assert "starts again" not in running.log
        assert "beat_failed" in running.log
        running.stop()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("end", ["resumed", "failed over"])
def test_work_continues_after_a_frozen_primary(start: Start, notes: Notes, end: str) -> None:
    """No process waits without end for the frozen server, and no process is killed because it waits."""
    with Gate(connection.settings_dict["HOST"] or "127.0.0.1", int(connection.settings_dict["PORT"] or 5432)) as gate:
        url = database_url(host="127.0.0.1", port=gate.port)
        running = start(
            "lockbox", "--no-web", DATABASE_URL=url, HEARTBEAT_MAX_AGE_SECONDS="20", WORKER_WAIT_SECONDS="5"
        )
        in_service()
        gate.freeze()
        time.sleep(24)  # longer than the watchdog's limit
        if end == "resumed":
            gate.thaw()
        else:
            gate.fail_over()
        back = clock.now()
        async_task(NOTE, notes.path, "after it")
        wait_for(Heartbeat.objects.filter(name="beat", at__gt=back).exists, within=10, why="the beat goes on")
        wait_for(lambda: set(notes()) == {"after it"}, within=20, why="work goes on")
        wait_for(lambda: max(beats().values()) > back, within=20, why="the cluster shows itself alive")
        assert "does no work any more" not in running.log
        assert "starts again" not in running.log
        running.stop()
        gate.thaw()


@pytest.mark.timeout(240)
def test_a_cluster_that_is_stuck_after_an_outage_is_replaced(start: Start) -> None:
    with Gate(connection.settings_dict["HOST"] or "127.0.0.1", int(connection.settings_dict["PORT"] or 5432)) as gate:
        url = database_url(host="127.0.0.1", port=gate.port)
        running = start("lockbox", "--no-web", "--no-beat", DATABASE_URL=url, HEARTBEAT_MAX_AGE_SECONDS="12")
        in_service()
        (cluster,) = [pid for pid in running.family() if runs(pid, "cluster") and os.getsid(pid) == pid]
        for pid in set(running.family()) & set(tree(cluster)):
            os.kill(pid, signal.SIGSTOP)
        # The database fails again before the watchdog's limit is over, several times.
        for _ in range(3):
            gate.close()
            time.sleep(1)
            gate.open()
            time.sleep(5)
        wait_for(lambda: "does no work any more" in running.log, within=12)
        stopped = clock.now()
        wait_for(lambda: max(beats().values()) > stopped, within=20, why="a new one works")
        running.stop()
