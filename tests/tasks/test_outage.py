"""A database that goes away ends nothing, and work goes on when it is back."""

import contextlib
import socket
import threading
import time

import pytest
from django.db import connection
from django_q.tasks import async_task

from requests_app import clock
from requests_app.models import Heartbeat
from tests.ground import database_url
from tests.tasks.conftest import Notes, Start, in_service, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.real_clock, pytest.mark.postgres]

NOTE = "tests.tasks.chores.note"


class Gate:
    """Passes connections on to a server while it is open; closed, it drops them and refuses new ones."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._ends: list[socket.socket] = []
        self._lock, self._is_open = threading.Lock(), False
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

    def _admit(self, door: socket.socket) -> None:
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            with self._lock:
                if not self._is_open:  # closed while this one came in
                    near.close()
                    far.close()
                    return
                self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_an_outage_of_the_database_ends_nothing_and_work_goes_on_after_it(start: Start, notes: Notes) -> None:
    with Gate(connection.settings_dict["HOST"] or "127.0.0.1", int(connection.settings_dict["PORT"] or 5432)) as gate:
        url = database_url(host="127.0.0.1", port=gate.port)
        running = start("lockbox", "--no-web", DATABASE_URL=url, HEARTBEAT_MAX_AGE_SECONDS="20")
        in_service()
        gate.close()
        time.sleep(24)  # longer than the watchdog's patience
        running.family()
        gate.open()
        async_task(NOTE, notes.path, "after the outage")
        # Where the machine is slow the queue delivers it twice.
        wait_for(lambda: set(notes()) == {"after the outage"}, within=40, why="work goes on")
        back = clock.now()
        wait_for(lambda: Heartbeat.objects.get(name="beat").at > back, within=40, why="the beat goes on")
        assert "does no work any more" not in running.log
        assert "starts again" not in running.log
        assert "beat_failed" in running.log
        running.stop()
