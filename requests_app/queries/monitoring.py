"""Reads the states of the whole installation for `/metrics`: numbers and times, and never a name or an id.

Each group of numbers is one or two queries over a small index. A group that can't be read does not hide the others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import Count, Min, Q
from django_q.models import OrmQ

from audit_app import lease
from audit_app.models import ChainHead, LogAlarm, SignedHead, Witness
from audit_app.witnesses import ALARMS
from requests_app.domain import clock
from requests_app.domain.states import State
from requests_app.models import (
    AccessRequest,
    Grant,
    Guard,
    Heartbeat,
    OutboxMessage,
    Resource,
    SignalStream,
    TaskAttempt,
    Webhook,
)
from requests_app.queries import backups, restored, sign_on_metadata
from requests_app.queries.signing_hosts import host_of

#: A deadline that is nearer than this counts as near.
NEAR = timedelta(hours=1)
#: The name of a task whose last success is shown. All other heartbeats name a place.
_TASK = re.compile(r"[a-z][a-z_]{0,40}\Z")
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sample:
    """One number: the name of its metric, the values of the metric's labels, and the number."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


#: name: (help, labels)
STATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "lockbox_access_requests_pending": ("Access requests that wait for a decision.", ("stage",)),
    "lockbox_access_requests_deadline_near": ("Pending access requests with less than an hour left.", ("stage",)),
    "lockbox_access_requests_overdue": ("Access requests past their deadline whose end is not recorded.", ()),
    "lockbox_windows_open": ("Open windows.", ()),
    "lockbox_windows_overdue": ("Windows past their end whose end is not recorded.", ()),
    "lockbox_sweep_late_seconds": ("For how long the oldest end has not been recorded.", ("what",)),
    "lockbox_outbox_waiting": ("Messages that wait.", ("kind",)),
    "lockbox_outbox_oldest_seconds": ("Age of the oldest message that waits.", ("kind",)),
    "lockbox_outbox_late_seconds": ("For how long the oldest message has been due.", ("kind",)),
    "lockbox_outbox_failing_seconds": ("Age of the oldest message that failed and is retried.", ("kind",)),
    "lockbox_outbox_parked": ("Messages that are not retried any more.", ("kind",)),
    "lockbox_workers_alive": ("Clusters of workers seen within HEARTBEAT_MAX_AGE_SECONDS.", ()),
    "lockbox_part_last_seen_timestamp_seconds": ("When a part was last seen anywhere.", ("part",)),
    "lockbox_last_success_timestamp_seconds": ("When a periodic task last succeeded, or had nothing to do.", ("task",)),
    "lockbox_tasks_waiting": ("Tasks in the queue.", ()),
    "lockbox_tasks_parked": ("Tasks that are not retried any more.", ()),
    "lockbox_log_unsigned": ("Logs with entries that are not signed.", ()),
    "lockbox_log_oldest_unsigned_seconds": ("For how long the oldest unsigned entry has waited.", ()),
    "lockbox_log_refused": ("Logs that the signer refuses to sign.", ("code",)),
    "lockbox_log_oldest_date_seconds": ("Age of the oldest date on a signed log.", ()),
    "lockbox_log_signer_last_seconds": ("For how long no host has had the turn to sign.", ()),
    "lockbox_log_signer_hosts": ("Hosts that have the log's key.", ("state",)),
    "lockbox_log_signer_taken_over_timestamp_seconds": ("When a host last took over from one that was lost.", ()),
    "lockbox_witnesses": ("Registered witnesses.", ()),
    "lockbox_witnesses_failing": ("Witnesses whose last call failed.", ()),
    "lockbox_witnesses_contradicting": ("Witnesses that have seen another log.", ()),
    "lockbox_witness_oldest_cosignature_seconds": ("For how long the most silent witness has not cosigned.", ()),
    "lockbox_webhooks": ("Webhooks.", ("state",)),
    "lockbox_signal_streams": ("Signal streams (Shared Signals Framework).", ("state",)),
    "lockbox_heads_never_copied": ("1 if backups are made, but the heads were never copied elsewhere.", ()),
    "lockbox_restored_unconfirmed": ("Tenants, or 1 for the provider, with a restore not confirmed.", ("side",)),
    "lockbox_sign_on_metadata_problems": ("Single sign-ons whose SAML metadata needs somebody.", ("state",)),
    "lockbox_guards_silent": ("Guards of applications that should report, and do not.", ()),
    "lockbox_resources_unreachable": ("Resources that could not be reached in their last test.", ("connector",)),
}  # fmt: skip


