"""Reads the state of the installation for staff: access requests, windows, messages, background work and logs.

Each count stops at MOST and each list is short, so that the page stays fast when there are many rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Max, QuerySet, Sum
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
    Service,
    SignalStream,
    TaskAttempt,
    Tenant,
)
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
    # Practice requests and their windows are in no number and no list here.
    live = Grant.objects.real().live(at)
    due = OutboxMessage.objects.filter(state=OutboxMessage.State.WAITING, lane__in=("fanout", "mail"))
    parked = OutboxMessage.objects.filter(state=OutboxMessage.State.PARKED, webhook=None)
    due_since = _first(due.filter(next_attempt_at__lte=at), "next_attempt_at")
    heads = ChainHead.objects.aggregate(entries=Sum("size", default=0))
    beats = Heartbeat.objects.workers()
    unsigned = ChainHead.objects.filter(unsigned_since__isnull=False)
    unsigned_since = _first(unsigned, "unsigned_since")
    unreachable = Resource.objects.unreachable()
    unconfirmed = Proposal.objects.unconfirmed(at)
    failing_streams = SignalStream.objects.failing()
    alive_since = at - dt.timedelta(seconds=settings.HEARTBEAT_MAX_AGE_SECONDS)
    return Dashboard(
        stages=[_stage(state, at) for state in (State.PENDING_PROVIDER, State.PENDING_CUSTOMER)],
        open_windows=_counted(live),
        closing_next=list(live.select_related("tenant", "engineer", "access_request").order_by("closes_at")[:SHOWN]),
        outbox_waiting=_counted(due),
        outbox_due_since=due_since,
        outbox_is_late=_is_older(due_since, at, settings.OUTBOX_MAX_AGE_SECONDS),
        mail_parked=_counted(parked),
        failing=mail.failing(),
        queued=_counted(OrmQ.objects.all()),
        sweep=_sign(Heartbeat.objects.filter(name=SWEEP), at, settings.SWEEP_MAX_AGE_SECONDS),
        beat=_sign(Heartbeat.objects.filter(name=Heartbeat.BEAT), at, settings.HEARTBEAT_MAX_AGE_SECONDS),
        workers_alive=beats.filter(at__gte=alive_since).count(),
        workers=_sign(beats, at, settings.HEARTBEAT_MAX_AGE_SECONDS),
        # The arguments and the result are not read: they are pickles, and nothing here may unpickle them.
        last_failure=Failure.objects.order_by("-started").only("id", "func", "stopped").first(),
        tasks_parked=_counted(TaskAttempt.objects.parked()),
        logs=ChainHead.objects.count(),
        entries=heads["entries"],
        largest_logs=_largest_logs(),
        logs_refused=_counted(LogAlarm.objects.all()),
        logs_unsigned=_counted(unsigned),
        unsigned_since=unsigned_since,
        unconfirmed=_counted(unconfirmed),
        unconfirmed_until=_first(unconfirmed, "expires_at"),
        overtaken=_counted(overtaken(at)),
        unreachable=_counted(unreachable),
        unreachable_since=_first(unreachable, "check_failing_since"),
        silent=guards.silent(at),
        failing_streams=_counted(failing_streams),
        streams_failing_since=_first(failing_streams, "alarmed_at"),
        newly_unreachable=_counted(unreachable.filter(check_failing_since__gt=at - NEW_FOR)),
        signing_is_late=_is_older(unsigned_since, at, settings.CHECKPOINT_MAX_AGE_SECONDS),
    )


def _stage(state: State, at: dt.datetime) -> Stage:
    # The condition names the services because the index over deadlines begins with the service. There are few services.
    services = list(Service.objects.order_by("pk").values_list("pk", flat=True))
    rows = AccessRequest.objects.real().filter(service__in=services, state=state)
    waiting = rows.filter(decide_by__gt=at)
    return Stage(
        state=state,
        waiting=_counted(waiting),
        late=_counted(rows.filter(decide_by__lte=at)),
        oldest=_first(waiting, "decide_by"),
    )


def _largest_logs() -> list[Log]:
    heads = list(ChainHead.objects.order_by("-size")[:SHOWN])
    names = dict(Tenant.objects.filter(pk__in=[head.pk for head in heads]).values_list("pk", "name"))
    return [
        Log(tenant_id=head.pk, tenant_name=names.get(head.pk, ""), size=head.size, last_at=head.last_at)
        for head in heads
    ]


def _is_older(since: dt.datetime | None, at: dt.datetime, most: int) -> bool:
    return since is not None and (at - since).total_seconds() > most


def _counted(rows: QuerySet) -> Count:
    n = rows.order_by().values_list("pk")[: MOST + 1].count()
    return Count(min(n, MOST), n > MOST)


def _first(rows: QuerySet, name: str) -> dt.datetime | None:
    return rows.order_by(name).values_list(name, flat=True).first()


def _sign(beats: QuerySet, at: dt.datetime, most: int) -> Sign:
    last = beats.order_by().aggregate(last=Max("at"))["last"]
    return Sign(at=last, is_fresh=last is not None and (at - last).total_seconds() <= most)
