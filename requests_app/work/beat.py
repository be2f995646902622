"""Queues periodic work when it is due. It checks this every two seconds, with few queries and without a write.

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

TICK_SECONDS = 2.0
#: If a statement takes longer, the beat opens new connections. After a failover, these lead to the new server.
WAIT_SECONDS = 5.0
#: The longest pause after failures. It is far below the age at which the watchdog treats a heartbeat as too old.
LONGEST_PAUSE_SECONDS = 3.0
#: If more tasks than this wait, no cluster works. Further tasks for the same work would then only fill the queue.
MOST_WAITING = 100
#: The turn to look for tasks that have something to do between two minutes. No signal says that a deadline has passed,
#: a reminder is due, or a failed mail can be sent again. The rules do not depend on the delay, but people should learn
#: of these events soon.
LOOK = Heartbeat.PULSE + "look"
FORGET_AFTER = dt.timedelta(days=7)


class Beat:
    """A loop that calls `tick` every two seconds. After a failure it waits, and longer after each further failure.

    While it runs, the courier of the signal streams runs in another thread.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.courier = Courier()
        self._pause = TICK_SECONDS

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
        """Call `tick`. If it fails, close all database connections and wait, longer after each failure."""
        if self.courier.is_stuck:
            # Without a heartbeat, the watchdog starts the beat again, with a new courier.
            logger.error("courier_stuck")
            return
        try:
            tick()
        except Exception as failure:
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            logger.warning("beat_failed", error=f"{type(failure).__name__}: {failure}", pause=self._pause)
            connections.close_all()
        else:
            self._pause = TICK_SECONDS


def tick() -> None:
    """Correct the schedules, queue the tasks that are due, and write a heartbeat."""
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
    if webhooks.is_waited_for():
        bell.ring(bell.DELIVER_WEBHOOKS)
    # `claim` writes the heartbeat once in some seconds, not at every tick.
    for name in (Heartbeat.BEAT, heartbeats.of_beat()):
        turns.claim(name, every=dt.timedelta(seconds=settings.HEARTBEAT_SECONDS / 2))
    if turns.claim(Heartbeat.PULSE + "tidy", every=dt.timedelta(days=1)):
        Heartbeat.objects.of_places().filter(at__lt=at - FORGET_AFTER).delete()
