"""Queues periodic work when it is due. It checks this every five seconds, with few queries and without a write.

The beat makes no decisions, so it can be stopped at any time, and several beats can run at the same time. django-q2
locks its rows while it queues a task (on SQLite, the transaction begins with the write lock). Some tasks are also
queued between the full minutes; for this, a beat first claims a turn in the database, so that only one beat queues the
task.
"""

import datetime as dt
import threading

import structlog
from django.conf import settings
from django.db import connections

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.platform import bell
from requests_app.platform.database import bounds
from requests_app.work import heartbeats, pending, schedules
from requests_app.work.webhooks import delivery as webhooks
from requests_app.work.webhooks.courier import Courier

logger = structlog.get_logger(__name__)

#: The longest pause between two ticks, and the shortest. Of many failing webhooks, one is due every few milliseconds.
TICK_SECONDS, SHORTEST_SECONDS = 5.0, 0.5
#: If a statement takes longer, the beat opens new connections. After a failover, these lead to the new server.
WAIT_SECONDS = 5.0
#: The pause after a failure. It is far below the age at which the watchdog treats a heartbeat as too old.
RETRY_SECONDS = 3.0
#: If more tasks than this wait, no cluster works. Further tasks for the same work would then only fill the queue.
MOST_WAITING = 100
#: The turn to look for tasks that have something to do between two minutes. No signal says that a deadline has passed,
#: a reminder is due, or a failed mail can be sent again. The rules do not depend on the delay, but people should learn
#: of these events soon.
LOOK = Heartbeat.PULSE + "look"
FORGET_AFTER = dt.timedelta(days=7)


class Beat:
    """A loop that calls `tick` again and again. Between two ticks, it waits until the next one can have work.

    While it runs, the courier of the signal streams runs in another thread.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.courier = Courier()
        self._pause = 0.0

    def run(self) -> None:
        """Tick until `stop` is called. A database outage does not end the loop."""
        self.courier.start()
        with bounds.within(bounds.worker(wait_seconds=WAIT_SECONDS)):
            while not self.stopping.is_set():
                self.tick_or_back_off()
                self.stopping.wait(self._pause)
        self.courier.stop()

    def stop(self, *_: object) -> None:
        self.stopping.set()

    def tick_or_back_off(self) -> None:
        """Call `tick`. If it fails, close all database connections. Choose when the next tick is."""
        if self.courier.is_stuck:
            # Without a heartbeat, the watchdog starts the beat again, with a new courier.
            self._pause = RETRY_SECONDS
            logger.error("courier_stuck")
            return
        try:
            self._pause = tick()
        except Exception as failure:
            self._pause = RETRY_SECONDS
            logger.warning("beat_failed", error=f"{type(failure).__name__}: {failure}", pause=self._pause)
            connections.close_all()


def tick() -> float:
    """Correct the schedules, queue the tasks that are due, and write a heartbeat.

    Return for how many seconds nothing else will be due.
    """
    at = clock.now()
    schedule = schedules.Rows()
    if mended := schedules.sync(at, schedule):
        schedule = schedules.Rows()
    for line in mended:
        logger.warning("schedule_mended", change=line)
    turns = heartbeats.Turns(at)
    if schedule.has_due(at) and bell.waiting() < MOST_WAITING:
        # A task that has never succeeded is not idle: its first run is the first sign of it.
        idle = {task for task in pending.idle(at) if turns.knows(heartbeats.of_task(task))}
        schedules.enqueue_due(at, idle)
        # The age of this sign says since when a task may have left work undone (`/readyz`, metrics).
        heartbeats.touch(*map(heartbeats.of_task, idle), at=at)
    if turns.claim(LOOK, every=dt.timedelta(seconds=settings.SWEEP_SECONDS)):
        for task in pending.tasks(at):
            bell.ring(task)
    # Checked at every tick: the second attempt is due after five seconds, which can be earlier than the next look.
    repeated = webhooks.next_attempt(at + dt.timedelta(seconds=TICK_SECONDS))
    if repeated is not None and repeated <= at and not webhooks.is_draining():
        bell.ring(bell.DELIVER_WEBHOOKS)
    # Not at every tick, and both at once, because each commit waits for the disk.
    every = dt.timedelta(seconds=settings.HEARTBEAT_SECONDS * 3 / 4)
    if late := [name for name in (Heartbeat.BEAT, heartbeats.of_beat()) if turns.is_free(name, every=every)]:
        heartbeats.touch(*late, at=at)
    if turns.claim(Heartbeat.PULSE + "tidy", every=dt.timedelta(days=1)):
        Heartbeat.objects.of_places().filter(at__lt=at - FORGET_AFTER).delete()
    return _pause_before(repeated, at)


def _pause_before(repeated: dt.datetime | None, at: dt.datetime) -> float:
    """Return how long the beat rests. An attempt that is due already waits for a drain that runs, or for a worker."""
    longest = min(TICK_SECONDS, settings.SWEEP_SECONDS, settings.HEARTBEAT_SECONDS / 2)
    if repeated is None or repeated <= at:
        return longest
    return min(longest, max(SHORTEST_SECONDS, (repeated - at).total_seconds()))
