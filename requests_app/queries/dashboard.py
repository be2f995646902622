"""Reads the state of the installation for staff: access requests, windows, messages, background work and logs.

Each count stops at MOST and each list is short, so that the page stays fast when there are many rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import QuerySet, Sum
from django_q.models import Failure, OrmQ

from audit_app.models import ChainHead, LogAlarm
from requests_app.domain import policy
from requests_app.domain.actors import Actor
from requests_app.domain.states import State
from requests_app.models import (
    AccessRequest,
    Grant,
    Heartbeat,
    OutboxMessage,
    Proposal,
    Resource,
    SignalStream,
    TaskAttempt,
    Tenant,
)
from requests_app.platform.database.compiled import CompiledQuery, counts, together
from requests_app.queries import guards, mail
from requests_app.queries.guards import Silent
from requests_app.queries.invitations import overtaken

MOST = 10_000
SHOWN = 5
#: A resource that began to fail within this time is counted as new. The nightly test finds most of them.
NEW_FOR = dt.timedelta(days=1)
#: The name of the heartbeat that the sweep writes when it succeeds.
SWEEP = "sweep"


@dataclass(frozen=True)
class Count:
    """A number of rows, counted only up to MOST. `is_capped` says whether there are more rows."""

    n: int
    is_capped: bool = False


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The access requests that wait at one stage.

    `late` counts those whose deadline has passed, and which no sweep has marked as expired yet.
    """

    state: State
    waiting: Count
    late: Count
    oldest: dt.datetime | None


@dataclass(frozen=True, kw_only=True)
class Sign:
    """The last heartbeat of a background process, and whether it is recent enough."""

    at: dt.datetime | None
    is_fresh: bool


@dataclass(frozen=True, kw_only=True)
class Log:
    tenant_id: UUID
    tenant_name: str
    size: int
    last_at: dt.datetime | None


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    stages: Sequence[Stage]
    open_windows: Count
    closing_next: Sequence[Grant]
    outbox_waiting: Count
    outbox_due_since: dt.datetime | None
    outbox_is_late: bool
    mail_parked: Count
    failing: mail.Failing | None
    queued: Count
    sweep: Sign
    beat: Sign
    workers_alive: int
    workers: Sign
    last_failure: Any
    tasks_parked: Count
    logs: int
    entries: int
    largest_logs: Sequence[Log]
    logs_refused: Count
    logs_unsigned: Count
    unsigned_since: dt.datetime | None
    signing_is_late: bool
    unconfirmed: Count
    unconfirmed_until: dt.datetime | None
    overtaken: Count
    unreachable: Count
    unreachable_since: dt.datetime | None
    newly_unreachable: Count
    #: The applications that do not report though a window is open there, and the web tools whose gate nobody asks.
    silent: Sequence[Silent]
    failing_streams: Count
    streams_failing_since: dt.datetime | None


def dashboard(*, actor: Actor, at: dt.datetime) -> Dashboard:
    policy.require_staff(actor)
    numbers, first = _counted(at), _firsts(at)
    heads = ChainHead.objects.aggregate(entries=Sum("size", default=0), logs=models.Count("pk"))
    return Dashboard(
        stages=[
            Stage(
                state=state,
                waiting=numbers[f"waiting {state}"],
                late=numbers[f"late {state}"],
                oldest=first[f"oldest {state}"],
            )
            for state in _STAGES
        ],
        closing_next=_CLOSING_NEXT(at=at),
        outbox_due_since=first["outbox_due"],
        outbox_is_late=_is_older(first["outbox_due"], at, settings.OUTBOX_MAX_AGE_SECONDS),
        failing=mail.failing(),
        sweep=_sign(first["sweep"], at, settings.SWEEP_MAX_AGE_SECONDS),
        beat=_sign(first["beat"], at, settings.HEARTBEAT_MAX_AGE_SECONDS),
        workers_alive=numbers["workers_alive"].n,
        workers=_sign(first["workers"], at, settings.HEARTBEAT_MAX_AGE_SECONDS),
        last_failure=next(iter(_LAST_FAILURE()), None),
        logs=heads["logs"],
        entries=heads["entries"],
        largest_logs=_largest_logs(),
        unsigned_since=first["unsigned"],
        unconfirmed_until=first["unconfirmed"],
        unreachable_since=first["unreachable"],
        silent=guards.silent(at),
        streams_failing_since=first["failing_streams"],
        signing_is_late=_is_older(first["unsigned"], at, settings.CHECKPOINT_MAX_AGE_SECONDS),
        open_windows=numbers["open_windows"],
        outbox_waiting=numbers["outbox_waiting"],
        mail_parked=numbers["mail_parked"],
        queued=numbers["queued"],
        tasks_parked=numbers["tasks_parked"],
        logs_refused=numbers["logs_refused"],
        logs_unsigned=numbers["logs_unsigned"],
        unconfirmed=numbers["unconfirmed"],
        overtaken=numbers["overtaken"],
        unreachable=numbers["unreachable"],
        failing_streams=numbers["failing_streams"],
        newly_unreachable=numbers["newly_unreachable"],
    )


#: The stages at which access requests wait.
_STAGES = (State.PENDING_PROVIDER, State.PENDING_CUSTOMER)


def _live(at: Any) -> QuerySet:
    # Practice requests and their windows are in no number and no list here.
    return Grant.objects.real().live(at)


def _waiting(state: State, at: Any) -> QuerySet:
    # The index of what is pending has the deadlines of all stages and services. There are few such rows.
    return AccessRequest.objects.real().waiting(at).filter(state=state)


