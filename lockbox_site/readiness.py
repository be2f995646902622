"""Checks whether each part of the installation works."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Min, Q, QuerySet

from requests_app.domain import clock
from requests_app.platform import statics
from requests_app.platform.database import migrated

# The name of the heartbeat that the sweep writes when it succeeds.
SWEEP = "sweep"
# Counting stops here: more would not change the answer, and a count over all tenants takes long.
MOST_COUNTED = 1000

Check = dict[str, Any]

#: The checks that each part needs for its work. If the check of a part fails, that part can be taken out of service or
#: restarted. The check without a part is for alarms.
PARTS = {
    "web": ("static", "database", "migrations", "write"),
    "worker": ("database", "migrations", "worker", "outbox", "sweep", "tasks"),
    "beat": ("database", "migrations", "beat"),
    "tools": ("database", "migrations", "tools"),
    "signer": ("database", "migrations", "log", "heads", "witnesses"),
}
ALL = (
    "static", "database", "migrations", "write",
    "worker", "beat", "tools", "outbox", "sweep", "tasks", "log", "heads", "witnesses", "backup",
)  # fmt: skip


def is_fit(checks: dict[str, Check]) -> bool:
    return all(check["ok"] for check in checks.values())


def bad(detail: str) -> Check:
    return {"ok": False, "detail": detail}


def run_checks(names: Iterable[str] = ALL) -> dict[str, Check]:
    """Run these checks now and wait for them, for commands and tests.

    Web servers use health.py, which limits the wait.
    """
    wanted = tuple(names)
    checks = {"static": static()} if "static" in wanted else {}
    database = base()
    checks |= database
    if is_fit(database):
        checks |= {"write": write()} if "write" in wanted else {}
        checks |= states(name for name in wanted if name in STATES)
    return {name: check for name, check in checks.items() if name in wanted}


# --- For every part ----------------------------------------------------------------------------------------


def static() -> Check:
    return bad(why) if (why := statics.why_not_served()) else {"ok": True}


def base() -> dict[str, Check]:
    """Check that the database can be read.

    The text of a failure is never shown, because it may contain addresses or passwords.
    """
    try:
        clock.now()
        unapplied = migrated.missing()
    except Exception as failure:  # every error of the driver means the same here
        return {"database": bad(f"The database can't be used ({type(failure).__name__}).")}
    return {"database": {"ok": True}, "migrations": {"ok": not unapplied, "unapplied": unapplied}}


# --- Whether an act can be written -----------------------------------------------------------------------

#: As long as an entry with a long justification. On SQLite, it is never written to disk, and is longer than one page.
_TEXT = {"postgresql": "." * 1500, "sqlite": "." * 65536}


def write() -> Check:
    """Check that the database can be written: commit this host's heartbeat, and roll back an audit entry."""
    try:
        try_to_write()
    except Exception as failure:  # any error here would make an act fail too
        return bad(f"Acts can't be written to the database ({_kind_of(failure)}).")
    return {"ok": True}


def try_to_write() -> None:
    """Write to the database as an act does. Only this host's own row is committed.

    The audit entry, which is rolled back, goes to a log that nobody else uses. So a health check waits for no tenant's
    log, and two health checks do not wait for each other.
    """
    from audit_app import recorder
    from requests_app.models import Heartbeat
    from requests_app.work import heartbeats

    at = clock.now()
    entry = recorder.Witnessed(
        tenant_id=uuid4(),
        event="probe.written",
        door="probe",
        actor={"kind": "system", "id": None, "name": "probe", "side": "system", "email": ""},
        subject_type="probe",
        subject_id=str(os.getpid()),
        text=_TEXT[connection.vendor],
    )
    with transaction.atomic(durable=True):
        with transaction.atomic():
            recorder.record([entry], at=at)
            transaction.set_rollback(True)
        heartbeats.touch(f"{Heartbeat.HOST}{heartbeats.host_name()}"[:120], at=at)


