"""Reads the state of the installation for staff: access requests, windows, messages, background work and logs.

Each count stops at MOST and each list is short, so that the page stays fast when there are many rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection, models
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
    due_since = _first(due.filter(next_attempt_at__lte=at), "next_attempt_at")
    heads = ChainHead.objects.aggregate(entries=Sum("size", default=0), logs=models.Count("pk"))
    beats = Heartbeat.objects.workers()
    unsigned = ChainHead.objects.filter(unsigned_since__isnull=False)
    unsigned_since = _first(unsigned, "unsigned_since")
    unreachable = Resource.objects.unreachable()
    unconfirmed = Proposal.objects.unconfirmed(at)
    failing_streams = SignalStream.objects.failing()
    alive_since = at - dt.timedelta(seconds=settings.HEARTBEAT_MAX_AGE_SECONDS)
    in_stage = _in_stage()
    counts = _counted(
        {
            **{f"waiting {state}": rows.filter(decide_by__gt=at) for state, rows in in_stage.items()},
            **{f"late {state}": rows.filter(decide_by__lte=at) for state, rows in in_stage.items()},
            "open_windows": live,
            "outbox_waiting": due,
            "mail_parked": OutboxMessage.objects.filter(state=OutboxMessage.State.PARKED, webhook=None),
            "queued": OrmQ.objects.all(),
            "tasks_parked": TaskAttempt.objects.parked(),
            "logs_refused": LogAlarm.objects.all(),
            "logs_unsigned": unsigned,
            "unconfirmed": unconfirmed,
            "overtaken": overtaken(at),
            "unreachable": unreachable,
            "failing_streams": failing_streams,
            "newly_unreachable": unreachable.filter(check_failing_since__gt=at - NEW_FOR),
        }
    )
    return Dashboard(
        stages=_stages(in_stage, counts, at),
        closing_next=list(live.select_related("tenant", "engineer", "access_request").order_by("closes_at")[:SHOWN]),
        outbox_due_since=due_since,
        outbox_is_late=_is_older(due_since, at, settings.OUTBOX_MAX_AGE_SECONDS),
        failing=mail.failing(),
        sweep=_sign(Heartbeat.objects.filter(name=SWEEP), at, settings.SWEEP_MAX_AGE_SECONDS),
        beat=_sign(Heartbeat.objects.filter(name=Heartbeat.BEAT), at, settings.HEARTBEAT_MAX_AGE_SECONDS),
        workers_alive=beats.filter(at__gte=alive_since).count(),
        workers=_sign(beats, at, settings.HEARTBEAT_MAX_AGE_SECONDS),
        # The arguments and the result are not read: they are pickles, and nothing here may unpickle them.
        last_failure=Failure.objects.order_by("-started").only("id", "func", "stopped").first(),
        logs=heads["logs"],
        entries=heads["entries"],
        largest_logs=_largest_logs(),
        unsigned_since=unsigned_since,
        unconfirmed_until=_first(unconfirmed, "expires_at"),
        unreachable_since=_first(unreachable, "check_failing_since"),
        silent=guards.silent(at),
        streams_failing_since=_first(failing_streams, "alarmed_at"),
        signing_is_late=_is_older(unsigned_since, at, settings.CHECKPOINT_MAX_AGE_SECONDS),
        open_windows=counts["open_windows"],
        outbox_waiting=counts["outbox_waiting"],
        mail_parked=counts["mail_parked"],
        queued=counts["queued"],
        tasks_parked=counts["tasks_parked"],
        logs_refused=counts["logs_refused"],
        logs_unsigned=counts["logs_unsigned"],
        unconfirmed=counts["unconfirmed"],
        overtaken=counts["overtaken"],
        unreachable=counts["unreachable"],
        failing_streams=counts["failing_streams"],
        newly_unreachable=counts["newly_unreachable"],
    )


def _in_stage() -> dict[State, QuerySet[AccessRequest]]:
    # The condition names the services because the index over deadlines begins with the service. There are few services.
    services = list(Service.objects.order_by("pk").values_list("pk", flat=True))
    return {
        state: AccessRequest.objects.real().filter(service__in=services, state=state)
        for state in (State.PENDING_PROVIDER, State.PENDING_CUSTOMER)
    }


def _stages(
    in_stage: Mapping[State, QuerySet[AccessRequest]], counts: Mapping[str, Count], at: dt.datetime
) -> list[Stage]:
    return [
        Stage(
            state=state,
            waiting=counts[f"waiting {state}"],
            late=counts[f"late {state}"],
            oldest=_first(rows.filter(decide_by__gt=at), "decide_by"),
        )
        for state, rows in in_stage.items()
    ]


def _largest_logs() -> list[Log]:
    heads = list(ChainHead.objects.order_by("-size")[:SHOWN])
    names = dict(Tenant.objects.filter(pk__in=[head.pk for head in heads]).values_list("pk", "name"))
    return [
        Log(tenant_id=head.pk, tenant_name=names.get(head.pk, ""), size=head.size, last_at=head.last_at)
        for head in heads
    ]


def _is_older(since: dt.datetime | None, at: dt.datetime, most: int) -> bool:
    return since is not None and (at - since).total_seconds() > most


def _counted(queries: Mapping[str, QuerySet]) -> dict[str, Count]:
    """Count the rows of all these queries with one statement."""
    parts: list[str] = []
    values: list[Any] = []
    for n, rows in enumerate(queries.values()):
        try:
            sql, more = rows.order_by().values_list("pk")[: MOST + 1].query.sql_with_params()
        except EmptyResultSet:
            continue
        parts.append(f"SELECT {n}, count(*) FROM ({sql}) AS one")  # noqa: S608  Django's own text
        values += more
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        found = dict(cursor.fetchall())
    sizes = {name: found.get(n, 0) for n, name in enumerate(queries)}
    return {name: Count(min(size, MOST), size > MOST) for name, size in sizes.items()}


def _first(rows: QuerySet, name: str) -> dt.datetime | None:
    return rows.order_by(name).values_list(name, flat=True).first()


def _sign(beats: QuerySet, at: dt.datetime, most: int) -> Sign:
    last = beats.order_by().aggregate(last=Max("at"))["last"]
    return Sign(at=last, is_fresh=last is not None and (at - last).total_seconds() <= most)
