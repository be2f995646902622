"""Tells which of the periodic tasks have something to do now, by queries that read at most one row each.

The beat asks this between the full minutes, so that idle tasks do not wake the workers. At each full minute, every task
is queued in any case. So a task may be left out here only if a minute is soon enough for what it then does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import CharField, DateTimeField

from audit_app import cosigning, signing_round
from audit_app.models import LogCheck
from requests_app.domain.states import State
from requests_app.models import AccessDraft, AccessRequest, Grant, OutboxMessage, Proposal, Service
from requests_app.models.outbox import WEBHOOK
from requests_app.platform import bell
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.queries import imports
from requests_app.work import outbox
from requests_app.work.webhooks import dispatch

#: The time within which the schedule queues every task.
A_MINUTE = timedelta(minutes=1)


def tasks(at: datetime) -> Iterator[str]:
    """Yield the tasks that have something to do."""
    return (task for task, has_work in PENDING.items() if has_work(at))


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
    "requests_app.tasks.cosign": cosigning.is_waited_for,
    bell.CHECK_LOGS: lambda _at: bool(_CHECKED()),
    bell.DELIVER_WEBHOOKS: _webhooks,
    bell.IMPORT: lambda _at: bool(_IMPORTED()),
}