def states() -> tuple[list[Sample], int]:
    """Return the numbers, and how many groups could not be read. Raise an error if the database does not answer."""
    at = clock.now()
    found: list[Sample] = []
    failed = 0
    for group in GROUPS:
        try:
            found.extend(group(at))
        except Exception as error:  # for example, a table that a migration has not made yet
            failed += 1
            log.warning("metrics_group_failed", group=group.__name__, error=type(error).__name__)
    return found, failed


def _seconds(since: datetime | None, at: datetime) -> float:
    return 0.0 if since is None else max(0.0, (at - since).total_seconds())


def access_requests(at: datetime) -> Iterator[Sample]:
    near = Q(decide_by__gt=at, decide_by__lte=at + NEAR, is_practice=False)
    stages = {"provider": State.PENDING_PROVIDER, "customer": State.PENDING_CUSTOMER}
    counts = {name: Count("pk", filter=Q(state=state, is_practice=False)) for name, state in stages.items()}
    counts |= {f"{name}_near": Count("pk", filter=near & Q(state=state)) for name, state in stages.items()}
    late = Q(decide_by__lte=at)
    row = AccessRequest.objects.pending().aggregate(
        **counts, overdue=Count("pk", filter=late), oldest=Min("decide_by", filter=late)
    )
    for name in stages:
        yield Sample("lockbox_access_requests_pending", row[name], (name,))
        yield Sample("lockbox_access_requests_deadline_near", row[f"{name}_near"], (name,))
    yield Sample("lockbox_access_requests_overdue", row["overdue"])
    yield Sample("lockbox_sweep_late_seconds", _seconds(row["oldest"], at), ("deadline",))


def windows(at: datetime) -> Iterator[Sample]:
    late = Q(closes_at__lte=at)
    row = Grant.objects.unclosed().aggregate(
        live=Count("pk", filter=Q(opens_at__lte=at, closes_at__gt=at, access_request__is_practice=False)),
        overdue=Count("pk", filter=late),
        oldest=Min("closes_at", filter=late),
    )
    yield Sample("lockbox_windows_open", row["live"])
    yield Sample("lockbox_windows_overdue", row["overdue"])
    yield Sample("lockbox_sweep_late_seconds", _seconds(row["oldest"], at), ("window",))


def outbox(at: datetime) -> Iterator[Sample]:
    waiting = OutboxMessage.objects.filter(state=OutboxMessage.State.WAITING).order_by().values("lane")
    rows = waiting.annotate(
        n=Count("pk"),
        oldest=Min("created_at"),
        due=Min("next_attempt_at"),
        # Each failure makes the next attempt later, so such a message is hardly ever due.
        failing=Min("created_at", filter=~Q(last_error="")),
    )
    found = {row["lane"]: row for row in rows}
    parked = OutboxMessage.objects.filter(state=OutboxMessage.State.PARKED).order_by().values("lane")
    stopped = dict(parked.annotate(n=Count("pk")).values_list("lane", "n"))
    for lane in LANES:
        row = found.get(lane, {"n": 0, "oldest": None, "due": None, "failing": None})
        yield Sample("lockbox_outbox_waiting", row["n"], (lane,))
        yield Sample("lockbox_outbox_oldest_seconds", _seconds(row["oldest"], at), (lane,))
        yield Sample("lockbox_outbox_late_seconds", _seconds(row["due"], at), (lane,))
        yield Sample("lockbox_outbox_failing_seconds", _seconds(row["failing"], at), (lane,))
        yield Sample("lockbox_outbox_parked", stopped.get(lane, 0), (lane,))


def heartbeats(at: datetime) -> Iterator[Sample]:
    limit = at - timedelta(seconds=settings.HEARTBEAT_MAX_AGE_SECONDS)
    found = list(Heartbeat.objects.exclude(name__startswith=Heartbeat.PULSE))
    rows = {row.name: row.at for row in found}
    workers = [seen for name, seen in rows.items() if name.startswith(Heartbeat.WORKER)]
    yield Sample("lockbox_workers_alive", sum(seen >= limit for seen in workers))
    places = {"worker": Heartbeat.WORKER, "beat": Heartbeat.BEAT, "tools": Heartbeat.TOOLS}
    for part, prefix in places.items():
        if seen := max((seen for name, seen in rows.items() if name.startswith(prefix)), default=None):
            yield Sample("lockbox_part_last_seen_timestamp_seconds", seen.timestamp(), (part,))
    for name, seen in sorted(rows.items()):
        if _TASK.match(name) and name != Heartbeat.BEAT:
            yield Sample("lockbox_last_success_timestamp_seconds", seen.timestamp(), (name,))
    yield Sample("lockbox_heads_never_copied", backups.are_heads_never_copied(rows))
    hosts = Counter(host_of(row, at).state for row in found if row.name.startswith(Heartbeat.SIGNER))
    for state in ("ready", "refused", "away"):
        yield Sample("lockbox_log_signer_hosts", hosts[state], (state,))


