"""Queues tasks for the workers as soon as the current transaction has committed.

If queueing a task fails, the schedule runs the task anyway, some seconds later.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
from django.db import DatabaseError, transaction
from django.db.models import CharField, DateTimeField
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from requests_app.domain import clock
from requests_app.platform.database.compiled import CompiledQuery

log = structlog.get_logger(__name__)

DRAIN_OUTBOX = "requests_app.tasks.drain_outbox"
SWEEP = "requests_app.tasks.sweep"
CHECKPOINT = "requests_app.tasks.checkpoint"
PRUNE_LOGS = "requests_app.tasks.prune_logs"
CHECK_LOGS = "requests_app.tasks.check_logs"
INDEX_LOGS = "requests_app.tasks.index_logs"
FORGET_CALLS = "requests_app.tasks.forget_calls"
CHECK_RESOURCES = "requests_app.tasks.check_resources"
DELIVER_WEBHOOKS = "requests_app.tasks.deliver_webhooks"
IMPORT = "requests_app.tasks.run_imports"

#: How many of the newest queued tasks are searched for the same task, before another one is queued.
LOOK_AT = 20
#: How often a task can be in the queue if it is shared.
AT_ONCE = 2


def ring(*tasks: str) -> None:
    """Queue these tasks when the transaction commits, or now if no transaction is open.

    Without names, queue the task that sends the messages of the outbox. If the queue can't be reached, the failure is
    only logged, because the change is already committed and must not be answered with an error. No message is lost: the
    outbox holds the messages, and the schedule sends them too.
    """

    # A named function and not a partial, because Django logs the name if it fails.
    def ring_now() -> None:
        try:
            for task in tasks or (DRAIN_OUTBOX,):
                _enqueue(task)
        except DatabaseError as error:
            # Nothing is lost, so one line is enough: a traceback looks like a fault of the act.
            log.warning("bell.not_rung", why=str(error), then="The schedule runs the task within a minute.")

    transaction.on_commit(ring_now, robust=True)


def share(task: str) -> None:
    """Queue a task that runs here once more, because it has much to do: then two workers do it at the same time.

    Nothing is queued if the queue has the task twice already. A task that runs is still in the queue.
    """
    try:
        if sum(_task_of(payload) == task for _lock, _now, payload in _newest()) < AT_ONCE:
            async_task(task)
    except DatabaseError as error:
        log.warning("bell.not_rung", why=str(error), then="The schedule runs the task within a minute.")


def waiting() -> int:
    """Count the queued tasks that no worker has taken yet."""
    return OrmQ.objects.filter(key=Conf.CLUSTER_NAME, lock__lte=clock.now()).count()


def _enqueue(task: str) -> None:
    # A task that no worker has taken yet starts after this commit. So it reads all that the commit wrote.
    if not _is_waiting(task):
        async_task(task)


def _newest_rows(key: Any, here: Any) -> Any:
    """Return the query for the newest tasks with the time. To ask for it first would be one more statement."""
    rows = OrmQ.objects.filter(key=key).order_by("-pk").annotate(now=clock.column(here))
    return rows.values_list("lock", "now", "payload")[:LOOK_AT]


# It is planned once although it is limited: all tasks have the key, so it reads as many rows as it returns.
_NEWEST = CompiledQuery.by_key(_newest_rows, key=CharField(), here=DateTimeField())


def _newest() -> list[tuple[datetime, Any, str]]:
    return _NEWEST(key=Conf.CLUSTER_NAME, here=clock.here())


def _is_waiting(task: str) -> bool:
    return any(lock <= clock.brought(now) and _task_of(payload) == task for lock, now, payload in _newest())


@lru_cache(maxsize=LOOK_AT)
def _task_of(payload: str) -> Any:
    """Return the name of a queued task. A task stays in the queue while many acts look at it, and never changes."""
    return OrmQ(payload=payload).func()
