"""Looks each second for periodic work that is due. It decides nothing and may die at any time.

Several may run: django-q2 locks its rows while it enqueues (on SQLite the transaction starts with the write
lock), and a turn outside the minute is claimed on a row.
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
#: A database that answers a statement later counts as away, and is connected to anew: it may be another one by now.
WAIT_SECONDS = 5.0
#: A database that is back is used within this time. Far below the age at which the watchdog takes a heartbeat for dead.
LONGEST_PAUSE_SECONDS = 3.0
#: With more than this waiting nobody works, and further rounds of the same work would only pile up.
MOST_WAITING = 100
#: Enqueued between the minutes, too. Nobody rings when a deadline passes, a reminder falls due, or a failed mail may
#: be tried again; nothing hangs on being fast, but people like to hear soon.
OUT_OF_TURN = tuple(periodic.func for periodic in schedules.PERIODIC if not periodic.in_turn)
FORGET_AFTER = dt.timedelta(days=7)


class Beat:
    """The loop and its back-off."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._pause = TICK_SECONDS

    def run(self) -> None:
        """Tick until `stop` is called. No outage of the database ends it."""
        with bounds.within(bounds.worker(wait_seconds=WAIT_SECONDS)):
            while not self.stopping.is_set():
                self.tick_or_back_off()
                self.stopping.wait(self._pause)

    def stop(self, *_: object) -> None:
        self.stopping.set()

    def tick_or_back_off(self) -> None:
        """Tick; after a failure start from new connections, and wait longer each time."""
        try:
            tick()
        except Exception as failure:
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            logger.warning("beat_failed", error=f"{type(failure).__name__}: {failure}", pause=self._pause)
            connections.close_all()
        else:
            self._pause = TICK_SECONDS


def tick() -> None:
    """Put the schedules right, enqueue what is due, and leave a sign of life."""
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
    """Refuse to sign any other task, should a row slip in between the check of the rows and their use."""
    if task["func"] not in schedules.FUNCTIONS or task["args"] or task["kwargs"]:
        raise PermissionError(f"{task['func']} is not periodic work")
