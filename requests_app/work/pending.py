"""Tells which of the periodic tasks have something to do now, by queries that read at most one row each.

The beat asks this, so that idle tasks do not wake the workers: several times in a minute for PENDING, and at each full
minute also for MORE. Every task is queued once in ten minutes in any case (`schedules.enqueue_due`). So PENDING may
leave out what can wait for a minute, and MORE what can wait for ten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import CharField, DateTimeField

from audit_app import cosigning, signing_round
from audit_app.models import LogCheck
from requests_app.domain import limits
from requests_app.domain.states import State
from requests_app.models import (
    AccessDraft,
    AccessRequest,
    Grant,
    OutboxMessage,
    Proposal,
    Resource,
    Service,
    SignalStream,
    TaskAttempt,
    TokenKey,
)
from requests_app.models.outbox import WEBHOOK
from requests_app.operations import sweeps
from requests_app.platform import bell
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.queries import backups, imports
from requests_app.work import outbox
from requests_app.work.webhooks import dispatch

#: Between two full minutes, only what has begun within this time is looked for.
A_MINUTE = timedelta(minutes=1)


def tasks(at: datetime) -> Iterator[str]:
    """Yield the tasks that have something to do."""
    return (task for task, has_work in PENDING.items() if has_work(at))


def idle(at: datetime) -> set[str]:
    """Return the tasks that have nothing to do at this full minute."""
    # The alarm about a parked task ends when the same task succeeds, so it must run.
    busy = set(TaskAttempt.objects.parked().values_list("name", flat=True))
    return {task for task in {*PENDING, *MORE} - busy if not any(has_work(at) for has_work in _of(task))}


def _of(task: str) -> Iterator[Callable[[datetime], bool]]:
    return (each[task] for each in (PENDING, MORE) if task in each)


def _one(make: Callable[..., Any], **fields: Any) -> CompiledQuery:
    """Return a query that reads the key of at most one row of the queryset that `make` returns."""
    return CompiledQuery(lambda **values: make(**values).order_by().values_list("pk", flat=True)[:1], **fields)


_AT = {"at": DateTimeField()}
_BETWEEN = {"after": DateTimeField(), "until": DateTimeField()}
#: What a sweep ends, applies or expires.
_SWEPT = (
    _one(lambda at: Grant.objects.elapsed(at).filter(access_request__state=State.OPEN), **_AT),
    _one(lambda at: AccessRequest.objects.overdue(at), **_AT),
    _one(lambda at: Proposal.objects.of_staff().filter(ended_at=None).due(at), **_AT),
    _one(lambda at: Proposal.objects.of_staff().filter(ended_at=None).unanswered(at), **_AT),
    _one(lambda at: AccessDraft.objects.overdue(at), **_AT),
)
_DUE_WEBHOOK = _one(lambda at: OutboxMessage.objects.due(at).filter(lane=WEBHOOK, webhook__is_on=True), **_AT)
_CLOSING = _one(
    lambda after, until, at: Grant.objects.live(at).filter(closes_at__gt=after, closes_at__lte=until), **_AT, **_BETWEEN
)
_ASKED = _one(
    lambda after, until, at: AccessRequest.objects.waiting(at).filter(
        state=State.PENDING_CUSTOMER, state_changed_at__gt=after, state_changed_at__lte=until
    ),
    **_AT,
    **_BETWEEN,
)
_ENFORCED_ELSEWHERE = _one(
    lambda at, connector: Grant.objects.real().live(at).filter(access_request__service__connector=connector),
    **_AT,
    connector=CharField(),
)
_COSIGNED = _one(cosigning.due, **_AT)
_CHECKED = _one(lambda: LogCheck.objects.filter(ended_at=None))
_IMPORTED = _one(imports.unfinished)


def _sweep(at: datetime) -> bool:
    return any(query(at=at) for query in _SWEPT)


def _messages(at: datetime) -> bool:
    return outbox.is_due(at) or dispatch.has_news()


def _webhooks(at: datetime) -> bool:
    return bool(_DUE_WEBHOOK(at=at)) or dispatch.has_news()


def _closing_soon(at: datetime) -> bool:
    """Return whether a window has just come so near to its end."""
    latest = at + timedelta(seconds=settings.CLOSING_SOON_SECONDS)
    return bool(_CLOSING(at=at, after=latest - A_MINUTE, until=latest))


def _remind(at: datetime) -> bool:
    """Return whether the time of a reminder has just come."""
    steps = [at - timedelta(seconds=seconds) for seconds in settings.REMINDER_SECONDS]
    return any(_ASKED(at=at, after=since - A_MINUTE, until=since) for since in steps)


def _silent_guards(at: datetime) -> bool:
    return bool(_ENFORCED_ELSEWHERE(at=at, connector=Service.EXTERNAL))


#: Whether each task has something to do. A task of the schedule that is not here is queued at its time alone.
PENDING: dict[str, Callable[[datetime], bool]] = {
    bell.SWEEP: _sweep,
    bell.DRAIN_OUTBOX: _messages,
    "requests_app.tasks.closing_soon": _closing_soon,
    "requests_app.tasks.silent_guards": _silent_guards,
    "requests_app.tasks.remind": _remind,
    bell.CHECKPOINT: signing_round.is_waited_for,
    "requests_app.tasks.cosign": lambda at: bool(_COSIGNED(at=at)),
    bell.CHECK_LOGS: lambda _at: bool(_CHECKED()),
    bell.DELIVER_WEBHOOKS: _webhooks,
    bell.IMPORT: lambda _at: bool(_IMPORTED()),
}


def _silent_guards_after_the_end(at: datetime) -> bool:
    windows = Grant.objects.real().filter(closes_at__gt=at - limits.GUARD_GONE_AFTER)
    return windows.filter(access_request__service__connector=Service.EXTERNAL).exists()


def _more_to_remind(at: datetime) -> bool:
    """Return whether a reminder is due, also one whose time came while no beat ran, or staff must be told something."""
    if any(rows.exists() for _mark, rows in sweeps.reminders(at)):
        return True
    return Proposal.objects.unconfirmed(at).exists() or backups.trouble(at) is not None


#: What a task does at a full minute beyond what PENDING looks for. A task may be queued here without need.
MORE: dict[str, Callable[[datetime], bool]] = {
    # The keys that sign tokens, which are rolled in a sweep.
    bell.SWEEP: lambda _at: TokenKey.objects.exists(),
    "requests_app.tasks.closing_soon": lambda at: sweeps.windows_closing_soon(at).exists(),
    "requests_app.tasks.silent_guards": _silent_guards_after_the_end,
    "requests_app.tasks.remind": _more_to_remind,
    # It also dates the logs, reports that this host can sign, and notices another database.
    bell.CHECKPOINT: lambda _at: True,
    bell.CHECK_RESOURCES: lambda at: Resource.objects.due_for_check(at).exists(),
    # The alarms about signal streams.
    bell.DELIVER_WEBHOOKS: lambda _at: SignalStream.objects.present().exists(),
}
