"""Tells which part has stopped working although its processes live.

An idle worker that is killed dies holding the lock of its cluster's inner queue: the cluster then looks
healthy, starts a new worker, and never runs another task.
"""

import threading

import structlog
from django.db import connection

from requests_app import clock
from requests_app.models import Heartbeat

logger = structlog.get_logger(__name__)


class Watchdog:
    """Reads the heartbeats in a thread of its own, as a driver that waits for a database can't be interrupted.

    It measures how long ago a heartbeat was last seen to change, so clocks that differ or jump mean nothing.
    Silence counts only while the database can be read: an outage is no reason to restart anything.
    """

    def __init__(self, *, stale_after: float, every: float = 2.0) -> None:
        self._stale_after, self._every = stale_after, every
        self._last: dict[str, tuple[object, float]] = {}
        self._readable_since: float | None = None
        self._read_at = 0.0

    def start(self) -> None:
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def is_stuck(self, name: str, *, started: float) -> bool:
        """Tell whether the part with this heartbeat, whose process started at `started`, is silent for too long."""
        now, since = clock.monotonic(), self._readable_since
        if since is None or now - self._read_at > 5 * self._every:
            return False
        _, changed = self._last.get(name, (None, 0.0))
        return now - max(changed, started, since) > self._stale_after

    def look(self) -> None:
        """Read all heartbeats once."""
        try:
            beats = list(Heartbeat.objects.values_list("name", "at"))
        except Exception as failure:  # whatever the driver says, nothing is known until it can be read again
            if self._readable_since is not None:  # once per outage
                logger.warning("watchdog_blind", error=f"{type(failure).__name__}: {failure}")
            self._readable_since = None
            connection.close()
            return
        self._read_at = clock.monotonic()
        if self._readable_since is None:
            self._readable_since = self._read_at
        for name, at in beats:
            if self._last.get(name, (None, 0.0))[0] != at:
                self._last[name] = (at, self._read_at)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self.look()
            pause.wait(self._every)
