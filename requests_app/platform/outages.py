"""Limits what the log gets of a fault that comes again several times a second, for example while the database is down.

The first failure of each kind is logged by its caller, with its traceback. While it continues, there is one line every
half minute, and one when it is over.
"""

from __future__ import annotations

import sys
from typing import Any

import structlog

from requests_app.domain import clock

#: Seconds between two lines about a fault that continues.
EVERY_SECONDS = 30.0
#: What has not failed for so many seconds works again. Without this, something that fails every second time would be
#: logged as often.
QUIET_SECONDS = 5.0
log = structlog.get_logger(__name__)


class Outage:
    """The failures of one thing that is tried again and again by one thread. `facts` are in each line about it."""

    def __init__(self, name: str, **facts: Any) -> None:
        self._facts = {"of": name, **facts}
        self._kinds = set[type[BaseException] | None]()
        self._times = 0
        self._began = self._last = self._logged = float("-inf")

    def failed(self) -> bool:
        """Count the exception that is handled now. Return whether the caller must log it, because it is a new kind."""
        present, kind = clock.monotonic(), sys.exc_info()[0]
        if not self._times:
            self._began = self._logged = present
        self._times, self._last = self._times + 1, present
        if kind not in self._kinds:
            self._kinds.add(kind)
            return True
        if present - self._logged >= EVERY_SECONDS:
            self._logged = present
            log.warning("still_failing", **self._facts, **self._length(present))
        return False

    def worked(self) -> None:
        """Say that it has worked now."""
        present = clock.monotonic()
        if self._times and present - self._last >= QUIET_SECONDS:
            log.warning("works_again", **self._facts, **self._length(self._last))
            self._times = 0
            self._kinds.clear()

    def _length(self, until: float) -> dict[str, int]:
        return {"times": self._times, "seconds": round(until - self._began)}
