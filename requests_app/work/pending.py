"""Tells which of the periodic tasks have something to do now, by queries that read at most one row each.

One statement asks all of them, because most of the time of so small a query is outside of the database.
The beat asks this, so that idle tasks do not wake the workers: several times in a minute for PENDING, and at each full
minute also for MORE. Every task is queued once in ten minutes in any case (`schedules.enqueue_due`). So PENDING may
leave out what can wait for a minute, and MORE what can wait for ten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db.models import CharField, DateTimeField, DurationField

from audit_app import cosigning, lease, signing_round
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
from requests_app.platform.database.compiled import Asked, CompiledQuery, counts
from requests_app.queries import backups, imports
from requests_app.work import outbox
from requests_app.work.webhooks import dispatch

#: Between two full minutes, only what has begun within this time is looked for.
A_MINUTE = timedelta(minutes=1)
#: Returns the queries that find something if a task has something to do.
Asks = Callable[[datetime], list[Asked]]


def tasks(at: datetime) -> list[str]:
    """Return the tasks that have something to do, each once."""
    return _with_work(PENDING.items(), at)


def idle(at: datetime) -> set[str]:
    """Return the tasks that have nothing to do at this full minute."""
    # The alarm about a parked task ends when the same task succeeds, so it must run.
    busy = {*ALWAYS, *(name for (name,) in _PARKED()), *_with_work((*PENDING.items(), *MORE.items()), at)}
    return {*PENDING, *MORE} - busy


def _with_work(asks: Iterable[tuple[str, Asks]], at: datetime) -> list[str]:
    asked = [(task, each) for task, ask in asks for each in ask(at)]
    found = counts([each for _task, each in asked], most=1)
    return list(dict.fromkeys(task for (task, _each), number in zip(asked, found, strict=True) if number))


def _one(make: Callable[..., Any], **fields: Any) -> CompiledQuery:
    """Return a query that reads the key of at most one row of the queryset that `make` returns."""
    return CompiledQuery(lambda **values: make(**values).order_by().values_list("pk", flat=True)[:1], **fields)


_AT = {"at": DateTimeField()}
_BETWEEN = {"after": DateTimeField(), "until": DateTimeField()}
_PARKED = CompiledQuery(lambda: TaskAttempt.objects.parked().values_list("name"))
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


@cache
def _unsigned(_host: str) -> CompiledQuery:
    """Return the query of the logs that wait for a signature. Its text is another one on each host."""
    return _one(lambda since: signing_round.unsigned(alarmed_since=since), since=DateTimeField())


def _sweep(at: datetime) -> list[Asked]:
    return [(query, {"at": at}) for query in _SWEPT]


def _messages(at: datetime) -> list[Asked]:
    return [*outbox.due_now(at), *dispatch.news()]


def _webhooks(at: datetime) -> list[Asked]:
    return [(_DUE_WEBHOOK, {"at": at}), *dispatch.news()]


def _closing_soon(at: datetime) -> list[Asked]:
    """Return the query that finds a window that has just come so near to its end."""
    latest = at + timedelta(seconds=settings.CLOSING_SOON_SECONDS)
    return [(_CLOSING, {"at": at, "after": latest - A_MINUTE, "until": latest})]


def _remind(at: datetime) -> list[Asked]:
    """Return the queries that find an access request for which the time of a reminder has just come."""
    steps = [at - timedelta(seconds=seconds) for seconds in settings.REMINDER_SECONDS]
    return [(_ASKED, {"at": at, "after": since - A_MINUTE, "until": since}) for since in steps]


def _silent_guards(at: datetime) -> list[Asked]:
    return [(_ENFORCED_ELSEWHERE, {"at": at, "connector": Service.EXTERNAL})]


def _checkpoint(at: datetime) -> list[Asked]:
    return [(_unsigned(lease.host()), {"since": at - signing_round.RETRY_AFTER})]


#: What to ask about each task. A task that is not here is queued only at the time of its schedule.
PENDING: dict[str, Asks] = {
    bell.SWEEP: _sweep,
    bell.DRAIN_OUTBOX: _messages,
    "requests_app.tasks.closing_soon": _closing_soon,
    "requests_app.tasks.silent_guards": _silent_guards,
    "requests_app.tasks.remind": _remind,
    bell.CHECKPOINT: _checkpoint,
    "requests_app.tasks.cosign": lambda at: [(_COSIGNED, {"at": at})],
    bell.CHECK_LOGS: lambda _at: [(_CHECKED, {})],
    bell.DELIVER_WEBHOOKS: _webhooks,
    bell.IMPORT: lambda _at: [(_IMPORTED, {})],
}


_AT_AN_APPLICATION = _one(
    lambda since, connector: Grant.objects.real().filter(
        closes_at__gt=since, access_request__service__connector=connector
    ),
    since=DateTimeField(),
    connector=CharField(),
)
_NOT_ANNOUNCED = _one(sweeps.windows_closing_soon, **_AT, until=DateTimeField(), notice=DurationField())
_NOT_REMINDED = _one(sweeps.to_remind, **_AT, mark=CharField(), asked_after=DateTimeField(), asked_by=DateTimeField())
_UNCONFIRMED = _one(lambda at: Proposal.objects.unconfirmed(at), **_AT)
_WITHOUT_BACKUP = _one(backups.troubled, since=DateTimeField())
_TO_TEST = _one(lambda at: Resource.objects.due_for_check(at), **_AT)
_KEYS = _one(lambda: TokenKey.objects.all())
_STREAMS = _one(lambda: SignalStream.objects.present())


def _silent_guards_after_the_end(at: datetime) -> list[Asked]:
    return [(_AT_AN_APPLICATION, {"since": at - limits.GUARD_GONE_AFTER, "connector": Service.EXTERNAL})]


def _more_to_remind(at: datetime) -> list[Asked]:
    """Return the queries for all reminders that are due, and for what staff must learn.

    The time of some reminders came while no beat ran.
    """
    due = [(_NOT_REMINDED, reminder) for reminder in sweeps.reminders(at)]
    return [*due, (_UNCONFIRMED, {"at": at}), (_WITHOUT_BACKUP, {"since": at - backups.longest_age()})]


#: What a task does at a full minute beyond what PENDING looks for. A task may be queued here without need.
MORE: dict[str, Asks] = {
    # The keys that sign tokens, which are rolled in a sweep.
    bell.SWEEP: lambda _at: [(_KEYS, {})],
    "requests_app.tasks.closing_soon": lambda at: [(_NOT_ANNOUNCED, sweeps.closing_soon(at))],
    "requests_app.tasks.silent_guards": _silent_guards_after_the_end,
    "requests_app.tasks.remind": _more_to_remind,
    bell.CHECK_RESOURCES: lambda at: [(_TO_TEST, {"at": at})],
    # The alarms about signal streams.
    bell.DELIVER_WEBHOOKS: lambda _at: [(_STREAMS, {})],
}
#: Queued at each full minute: it also dates the logs, reports that this host can sign, and notices another database.
ALWAYS = frozenset({bell.CHECKPOINT})
