"""Tells which of the periodic tasks have something to do now, by queries that read at most one row each.

The beat asks this between the full minutes, so that idle tasks do not wake the workers. At each full minute, every task
is queued in any case. So a task may be left out here only if a minute is soon enough for what it then does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from audit_app import cosigning, signing_round
from audit_app.models import LogCheck
from requests_app.domain.states import State
from requests_app.models import AccessDraft, AccessRequest, Grant, OutboxMessage, Proposal, Service
from requests_app.models.outbox import WEBHOOK
from requests_app.platform import bell
from requests_app.queries import imports
from requests_app.work import outbox
from requests_app.work.webhooks import dispatch

#: The time within which the schedule queues every task.
A_MINUTE = timedelta(minutes=1)


def tasks(at: datetime) -> Iterator[str]:
    """Yield the tasks that have something to do."""
    return (task for task, has_work in PENDING.items() if has_work(at))


def _sweep(at: datetime) -> bool:
    proposals = Proposal.objects.of_staff().filter(ended_at=None)
    return _any(
        Grant.objects.elapsed(at).filter(access_request__state=State.OPEN),
        AccessRequest.objects.overdue(at),
        proposals.due(at),
        proposals.unanswered(at),
        AccessDraft.objects.overdue(at),
    )


def _messages(at: datetime) -> bool:
    return outbox.is_due(at) or dispatch.has_news()


def _webhooks(at: datetime) -> bool:
    due = OutboxMessage.objects.due(at).filter(lane=WEBHOOK, webhook__is_on=True)
    return due.exists() or dispatch.has_news()


def _closing_soon(at: datetime) -> bool:
    """Return whether a window has just come so near to its end."""
    latest = at + timedelta(seconds=settings.CLOSING_SOON_SECONDS)
    return Grant.objects.live(at).filter(closes_at__gt=latest - A_MINUTE, closes_at__lte=latest).exists()


def _remind(at: datetime) -> bool:
    """Return whether the time of a reminder has just come."""
    steps = [at - timedelta(seconds=seconds) for seconds in settings.REMINDER_SECONDS]
    just_now = Q()
    for since in steps:
        just_now |= Q(state_changed_at__gt=since - A_MINUTE, state_changed_at__lte=since)
    waiting = AccessRequest.objects.waiting(at).filter(just_now, state=State.PENDING_CUSTOMER)
    return bool(steps) and waiting.exists()


def _silent_guards(at: datetime) -> bool:
    live = Grant.objects.real().live(at)
    return live.filter(access_request__service__connector=Service.EXTERNAL).exists()


def _any(*found: QuerySet[Any]) -> bool:
    return any(each.exists() for each in found)


#: Whether each task has something to do. A task of the schedule that is not here is queued at its time alone.
PENDING: dict[str, Callable[[datetime], bool]] = {
    bell.SWEEP: _sweep,
    bell.DRAIN_OUTBOX: _messages,
    "requests_app.tasks.closing_soon": _closing_soon,
    "requests_app.tasks.silent_guards": _silent_guards,
    "requests_app.tasks.remind": _remind,
    bell.CHECKPOINT: signing_round.is_waited_for,
    "requests_app.tasks.cosign": cosigning.is_waited_for,
    bell.CHECK_LOGS: lambda _at: LogCheck.objects.filter(ended_at=None).exists(),
    bell.DELIVER_WEBHOOKS: _webhooks,
    bell.IMPORT: lambda _at: imports.unfinished().exists(),
}