def _kind_of(failure: Exception) -> str:
    """Return the name that the driver gives to a failure, such as InsufficientPrivilege. It contains no address."""
    cause = failure.__cause__ or failure
    return getattr(cause, "sqlite_errorname", type(cause).__name__)


# --- The other parts -------------------------------------------------------------------------------------


def states(names: Iterable[str]) -> dict[str, Check]:
    """Check the parts that report their state through the database."""
    at = clock.now()
    return {name: _state(STATES[name], at) for name in names}


def _state(check: Callable[[dt.datetime], Check], at: dt.datetime) -> Check:
    try:
        return check(at)
    except Exception as failure:  # a part that can't be read must not hide the others
        return bad(f"This part can't be read ({type(failure).__name__}).")


def _worker(at: dt.datetime) -> Check:
    """Check the worker that reported last. The rows of removed clusters are ignored."""
    from requests_app.models import Heartbeat

    return _age(Heartbeat.objects.workers(), at, settings.HEARTBEAT_MAX_AGE_SECONDS)


def _beat(at: dt.datetime) -> Check:
    from requests_app.models import Heartbeat

    return _age(Heartbeat.objects.filter(name=Heartbeat.BEAT), at, settings.HEARTBEAT_MAX_AGE_SECONDS)


def _tools(at: dt.datetime) -> Check:
    """Check the proxy for web tools. It is needed only if a web tool has an upstream address."""
    from requests_app.models import Heartbeat, Service

    if not Service.objects.filter(is_active=True).exclude(gate_upstream="").exists():
        return {"ok": True}
    return _age(Heartbeat.objects.tool_proxies(), at, settings.HEARTBEAT_MAX_AGE_SECONDS)


def _tasks(at: dt.datetime) -> Check:
    """Report the number of parked tasks. This check never fails.

    Somebody must act on parked tasks, but it would not help to take web servers out of service.
    """
    from requests_app.models import TaskAttempt

    return {"ok": True, "parked": TaskAttempt.objects.parked().count()}


def _sweep(at: dt.datetime) -> Check:
    from requests_app.models import Heartbeat

    return _age(Heartbeat.objects.filter(name=SWEEP), at, settings.SWEEP_MAX_AGE_SECONDS)


def _log(at: dt.datetime) -> Check:
    """Check the logs: refused and unsigned logs, missing heartbeats, and a key file that other users can read.

    Each value comes from a small index of waiting rows, or from the end of an index.
    """
    from audit_app import keys, lease, log_name
    from audit_app.models import ChainHead, LogAlarm, SignedHead

    most = settings.CHECKPOINT_MAX_AGE_SECONDS
    waiting = ChainHead.objects.filter(unsigned_since__isnull=False)
    age = _seconds_since(waiting.aggregate(oldest=Min("unsigned_since"))["oldest"], at)
    late = waiting.filter(unsigned_since__lt=at - dt.timedelta(seconds=most))[:MOST_COUNTED].count()
    alarms = LogAlarm.objects.all()[:MOST_COUNTED].count()
    # A refused log is not dated either, and is already counted.
    dated = SignedHead.objects.filter(dated_at__isnull=False)
    if alarms:
        dated = dated.exclude(pk__in=LogAlarm.objects.values("pk"))
    since_dated = _seconds_since(dated.order_by("dated_at").values_list("dated_at", flat=True).first(), at)
    is_dated = since_dated <= settings.LOG_HEARTBEAT_SECONDS + most
    trouble = log_name.contradiction() or keys.trouble()
    # No names of hosts: anybody can read this. "Who signs" in the administration has them.
    signer = lease.current()
    taken_over = None if signer is None else signer.taken_over_at
    return {
        "ok": not alarms and age <= most and is_dated and not trouble,
        "alarms": alarms,
        "late": late,
        "age_seconds": age,
        "limit_seconds": most,
        "heartbeat_age_seconds": since_dated,
        "heartbeat_limit_seconds": settings.LOG_HEARTBEAT_SECONDS + most,
        **({"taken_over_seconds_ago": _seconds_since(taken_over, at)} if taken_over else {}),
        **({"detail": f"{trouble[0].upper()}{trouble[1:]}."} if trouble else {}),
    }


