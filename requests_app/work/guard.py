"""Counts each attempt of a task before the attempt begins. A task that always kills its worker is then stopped.

django-q2 counts an attempt when its result arrives. A task that kills its process has no result, so django-q2 would
deliver the task forever, in spite of `max_attempts`.
"""

import contextlib
import datetime as dt
import functools
import hashlib
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.dispatch import receiver
from django_q.signals import post_execute_in_worker, pre_execute

from requests_app.domain import clock
from requests_app.models import TaskAttempt
from requests_app.platform import telemetry
from requests_app.platform.database import bounds
from requests_app.work import heartbeats

P = ParamSpec("P")
R = TypeVar("R")

logger = structlog.get_logger(__name__)

#: If a task has left the queue without an end, its TaskAttempt row is deleted after this time.
FORGET_AFTER = dt.timedelta(days=1)

# The id of the task that this process runs now. A worker process runs one task at a time, in its main thread.
_delivered: dict[str, str] = {}


@receiver(pre_execute, dispatch_uid="guard.delivered")
def _remember(task: dict[str, Any], **_: object) -> None:
    _delivered["id"] = task["id"]


@receiver(post_execute_in_worker, dispatch_uid="guard.delivered")
def _forget(**_: object) -> None:
    _delivered.clear()


def guarded(task: Callable[P, R]) -> Callable[P, R | None]:
    """Wrap a task so that its attempts are counted, and so that it is parked after `TASK_ATTEMPTS` attempts.

    The count is committed before the task runs, and deleted when the task succeeds. An exception is stored in the
    task's row of TaskAttempt and raised again. A parked task does not run, and the wrapper returns None, so that the
    queue releases it. Its row remains as an alarm.
    """

    @functools.wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> R | None:
        with telemetry.watched(telemetry.TASK, task.__name__), _patience():
            return attempt(*args, **kwargs)

    def attempt(*args: P.args, **kwargs: P.kwargs) -> R | None:
        name = _name(task, args, kwargs)
        key = _key(name)
        if not _begin(key, name):
            return None
        try:
            result = task(*args, **kwargs)
        except BaseException as error:  # django-q2 raises SystemExit for a time-out
            _note(key, error)
            raise
        _succeeded(key, name, task.__name__)
        return result

    run.is_guarded = True  # type: ignore[attr-defined]  # a mark that tests look for
    return run


def uncounted(task: Callable[P, R]) -> Callable[P, R]:
    """Wrap a task as `guarded` does, but count no attempts: it is never delivered a second time.

    Its success is written as that of every task.
    """

    @functools.wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with telemetry.watched(telemetry.TASK, task.__name__), _patience():
            result = task(*args, **kwargs)
            heartbeats.touch(task.__name__, at=clock.now())
        return result

    run.is_guarded = True  # type: ignore[attr-defined]  # a mark that tests look for
    return run


def _patience() -> contextlib.AbstractContextManager[None]:
    """Return a context in which a worker's task waits for the database only for a limited time.

    Commands have no limit.
    """
    if "id" not in _delivered:
        return contextlib.nullcontext()
    return bounds.within(bounds.worker(wait_seconds=settings.WORKER_WAIT_SECONDS))


def _name(task: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    given = [repr(value) for value in args] + [f"{key}={value!r}" for key, value in sorted(kwargs.items())]
    name = f"{task.__module__}.{task.__qualname__}"
    return (f"{name}({', '.join(given)})" if given else name)[:200]


def _key(name: str) -> str:
    """Return the key under which the attempts are counted: the task's id, which is the same at each delivery.

    Outside a worker there is no id, so the key is a hash of the name. In a worker the name is not enough: two workers
    can run the same sweep at the same time, and this is not a second attempt.
    """
    if "id" in _delivered:
        return f"task:{_delivered['id']}"
    return f"call:{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _begin(key: str, name: str) -> bool:
    """Count and commit the attempt that begins now. Return False if the task is parked and must not run."""
    at = clock.now()
    with transaction.atomic(durable=True):
        attempt, _ = TaskAttempt.objects.select_for_update().get_or_create(
            key=key, defaults={"name": name, "first_at": at, "last_at": at}
        )
        if attempt.attempts >= settings.TASK_ATTEMPTS:
            attempt.parked_at = attempt.parked_at or at
            attempt.save(update_fields=["parked_at"])
        else:
            attempt.attempts += 1
            attempt.last_at = at
            attempt.save(update_fields=["attempts", "last_at"])
    if attempt.parked_at is None:
        return True
    logger.error("task_parked", task=name, key=key, attempts=attempt.attempts, last_error=attempt.last_error)
    return False


def _note(key: str, error: BaseException) -> None:
    """Store the error in the row of the attempt.

    A failure to store it is only logged, so that the caller can raise `error`.
    """
    try:
        TaskAttempt.objects.filter(key=key).update(last_error=f"{type(error).__name__}: {error}"[:2000])
    except Exception:
        logger.warning("task_error_not_noted", key=key, exc_info=True)


def _succeeded(key: str, name: str, task: str) -> None:
    """Delete the row of this attempt, and the alarms about the same work, because the work is now done.

    Old rows of tasks that disappeared are deleted too.
    """
    at = clock.now()
    done_after_all = Q(name=name, parked_at__isnull=False)
    vanished = Q(last_at__lt=at - FORGET_AFTER, parked_at=None)
    with transaction.atomic(durable=True):
        TaskAttempt.objects.filter(Q(key=key) | done_after_all | vanished).delete()
        heartbeats.touch(task, at=at)
