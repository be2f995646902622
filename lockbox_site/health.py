"""Tells operators and load balancers whether this process lives, and whether the whole is fit for work."""

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse

from requests_app import clock, statics

ANSWER_WITHIN = 1.5
# The task writes this row when it has succeeded.
SWEEP = "sweep"
# Counted no further: the answer is the same, and a count over every tenant takes its time.
MOST_COUNTED = 1000

Check = dict[str, Any]

# One thread, so that a database that hangs holds one connection, however often somebody asks.
_prober = ThreadPoolExecutor(max_workers=1, thread_name_prefix="readyz")
_busy = threading.Lock()


def healthz(request: HttpRequest) -> HttpResponse:
    """Say that the process answers and can make pages. It asks nobody, or a sick database would have it restarted."""
    if why := statics.why_not_served():
        return _answer({"status": "unavailable", "detail": why}, 503)
    return _answer({"status": "ok"}, 200)


def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether files, database, migrations, worker, outbox, sweep and logs are well; 503 where one is not."""
    checks = _checks_in_time()
    fit = all(check["ok"] for check in checks.values())
    return _answer({"status": "ok" if fit else "unavailable", "checks": checks}, 200 if fit else 503)


def _answer(body: dict[str, Any], status: int) -> HttpResponse:
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def _checks_in_time() -> dict[str, Check]:
    """Run the checks in a thread that may be left behind: a driver that hangs can't be interrupted."""
    if not _busy.acquire(blocking=False):
        return {"database": _bad("An earlier check still waits for the database.")}
    try:
        return _prober.submit(_in_own_connection).result(timeout=ANSWER_WITHIN)
    except TookTooLong:
        return {"database": _bad("The database did not answer in time.")}


def _in_own_connection() -> dict[str, Check]:
    try:
        return run_checks()
    finally:
        connection.close()
        _busy.release()


def run_checks() -> dict[str, Check]:
    """Return the state of each part. A failure's text is never shown: it may hold addresses or passwords."""
    try:
        at = clock.now()
        unapplied = _unapplied_migrations()
    except Exception as failure:  # any driver's error means the same here
        return {"static": _static(), "database": _bad(f"The database can't be used ({type(failure).__name__}).")}
    checks: dict[str, Check] = {
        "static": _static(),
        "database": {"ok": True},
        "migrations": {"ok": not unapplied, "unapplied": unapplied},
    }
    if not unapplied:
        checks |= {"worker": _part(_worker, at), "outbox": _part(_outbox, at), "sweep": _part(_sweep, at)}
        checks |= {"tasks": _part(_tasks, at), "log": _part(_log, at), "witnesses": _part(_witnesses, at)}
    return checks


def _part(check: Callable[[dt.datetime], Check], at: dt.datetime) -> Check:
    try:
        return check(at)
    except Exception as failure:  # one part that can't be read must not hide the others
        return _bad(f"This part can't be read ({type(failure).__name__}).")


def _bad(detail: str) -> Check:
    return {"ok": False, "detail": detail}


def _static() -> Check:
    return _bad(why) if (why := statics.why_not_served()) else {"ok": True}


def _unapplied_migrations() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _worker(at: dt.datetime) -> Check:
    """Report the freshest worker: rows of clusters that were taken away stay behind and mean nothing."""
    from requests_app.models import Heartbeat

    return _age(Heartbeat.objects.workers(), at, settings.HEARTBEAT_MAX_AGE_SECONDS)


def _tasks(at: dt.datetime) -> Check:
    """Report the tasks that were given up. A person has to look; taking web servers out of service would not help."""
    from requests_app.models import TaskAttempt

    return {"ok": True, "parked": TaskAttempt.objects.parked().count()}


def _sweep(at: dt.datetime) -> Check:
    from requests_app.models import Heartbeat

    return _age(Heartbeat.objects.filter(name=SWEEP), at, settings.SWEEP_MAX_AGE_SECONDS)


def _log(at: dt.datetime) -> Check:
    """Report logs that are refused, entries that nobody signs, heartbeats that do not come, and a key that is open.

    Each is read from an index that holds only what waits, or from its end.
    """
    from audit_app import keys, log_name
    from audit_app.models import ChainHead, LogAlarm, SignedHead

    most = settings.CHECKPOINT_MAX_AGE_SECONDS
    waiting = ChainHead.objects.filter(unsigned_since__isnull=False)
    age = _seconds_since(waiting.aggregate(oldest=Min("unsigned_since"))["oldest"], at)
    late = waiting.filter(unsigned_since__lt=at - dt.timedelta(seconds=most))[:MOST_COUNTED].count()
    alarms = LogAlarm.objects.all()[:MOST_COUNTED].count()
    # A log that is refused is not dated either, and is counted already.
    dated = SignedHead.objects.filter(dated_at__isnull=False)
    if alarms:
        dated = dated.exclude(pk__in=LogAlarm.objects.values("pk"))
    since_dated = _seconds_since(dated.order_by("dated_at").values_list("dated_at", flat=True).first(), at)
    is_dated = since_dated <= settings.LOG_HEARTBEAT_SECONDS + most
    trouble = log_name.contradiction() or keys.trouble()
    return {
        "ok": not alarms and age <= most and is_dated and not trouble,
        "alarms": alarms,
        "late": late,
        "age_seconds": age,
        "limit_seconds": most,
        "heartbeat_age_seconds": since_dated,
        "heartbeat_limit_seconds": settings.LOG_HEARTBEAT_SECONDS + most,
        **({"detail": f"{trouble[0].upper()}{trouble[1:]}."} if trouble else {}),
    }


def _witnesses(at: dt.datetime) -> Check:
    """Report how many customers' witnesses fail. They are the customers' own: nobody here need wake up for them."""
    from audit_app import witnesses

    return {"ok": True, "failing": witnesses.failing()}


def _seconds_since(when: dt.datetime | None, at: dt.datetime) -> int:
    return 0 if when is None else max(0, int((at - when).total_seconds()))


def _age(beats: QuerySet, at: dt.datetime, most: int) -> Check:
    last = beats.aggregate(last=Max("at"))["last"]
    age = None if last is None else max(0, int((at - last).total_seconds()))
    return {"ok": age is not None and age <= most, "age_seconds": age, "limit_seconds": most}


def _outbox(at: dt.datetime) -> Check:
    """Report how long the oldest message has been due; one that waits for its next attempt is not late."""
    from requests_app.models import OutboxMessage

    # A receiver of webhooks that is away is its owner's trouble.
    waiting = OutboxMessage.objects.filter(state="waiting", webhook=None)
    oldest = waiting.aggregate(oldest=Min("next_attempt_at"))["oldest"]
    age = 0 if oldest is None else max(0, int((at - oldest).total_seconds()))
    most = settings.OUTBOX_MAX_AGE_SECONDS
    return {"ok": age <= most, "age_seconds": age, "limit_seconds": most}
