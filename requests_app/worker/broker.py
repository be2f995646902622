"""django-q2's ORM broker, which also gives every cluster a heartbeat task of its own."""

from typing import Any

from django.conf import settings
from django_q.brokers.orm import ORM
from django_q.tasks import async_task

from requests_app import clock

HEARTBEAT = "requests_app.tasks.heartbeat"


class _Tray:
    """Stands in for a broker where a packed task is wanted and not a queued one."""

    list_key = "heartbeat"
    package = ""

    def enqueue(self, package: str) -> int:
        self.package = package
        return 0


class HeartbeatBroker(ORM):
    """Hands out queued tasks, and a heartbeat each `HEARTBEAT_SECONDS`.

    The heartbeat never lies in the shared queue, where a healthy cluster would take it in place of a stuck
    one. It goes the way of every task: from this cluster's pusher, which has just read the database, through
    its inner queue to one of its workers. Where that way is blocked, no sign of life is written.
    """

    _next_heartbeat = 0.0

    def dequeue(self) -> list[tuple[int | None, str]]:
        tasks: list[tuple[int | None, str]] = list(super().dequeue() or ())
        if clock.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = clock.monotonic() + settings.HEARTBEAT_SECONDS
            # Without a row there is nothing to acknowledge.
            tasks.append((None, self._heartbeat()))
        return tasks

    def _heartbeat(self) -> str:
        tray: Any = _Tray()
        async_task(HEARTBEAT, q_options={"broker": tray, "sync": False})
        return str(tray.package)