def tasks(at: datetime) -> Iterator[Sample]:
    yield Sample("lockbox_tasks_waiting", OrmQ.objects.filter(lock__lte=at).count())
    yield Sample("lockbox_tasks_parked", TaskAttempt.objects.parked().count())


def logs(at: datetime) -> Iterator[Sample]:
    waiting = ChainHead.objects.filter(unsigned_since__isnull=False)
    row = waiting.aggregate(n=Count("pk"), oldest=Min("unsigned_since"))
    yield Sample("lockbox_log_unsigned", row["n"])
    yield Sample("lockbox_log_oldest_unsigned_seconds", _seconds(row["oldest"], at))
    refused = dict(LogAlarm.objects.order_by().values("code").annotate(n=Count("pk")).values_list("code", "n"))
    for code, count in {"shorter": 0, "different": 0, **refused}.items():
        yield Sample("lockbox_log_refused", count, (code,))
    dated = SignedHead.objects.filter(dated_at__isnull=False).exclude(pk__in=LogAlarm.objects.values("pk"))
    first = dated.order_by("dated_at").values_list("dated_at", flat=True).first()
    yield Sample("lockbox_log_oldest_date_seconds", _seconds(first, at))


def signer(at: datetime) -> Iterator[Sample]:
    last = lease.current()
    if last is None:
        return
    yield Sample("lockbox_log_signer_last_seconds", _seconds(last.until, at))
    if last.taken_over_at is not None:
        yield Sample("lockbox_log_signer_taken_over_timestamp_seconds", last.taken_over_at.timestamp())


def sign_ons(at: datetime) -> Iterator[Sample]:
    """Count the metadata that can't be read, that has ended or ends soon, and the changes that wait for somebody."""
    for state, count in sign_on_metadata.problems(at=at).items():
        yield Sample("lockbox_sign_on_metadata_problems", count, (state,))


def witnesses(at: datetime) -> Iterator[Sample]:
    contradicts = Q()
    for code in ALARMS:
        contradicts |= Q(problem__startswith=code)
    row = Witness.objects.aggregate(
        n=Count("pk"),
        failing=Count("pk", filter=~Q(problem="")),
        contradicting=Count("pk", filter=contradicts),
        oldest=Min("cosigned_at"),
        never=Min("added_at", filter=Q(cosigned_at=None)),
    )
    silent = min((each for each in (row["oldest"], row["never"]) if each is not None), default=None)
    yield Sample("lockbox_witnesses", row["n"])
    yield Sample("lockbox_witnesses_failing", row["failing"])
    yield Sample("lockbox_witnesses_contradicting", row["contradicting"])
    yield Sample("lockbox_witness_oldest_cosignature_seconds", _seconds(silent, at))


def receivers(at: datetime) -> Iterator[Sample]:
    row = Webhook.objects.present().aggregate(
        working=Count("pk", filter=Q(is_on=True, failures=0)),
        failing=Count("pk", filter=Q(is_on=True, failures__gt=0)),
        given_up=Count("pk", filter=Q(is_on=False) & ~Q(off_because=Webhook.Because.PERSON)),
        off=Count("pk", filter=Q(is_on=False, off_because=Webhook.Because.PERSON)),
    )
    for state, count in row.items():
        yield Sample("lockbox_webhooks", count, (state,))
    streams = SignalStream.objects.present().order_by().values("status")
    counts = dict(streams.annotate(n=Count("pk")).values_list("status", "n"))
    for status in SignalStream.Status.values:
        yield Sample("lockbox_signal_streams", counts.get(status, 0), (status,))
    yield Sample("lockbox_signal_streams", SignalStream.objects.failing().count(), ("failing",))


def restorations(at: datetime) -> Iterator[Sample]:
    yield Sample("lockbox_restored_unconfirmed", restored.count_unconfirmed(), ("customer",))
    yield Sample("lockbox_restored_unconfirmed", restored.open_at_provider() is not None, ("provider",))


def content(at: datetime) -> Iterator[Sample]:
    yield Sample("lockbox_guards_silent", Guard.objects.silent(at).count())
    rows = Resource.objects.real().unreachable().order_by().values("service__connector").annotate(n=Count("pk"))
    for connector, count in rows.values_list("service__connector", "n"):
        yield Sample("lockbox_resources_unreachable", count, (connector,))


#: The kinds of messages.
LANES = ("fanout", "mail", "webhook", "signal", "poll")
GROUPS: tuple[Callable[[datetime], Iterable[Sample]], ...] = (
    access_requests, windows, outbox, heartbeats, tasks, logs, signer, witnesses, receivers, sign_ons, restorations,
    content,
)  # fmt: skip
