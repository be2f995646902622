"""Looks for everything that calls, pages and downloads of this process wait for, in three threads.

They hold no thread and no connection to the database while they wait. These threads ask a fixed number of questions for
all of them: one about windows whose content is read, one about the ends of calls and pages, and one about what is new.
They ask as soon as something is committed on this host (`requests_app.platform.chime`). They also ask at regular
intervals, because a planned end commits nothing, and commits of other hosts are not heard. They wake only those for
which something has changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import structlog
from django.db import close_old_connections, connection

from requests_app.domain import clock
from requests_app.operations import streams
from requests_app.platform import waiting
from requests_app.platform.chime import Listener, rest_after
from requests_app.platform.database import bounds
from requests_app.platform.outages import Outage
from requests_app.work import polls, readers

#: Without a commit on this host, it looks again after this many seconds. With the time of the questions, this is less
#: than `streams.RECHECK_SECONDS`. So the next piece of a download needs no question of its own.
LOOK_SECONDS = 0.2
#: After a round that a commit has caused, the thread rests for this many times as long as it has worked. So many
#: commits can't occupy the database with looks.
REST_FACTOR = 2
#: A statement that looks for the end of a call or a page is given up after so many seconds, because the others wait.
END_SECONDS = 2.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Watch:
    """One kind of thing that somebody waits for. `look` returns False if nobody does."""

    name: str
    look: Callable[[], bool]
    #: Called if the look has failed.
    fail: Callable[[], object] = lambda: None
    _outage: Outage = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_outage", Outage("lookout_failed", watch=self.name))

    def try_to_look(self) -> bool:
        try:
            is_waited_for = self.look()
        except Exception:
            # Every exception is caught: without this thread, nobody would be woken or cut.
            if self._outage.failed():
                log.exception("lookout_failed", watch=self.name)
            self.fail()
            return True
        if is_waited_for:
            # Otherwise nothing was read.
            self._outage.worked()
        return is_waited_for


class Lookout:
    """A thread that looks again and again for things of these kinds, while `wanted` says that somebody waits.

    It has a connection to the database of its own. `wait_seconds` is the longest time for one statement; None is the
    limit of all statements of a web server.
    """

    def __init__(self, name: str, *watches: Watch, wanted: threading.Event, wait_seconds: float | None = None) -> None:
        self.name, self.watches, self._wanted, self._wait_seconds = name, watches, wanted, wait_seconds
        #: Whether a commit on this host has caused the next round.
        self._was_called = False

    def start(self) -> None:
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def look(self) -> bool:
        """Look for everything once. Return False if nobody waits."""
        # All of them, and not only until one says that somebody waits.
        found = [each.try_to_look() for each in self.watches]
        return any(found)

    def look_and_rest(self, listener: Listener) -> None:
        """Look as soon as somebody waits. Then rest until something is committed on this host, but not for long."""
        if not self._wanted.is_set():
            connection.close()
            self._wanted.wait()
        close_old_connections()
        # Before the look, so that somebody who begins to wait meanwhile is not missed.
        self._wanted.clear()
        began = clock.monotonic()
        if self.look():
            self._wanted.set()
        # A round that nobody has caused needs no rest, so the first commit after it is seen at once.
        rest = rest_after(clock.monotonic() - began, factor=REST_FACTOR, most=LOOK_SECONDS) if self._was_called else 0.0
        time.sleep(rest)
        self._was_called = listener.wait(LOOK_SECONDS - rest)

    def _run(self) -> None:
        listener = Listener()
        limits: AbstractContextManager[None] = nullcontext()
        if self._wait_seconds is not None:
            limits = bounds.within(bounds.probe(seconds=self._wait_seconds))
        with limits:
            while True:
                self.look_and_rest(listener)


#: What ends something does not wait for the rest: content is cut although a statement for something else hangs.
LOOKOUTS = (
    Lookout("lookout-content", Watch("streams", streams.cut_ended), wanted=waiting.CONTENT_WANTED),
    Lookout(
        "lookout-ends",
        Watch("windows", readers.HUB.look_at_windows),
        Watch("tokens", readers.HUB.look_at_tokens, readers.HUB.fail),
        Watch("people", readers.HUB.look_at_people, readers.HUB.fail),
        wanted=waiting.ENDS_WANTED,
        wait_seconds=END_SECONDS,
    ),
    Lookout(
        "lookout-news",
        Watch("logs", readers.HUB.look),
        Watch("polls", polls.HUB.look),
        wanted=waiting.NEWS_WANTED,
    ),
)


def keep_watch() -> None:
    """Start the threads. The web server calls this once in each process."""
    for each in LOOKOUTS:
        each.start()
