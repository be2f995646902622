"""Queues periodic work that is due, checking each second. It decides nothing and may die at any time.

Several may run: django-q2 locks its rows while it queues (on SQLite the transaction starts with the write lock), and a
turn between the minutes is claimed on a row.
"""

import datetime as dt
import threading
from typing import Any

import structlog
from django.conf import settings
from django.db import connections
from django_q.scheduler import scheduler
from django_q.signals import pre_enqueue

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.platform import bell
from requests_app.platform.database import bounds
from requests_app.work import heartbeats, schedules
from requests_app.work.webhooks import delivery as webhooks

logger = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
#: A database that takes longer for a statement counts as away, and is connected to again: it may be another one.
WAIT_SECONDS = 5.0
#: A database that is back is used within this time, far below the age at which the watchdog considers a heartbeat dead.
LONGEST_PAUSE_SECONDS = 3.0
#: If more than this waits, nobody works, and further rounds of the same work would only pile up.
MOST_WAITING = 100
#: Queued between the minutes, too: nothing signals that a deadline passes, a reminder is due, or a failed mail may be
#: tried again. It need not be fast, but people like to know soon.
OUT_OF_TURN = tuple(periodic.func for periodic in schedules.PERIODIC if not periodic.in_turn)
FORGET_AFTER = dt.timedelta(days=7)


class Beat:
    """The loop with its increasing waits after failures."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._pause = TICK_SECONDS

    def run(self) -> None:
        """Tick until `stop` is called. A database outage does not end it."""
        with bounds.within(bounds.worker(wait_seconds=WAIT_SECONDS)):
            while not self.stopping.is_set():
                self.tick_or_back_off()
                self.stopping.wait(self._pause)

    def stop(self, *_: object) -> None:
        self.stopping.set()

    def tick_or_back_off(self) -> None:
        """Tick. After a failure use new connections, and wait longer each time."""
        try:
            tick()
        except Exception as failure:
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            logger.warning("beat_failed", error=f"{type(failure).__name__}: {failure}", pause=self._pause)
            connections.close_all()
        else:
            self._pause = TICK_SECONDS


def tick() -> None:
    """Correct the schedules, queue what is due, and write a heartbeat."""
    at = clock.now()
    for line in schedules.sync(at):
        logger.warning("schedule_mended", change=line)
    if bell.waiting() < MOST_WAITING:
        _enqueue_what_is_due()
    between = dt.timedelta(seconds=settings.SWEEP_SECONDS)
    for task in OUT_OF_TURN:
        if heartbeats.claim(Heartbeat.PULSE + task, every=between, at=at):
            bell.ring(task)
    # The second attempt comes after five seconds, which is less than the time between two rounds.
    if webhooks.is_waited_for():
        bell.ring(bell.DELIVER_WEBHOOKS)
    # Claimed, so that it is written every few seconds and not at every tick.
    heartbeats.claim(Heartbeat.BEAT, every=dt.timedelta(seconds=settings.HEARTBEAT_SECONDS / 2), at=at)
    if heartbeats.claim(Heartbeat.PULSE + "tidy", every=dt.timedelta(days=1), at=at):
        Heartbeat.objects.of_places().filter(at__lt=at - FORGET_AFTER).delete()


def _enqueue_what_is_due() -> None:
    pre_enqueue.connect(_only_declared)
    try:
        scheduler()
    finally:
        pre_enqueue.disconnect(_only_declared)


def _only_declared(task: dict[str, Any], **_: object) -> None:
    """Refuse to sign any other task, in case a row appears between the check of the rows and their use."""
    if task["func"] not in schedules.FUNCTIONS or task["args"] or task["kwargs"]:
        raise PermissionError(f"{task['func']} is not periodic work")