def _late(state: State, at: Any) -> QuerySet:
    return AccessRequest.objects.real().overdue(at).filter(state=state)


def _due() -> QuerySet:
    return OutboxMessage.objects.filter(state=OutboxMessage.State.WAITING, lane__in=("fanout", "mail"))


def _unsigned() -> QuerySet:
    return ChainHead.objects.filter(unsigned_since__isnull=False)


def _newly_unreachable(since: Any) -> QuerySet:
    return Resource.objects.unreachable().filter(check_failing_since__gt=since)


#: For each number: the rows that it counts, and which instant they are about.
_COUNTS: dict[str, tuple[Callable[..., QuerySet], str]] = {
    **{f"waiting {state}": (partial(_waiting, state), "at") for state in _STAGES},
    **{f"late {state}": (partial(_late, state), "at") for state in _STAGES},
    "open_windows": (_live, "at"),
    "outbox_waiting": (_due, ""),
    "mail_parked": (lambda: OutboxMessage.objects.filter(state=OutboxMessage.State.PARKED, webhook=None), ""),
    "queued": (OrmQ.objects.all, ""),
    "tasks_parked": (lambda: TaskAttempt.objects.parked(), ""),
    "workers_alive": (lambda since: Heartbeat.objects.workers().filter(at__gte=since), "alive_since"),
    "logs_refused": (LogAlarm.objects.all, ""),
    "logs_unsigned": (_unsigned, ""),
    "unconfirmed": (lambda at: Proposal.objects.unconfirmed(at), "at"),
    "overtaken": (overtaken, "at"),
    "unreachable": (lambda: Resource.objects.unreachable(), ""),
    "failing_streams": (lambda: SignalStream.objects.failing(), ""),
    "newly_unreachable": (_newly_unreachable, "new_since"),
}
#: For each instant: the rows, the column that has it, and which instant they are about. The first row has it.
_FIRSTS: dict[str, tuple[Callable[..., QuerySet], str, str]] = {
    **{f"oldest {state}": (partial(_waiting, state), "decide_by", "at") for state in _STAGES},
    "outbox_due": (lambda at: _due().filter(next_attempt_at__lte=at), "next_attempt_at", "at"),
    "unsigned": (_unsigned, "unsigned_since", ""),
    "unconfirmed": (lambda at: Proposal.objects.unconfirmed(at), "expires_at", "at"),
    "unreachable": (lambda: Resource.objects.unreachable(), "check_failing_since", ""),
    "failing_streams": (lambda: SignalStream.objects.failing(), "alarmed_at", ""),
    "sweep": (lambda: Heartbeat.objects.filter(name=SWEEP), "-at", ""),
    "beat": (lambda: Heartbeat.objects.filter(name=Heartbeat.BEAT), "-at", ""),
    "workers": (lambda: Heartbeat.objects.workers(), "-at", ""),
}


@cache
def _count(name: str) -> CompiledQuery:
    rows, about = _COUNTS[name]
    return _compiled(lambda *at: rows(*at).order_by().values_list("pk"), about)


@cache
def _first(name: str) -> CompiledQuery:
    rows, column, about = _FIRSTS[name]
    return _compiled(lambda *at: rows(*at).order_by(column).values_list(column.lstrip("-"))[:1], about)


def _compiled(make: Callable[..., QuerySet], about: str) -> CompiledQuery:
    return CompiledQuery(lambda at: make(at), at=models.DateTimeField()) if about else CompiledQuery(make)


def _counted(at: dt.datetime) -> dict[str, Count]:
    """Count the rows of all numbers with one statement."""
    alive_since = at - dt.timedelta(seconds=settings.HEARTBEAT_MAX_AGE_SECONDS)
    instants = {"at": at, "alive_since": alive_since, "new_since": at - NEW_FOR}
    asked = [(_count(name), {"at": instants[about]} if about else {}) for name, (_rows, about) in _COUNTS.items()]
    sizes = zip(_COUNTS, counts(asked, most=MOST + 1), strict=True)
    return {name: Count(min(size, MOST), size > MOST) for name, size in sizes}


def _firsts(at: dt.datetime) -> dict[str, dt.datetime | None]:
    """Read all instants with one statement."""
    asked = [(_first(name), {"at": at} if about else {}) for name, (_rows, _column, about) in _FIRSTS.items()]
    found = zip(_FIRSTS, together(asked), strict=True)
    return {name: rows[0][0] if rows else None for name, rows in found}


_CLOSING_NEXT = CompiledQuery(
    lambda at: _live(at).select_related("tenant", "engineer", "access_request").order_by("closes_at")[:SHOWN],
    at=models.DateTimeField(),
)
# The arguments and the result are not read: they are pickles, and nothing here may unpickle them.
_LAST_FAILURE = CompiledQuery(lambda: Failure.objects.order_by("-started").only("id", "func", "stopped")[:1])


def _largest_logs() -> list[Log]:
    heads = list(ChainHead.objects.order_by("-size")[:SHOWN])
    names = dict(Tenant.objects.filter(pk__in=[head.pk for head in heads]).values_list("pk", "name"))
    return [
        Log(tenant_id=head.pk, tenant_name=names.get(head.pk, ""), size=head.size, last_at=head.last_at)
        for head in heads
    ]


def _is_older(since: dt.datetime | None, at: dt.datetime, most: int) -> bool:
    return since is not None and (at - since).total_seconds() > most


def _sign(last: dt.datetime | None, at: dt.datetime, most: int) -> Sign:
    return Sign(at=last, is_fresh=last is not None and (at - last).total_seconds() <= most)
