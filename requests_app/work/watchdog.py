"""Finds the part that has stopped working although its processes are alive.

An idle worker that is killed dies holding the lock of its cluster's inner queue: the cluster then looks healthy, starts
a new worker, and never runs another task.
"""

import threading

import structlog
from django.db import connection

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.platform.database import bounds

logger = structlog.get_logger(__name__)

#: A database that answers later counts as away: the next reading uses a new connection.
READ_SECONDS = 5.0


class Watchdog:
    """Reads the heartbeats in a thread of its own, because the supervisor must not wait for a database.

    It has a clock that runs only while the database can be read, and measures on it how long a heartbeat has not
    changed. So an outage restarts nothing, and does not restart the count: a stuck cluster is found although the
    database is away now and then. Clocks of other machines, or ones that jump, do not matter.
    """

    def __init__(self, *, stale_after: float, every: float = 2.0) -> None:
        self._stale_after, self._every = stale_after, every
        self._last: dict[str, tuple[object, float]] = {}
        self._read_at: float | None = None
        #: For how many seconds the database could be read.
        self.seconds = 0.0

    def start(self) -> None:
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def is_stuck(self, name: str, *, started: float) -> bool:
        """Return whether the part with this heartbeat, started when `seconds` was `started`, is silent for too long."""
        read_at = self._read_at
        if read_at is None or clock.monotonic() - read_at > self._longest_gap:
            return False
        _, changed = self._last.get(name, (None, 0.0))
        return self.seconds - max(changed, started) > self._stale_after

    def look(self) -> None:
        """Read all heartbeats once."""
        try:
            beats = list(Heartbeat.objects.values_list("name", "at"))
        except Exception as failure:  # with any error nothing is known until it can be read again
            if self._read_at is not None:  # once per outage
                logger.warning("watchdog_blind", error=f"{type(failure).__name__}: {failure}")
            self._read_at = None
            connection.close()
            return
        now = clock.monotonic()
        # A longer gap was an outage that ended during this wait.
        if self._read_at is not None and now - self._read_at <= self._longest_gap:
            self.seconds += now - self._read_at
        self._read_at = now
        for name, at in beats:
            if self._last.get(name, (None, 0.0))[0] != at:
                self._last[name] = (at, self.seconds)

    @property
    def _longest_gap(self) -> float:
        return 5 * self._every

    def _run(self) -> None:
        pause = threading.Event()
        with bounds.within(bounds.worker(wait_seconds=READ_SECONDS)):
            while True:
                self.look()
                pause.wait(self._every)
