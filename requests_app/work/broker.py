"""Extends django-q2's ORM broker: it sends heartbeat tasks through each cluster, and records the end of tasks."""

import threading
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.db.models import CharField, DateTimeField
from django.dispatch import receiver
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signals import post_execute
from django_q.tasks import async_task

from requests_app.domain import clock
from requests_app.platform import chime
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.work import heartbeats

logger = structlog.get_logger(__name__)

HEARTBEAT = "requests_app.tasks.heartbeat"
#: If the database takes longer to answer a cluster's pusher or monitor, the broker opens a new connection.
WAIT_SECONDS = 5.0
#: How long to wait before asking again after a database failure.
AWAY_SECONDS = 1.0
#: A connection of the pusher to PostgreSQL serves for this long.
RENEW_SECONDS = 60.0
#: How long the pusher waits on SQLite if it hears commits. A task is queued by a commit. A task that failed, or whose
#: worker was killed, is due again without one, after at least as long as `retry` says.
REST_SECONDS = 5.0
_pause = threading.Event()
_WAITING = CompiledQuery(
    lambda key, at: OrmQ.objects.filter(key=key, lock__lt=at).values_list("pk", flat=True)[:1],
    key=CharField(),
    at=DateTimeField(),
)


class _Tray:
    """A broker that stores a packed task in `package` instead of queueing the task."""

    list_key = "heartbeat"
    package = ""

    def enqueue(self, package: str) -> int:
        self.package = package
        return 0


class HeartbeatBroker(ORM):
    """Returns the queued tasks and, every `HEARTBEAT_SECONDS`, one heartbeat task.

    The heartbeat task never enters the shared queue. A healthy cluster would take it from there, and a stuck cluster
    would stay unnoticed. Inside its cluster, the heartbeat task takes the same path as every other task: the pusher,
    which has just read the database, puts it into the inner queue; a worker runs it; the monitor acknowledges it. If
    one of these is blocked, no heartbeat is written.
    """

    _next_heartbeat = 0.0
    _opened = float("-inf")
    _listener: chime.Listener | None = None

    def enqueue(self, task: str) -> int:
        """Queue a task, and wake the clusters of this host when it is committed."""
        pk = int(super().enqueue(task))
        chime.strike_after_commit()
        return pk

    def dequeue(self) -> list[tuple[int | None, str]]:
        """Return the queued tasks, or an empty list while the database does not answer.

        If this raised an exception instead, django-q2 would end the pusher after ten seconds and start another one.
        """
        tasks: list[tuple[int | None, str]] = []
        try:
            if self._is_waited_for():
                tasks += super().dequeue() or ()
        except (OperationalError, InterfaceError) as failure:
            logger.warning("queue_unreadable", error=f"{type(failure).__name__}: {failure}")
            self._away()
            return []
        if clock.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = clock.monotonic() + settings.HEARTBEAT_SECONDS
            # This task has no row, so there is nothing to acknowledge.
            tasks.append((None, self._heartbeat()))
        return tasks

    def _is_waited_for(self) -> bool:
        """Return whether a task waits. If none does, wait for a commit on this host, or a little while.

        django-q2's own query would open a connection each time.
        """
        now = clock.monotonic()
        # Somebody can have put another database in its place. That of SQLite is then another file.
        if connection.vendor == "sqlite":
            close_old_connections()
        elif now - self._opened > RENEW_SECONDS:
            connection.close()
            self._opened = now
        if self._listener is None:
            # In the process that dequeues: the broker was made before the fork.
            self._listener = chime.Listener()
        if _WAITING(key=self.list_key, at=clock.here()):
            return True
        self._listener.wait(self._longest_wait(self._listener))
        return False

    def _longest_wait(self, listener: chime.Listener) -> float:
        """Return for how long to wait at most. SQLite has no other host, so each task that is queued is heard."""
        if connection.vendor != "sqlite" or not listener.hears:
            return Conf.POLL
        return max(0.0, min(REST_SECONDS, self._next_heartbeat - clock.monotonic()))

    def acknowledge(self, task_id: int) -> None:
        """Remove a finished task from the queue. If that fails, only log it: the task will then be delivered again.

        An exception would stop the cluster's monitor.
        """
        try:
            super().acknowledge(task_id)
        except (OperationalError, InterfaceError) as failure:
            logger.warning("task_not_acknowledged", error=f"{type(failure).__name__}: {failure}")
            self._away()

    def _away(self) -> None:
        connection.close()
        _pause.wait(AWAY_SECONDS)

    def _heartbeat(self) -> str:
        tray: Any = _Tray()
        async_task(HEARTBEAT, q_options={"broker": tray, "sync": False})
        return str(tray.package)


class _Throttle:
    """Is open once per interval. With it, a busy cluster does not write its heartbeat after every task."""

    next_at = 0.0

    def is_open(self) -> bool:
        if clock.monotonic() < self.next_at:
            return False
        self.next_at = clock.monotonic() + settings.HEARTBEAT_SECONDS / 2
        return True


_throttle = _Throttle()


@receiver(post_execute, dispatch_uid="broker.alive")
def _note_end(**_: object) -> None:
    """Write the cluster's heartbeat after a task, whether the task succeeded or not.

    This runs in the cluster's monitor.
    """
    if not _throttle.is_open():
        return
    try:
        heartbeats.touch(heartbeats.of_cluster(heartbeats.cluster_name()), at=clock.now())
    except Exception as failure:  # an exception here would end the monitor
        logger.warning("heartbeat_not_written", error=f"{type(failure).__name__}: {failure}")
        connection.close()
