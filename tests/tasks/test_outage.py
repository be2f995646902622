"""A database outage ends no process. When the database is back, the work continues."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest
from django.db import connection
from django_q.tasks import async_task

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.work.processes import tree
from tests.ground import database_url
from tests.tasks.conftest import Notes, Start, beats, in_service, runs, wait_for

pytestmark = [pytest.mark.deep, pytest.mark.real_clock, pytest.mark.postgres]

NOTE = "tests.tasks.chores.note"


class Gate:
    """A proxy to the database server. When it is closed, it drops all connections and refuses new ones.

    When it is frozen, it accepts data and does not answer, like a stopped server whose kernel still acknowledges data.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._ends: list[socket.socket] = []
        self._lock, self._is_open = threading.Lock(), False
        self._flow = threading.Event()
        self._flow.set()
        self.port = 0
        self.open()

    def open(self) -> None:
        self._door = socket.create_server(("127.0.0.1", self.port))
        self.port, self._is_open = self._door.getsockname()[1], True
        threading.Thread(target=self._admit, args=(self._door,), daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            ends, self._ends = [self._door, *self._ends], []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def freeze(self) -> None:
        self._flow.clear()

    def thaw(self) -> None:
        self._flow.set()

    def fail_over(self) -> None:
        """Lead new connections to the server, while the existing connections hang forever."""
        self._flow = threading.Event()
        self._flow.set()

    def _admit(self, door: socket.socket) -> None:
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            with self._lock:
                if not self._is_open:  # it was closed while this connection was opened
                    near.close()
                    far.close()
                    return
                self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink, self._flow), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket, flow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                flow.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