def _heads(at: dt.datetime) -> Check:
    """Check that no log was set back by the restore of an older database.

    The process compares the logs with the stored heads when it starts, and when the database was replaced since. If
    this failed, this check compares them.
    """
    from audit_app import restored_database

    restored_database.look_again(at)
    made, set_back = restored_database.compare_once(at), restored_database.alarms()
    detail = {"detail": "The heads that are stored outside the database can't be read."} if made.problem else {}
    return {"ok": made.is_made and not set_back, "set_back": set_back, **detail}


def _backup(at: dt.datetime) -> Check:
    """Check that the last good backup is not too old. Where no backup was ever tried, there is nothing to check.

    Heads that were never copied to another place are only reported: web servers work without the copy.
    """
    from requests_app.models import Heartbeat
    from requests_app.queries import backups

    row = Heartbeat.objects.filter(name=Heartbeat.BACKUP).first()
    if row is None and not settings.BACKUP_TO:
        return {"ok": True}
    found = _age(Heartbeat.objects.filter(name=Heartbeat.BACKUP), at, settings.BACKUP_MAX_AGE_SECONDS)
    if backups.are_heads_never_copied(set(Heartbeat.objects.values_list("name", flat=True))):
        found["heads_copied"] = False
    if row is None or not row.detail.startswith(Heartbeat.FAILED):
        return found
    return {**found, "ok": False, "detail": "The last backup failed. The command “backup” says why."}


def _witnesses(at: dt.datetime) -> Check:
    """Report how many witnesses have a problem. This check never fails, because the witnesses are the customers'."""
    from audit_app import witnesses

    return {"ok": True, "failing": witnesses.failing()}


def _outbox(at: dt.datetime) -> Check:
    """Check for how long the oldest message has been due. A message that waits for its next attempt is not late.

    Messages that only another version can send are counted separately. A restart of this version would not send them.
    """
    from requests_app.messages.topics import known
    from requests_app.models import OutboxMessage
    from requests_app.models.outbox import FANOUT, MAIL

    # If the receiver of a webhook does not answer, its owner must act.
    waiting = OutboxMessage.objects.filter(state="waiting", webhook=None)
    foreign = Q(lane__in=(FANOUT, MAIL)) & ~Q(topic__in=known())
    of_another_version = waiting.filter(foreign)[:MOST_COUNTED].count()
    oldest = waiting.exclude(foreign).aggregate(oldest=Min("next_attempt_at"))["oldest"]
    age = 0 if oldest is None else max(0, int((at - oldest).total_seconds()))
    most = settings.OUTBOX_MAX_AGE_SECONDS
    more = {"of_another_version": of_another_version} if of_another_version else {}
    return {"ok": age <= most, "age_seconds": age, "limit_seconds": most, **more}


def _seconds_since(when: dt.datetime | None, at: dt.datetime) -> int:
    return 0 if when is None else max(0, int((at - when).total_seconds()))


def _age(beats: QuerySet, at: dt.datetime, most: int) -> Check:
    last = beats.aggregate(last=Max("at"))["last"]
    age = None if last is None else max(0, int((at - last).total_seconds()))
    return {"ok": age is not None and age <= most, "age_seconds": age, "limit_seconds": most}


STATES: dict[str, Callable[[dt.datetime], Check]] = {
    "worker": _worker, "beat": _beat, "tools": _tools, "outbox": _outbox, "sweep": _sweep, "tasks": _tasks,
    "log": _log, "heads": _heads, "witnesses": _witnesses,
    "backup": _backup,
}  # fmt: skip
