"""Delivers to signal streams, in a thread of its own that never ends, so that a receiver learns of an end at once.

The thread looks ten times a second whether a log has new entries or an event is due. So an event waits behind no task,
no mail and no webhook message. Each beat has a courier. Several can work at the same time, because a row is locked
while its events are made, and an event is claimed before it is sent. If a courier is killed, the next one continues
with what is in the database.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.db import connections
from django.db.models import Sum

from audit_app.models import ChainHead
from requests_app.domain import clock
from requests_app.models import Webhook
from requests_app.models.outbox import SIGNAL
from requests_app.platform import chime
from requests_app.platform.database import bounds
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.work.webhooks import dispatch
from requests_app.work.webhooks.delivery import MOST_AT_ONCE, Sender

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1
#: A stream that was enabled, or has room again, has events although no log has grown. They are found after this time.
SEARCH_SECONDS = 1.0
#: The first stream is found after this time.
NO_STREAM_SECONDS = 5.0
#: How long new entries are read before events are sent again.
READ_SECONDS = 1.0
#: If a statement takes longer, the courier opens a new connection.
WAIT_SECONDS = 5.0
#: How long the courier waits after a failure, for example while the database does not answer.
REST_SECONDS = 1.0
#: If the last look began longer ago than this, the courier hangs.
STUCK_SECONDS = 30.0

_ANY = CompiledQuery(lambda: Webhook.objects.receivers().filter(is_of_stream=True).values_list("pk", flat=True)[:1])


class Courier:
    def __init__(self) -> None:
        self._sender = Sender(SIGNAL)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="courier", daemon=True)
        self._began_at = clock.monotonic()
        self._entries, self._searched, self._has_streams = -1, float("-inf"), False

    def start(self) -> None:
        self._began_at = clock.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more. Return when the attempts that run have ended, which takes at most TOTAL_SECONDS."""
        self._stopping.set()
        self._thread.join()

    @property
    def is_stuck(self) -> bool:
        return clock.monotonic() - self._began_at > STUCK_SECONDS

    def run(self) -> None:
        with (
            bounds.within(bounds.worker(wait_seconds=WAIT_SECONDS)),
            ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="signal") as pool,
            ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="signal-ending") as endings,
        ):
            while not self._stopping.is_set() or self._sender.sending:
                self._began_at = clock.monotonic()
                try:
                    if not self._stopping.is_set():
                        self.look(pool, endings)
                    self._pause()
                except Exception as failure:
                    # Every exception is caught: without this thread, no receiver would learn of an end.
                    log.warning("courier_failed", error=f"{type(failure).__name__}: {failure}")
                    connections.close_all()
                    self._stopping.wait(REST_SECONDS)
        connections.close_all()

    def look(self, pool: ThreadPoolExecutor, endings: ThreadPoolExecutor) -> None:
        """Make the events about new entries, and begin to send the events that are due."""
        self._has_streams = bool(_ANY())
        if not self._has_streams:
            return
        try:
            if self._has_grown():
                if dispatch.work(clock.monotonic() + READ_SECONDS, of_streams=True):
                    # There can be more: not all entries are read at once.
                    self._searched = float("-inf")
                # For calls that wait for the events.
                chime.strike()
        finally:
            # If one log can't be read, the events that exist are sent.
            self._sender.claim(pool, endings)

    def _has_grown(self) -> bool:
        """Return whether to search for new entries. The sum is much cheaper than the search."""
        entries = ChainHead.objects.aggregate(sum=Sum("size"))["sum"] or 0
        now = clock.monotonic()
        if entries == self._entries and now - self._searched < SEARCH_SECONDS:
            return False
        self._entries, self._searched = entries, now
        return True

    def _pause(self) -> None:
        """Wait until the next look, or until an attempt ends, and store the results of ended attempts."""
        if self._sender.sending:
            self._sender.settle(LOOK_SECONDS)
        else:
            self._stopping.wait(LOOK_SECONDS if self._has_streams else NO_STREAM_SECONDS)
