"""Finds a stuck child: it does not work any more although its processes still exist.

For example, an idle worker that is killed still holds the lock of its cluster's inner queue. The cluster starts a new
worker and looks healthy, but never runs another task.
"""

import threading

import structlog
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.platform.database import bounds
from requests_app.work import heartbeats

logger = structlog.get_logger(__name__)

#: If the database takes longer to answer, the next reading uses a new connection.
READ_SECONDS = 5.0
#: The longest pause between two readings.
PAUSE_SECONDS = 5.0
#: If the time between two readings is longer, the database was away for a part of it, so this time does not count.
LONGEST_GAP_SECONDS = 12.0


class Watchdog:
    """Reads the heartbeats in a thread of its own, so that the supervisor never waits for the database.

    `seconds` counts only the time in which the database can be read. The age of a heartbeat is measured with it. So an
    outage of the database restarts no child. An outage does not reset the age either: a stuck cluster is found even if
    the database fails from time to time. Wrong clocks of other machines do not matter.
    """

    def __init__(self, *, stale_after: float) -> None:
        self._stale_after = stale_after
        self._last: dict[str, tuple[object, float]] = {}
        self._read_at: float | None = None
        #: For how many seconds the database could be read so far.
        self.seconds = 0.0

    def start(self) -> None:
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def is_stuck(self, name: str, *, started: float) -> bool:
        """Return whether the heartbeat `name` is too old.

        `started` is the value of `seconds` when the child was started.
        """
        if not self._can_see:
            return False
        _, changed = self._last.get(name, (None, 0.0))
        return self.seconds - max(changed, started) > self._stale_after

    def fault(self, name: str, *, started: float, patience: float) -> str:
        """Return why the child does not seem to work now, or "".

        This is stricter than `is_stuck`: no probe may report that a part works before anybody has seen it work.
        """
        if not self._can_see:
            return _("the database does not answer")
        _at, changed = self._last.get(name, (None, 0.0))
        if changed <= started:
            return _("it has done no work yet")
        silence = self.seconds - changed
        return _("it has done no work for %(seconds)d s") % {"seconds": silence} if silence > patience else ""

    def look(self) -> None:
        """Read all heartbeats once, and note which have changed."""
        try:
            beats = heartbeats.all_times()
        except Exception as failure:  # after any error nothing is known until the next reading succeeds
            if self._read_at is not None:  # once per outage
                logger.warning("watchdog_blind", error=f"{type(failure).__name__}: {failure}")
            self._read_at = None
            connection.close()
            return
        now = clock.monotonic()
        if self._read_at is not None and now - self._read_at <= LONGEST_GAP_SECONDS:
            self.seconds += now - self._read_at
        self._read_at = now
        for name, at in beats:
            if self._last.get(name, (None, 0.0))[0] != at:
                self._last[name] = (at, self.seconds)

    @property
    def _can_see(self) -> bool:
        return self._read_at is not None and clock.monotonic() - self._read_at <= LONGEST_GAP_SECONDS

    def _run(self) -> None:
        pause = threading.Event()
        with bounds.within(bounds.worker(wait_seconds=READ_SECONDS)):
            while True:
                self.look()
                pause.wait(min(PAUSE_SECONDS, settings.HEARTBEAT_SECONDS / 2))
