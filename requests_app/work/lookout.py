"""Looks for everything that calls, pages and downloads of this process wait for, in one thread.

They hold no thread and no connection to the database while they wait. This thread asks a fixed number of questions for
all of them. It asks as soon as something is committed on this host (`requests_app.platform.chime`). It also asks at
regular intervals, because a planned end commits nothing, and commits of other hosts are not heard. It wakes only those
for which something has changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import close_old_connections, connection

from requests_app.domain import clock
from requests_app.operations import streams
from requests_app.platform.chime import Listener
from requests_app.platform.waiting import WANTED
from requests_app.work import polls, readers

#: Without a commit on this host, it looks again after this many seconds.
LOOK_SECONDS = 0.25
#: After each look, the thread rests for at least this many seconds, and for a multiple of the time that it has worked.
#: So many commits can't occupy the database with looks.
REST_SECONDS, REST_FACTOR = 0.01, 2
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Watch:
    """One kind of thing that somebody waits for. `look` returns False if nobody does."""

    name: str
    look: Callable[[], bool]
    #: Called if the look has failed.
    fail: Callable[[], object] = lambda: None

    def try_to_look(self) -> bool:
        try:
            return self.look()
        except Exception:
            # Every exception is caught: without this thread, nobody would be woken or cut.
            log.exception("lookout_failed", watch=self.name)
            self.fail()
            return True


WATCHES = [
    # First, because a stream of content must end with its window.
    Watch("streams", streams.cut_ended),
    Watch("readers", readers.HUB.look, readers.HUB.fail),
    Watch("polls", polls.HUB.look),
]


def keep_watch() -> None:
    """Start the thread. The web server calls this once in each process."""
    threading.Thread(target=_watch, name="lookout", daemon=True).start()


def look() -> bool:
    """Look for everything once. Return False if nobody waits."""
    # All of them, and not only until one says that somebody waits.
    found = [each.try_to_look() for each in WATCHES]
    return any(found)


def look_and_rest(listener: Listener) -> None:
    """Look as soon as somebody waits. Then rest until something is committed on this host, but not for long."""
    if not WANTED.is_set():
        connection.close()
        WANTED.wait()
    close_old_connections()
    # Before the look, so that somebody who begins to wait meanwhile is not missed.
    WANTED.clear()
    began = clock.monotonic()
    if look():
        WANTED.set()
    rest = max(REST_SECONDS, REST_FACTOR * (clock.monotonic() - began))
    time.sleep(rest)
    listener.wait(LOOK_SECONDS - rest)


def _watch() -> None:
    listener = Listener()
    while True:
        look_and_rest(listener)
