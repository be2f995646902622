"""Signs the logs that have grown, and renews the date of the logs that have not, in one round."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Q, QuerySet

from audit_app import checkpoints, heads, heads_place, keys, lease, log_name, other_host, redating
from audit_app.checkpoints import Refusal
from audit_app.keys import Keys
from audit_app.models import ChainHead, LogAlarm, SignedHead
from audit_app.stored_heads import HeadsUnavailable, NoAnswer

logger = structlog.get_logger(__name__)

#: A log with an alarm is checked again only after this time.
RETRY_AFTER = dt.timedelta(seconds=60)
#: The codes of alarms that can be caused by one host alone.
OF_ONE_HOST = ("outside_behind", "outside_unreadable")
#: For this time after an entry, a host that can't sign passes the task on. Later, the beat's next task is soon enough.
PASSED_ON_FOR = dt.timedelta(seconds=30)


@dataclass(frozen=True)
class Work:
    """What one round did. `failed` has the logs that could not be read or written. The next round tries them again."""

    signed: int = 0
    dated: int = 0
    refused: list[tuple[UUID, str]] = field(default_factory=list)
    failed: list[UUID] = field(default_factory=list)


def work(now: Callable[[], dt.datetime], *, limit: int, is_over: Callable[[], bool] = lambda: False) -> Work:
    """Sign at most `limit` logs that have new entries. Then give at most `limit` old checkpoints a new time.

    A checkpoint is old after an hour; it is signed again. Raise NoKey if this machine has no key (another
    machine signs), WrongName if LOG_ORIGIN differs from the signed name, and HeadsUnavailable if no head can be
    stored. A log that is refused, or that can't be read or written, does not delay the others. If another
    process of this machine, or another host, is signing, nothing is done.
    """
    have = keys.load()
    log_name.require()
    with heads.turn() as is_ours:
        if not is_ours:
            return Work()
        heads.require_usable()
        other_host.require(have, now())
        if not (_grown(now(), 1) or _undated(now(), 1)):
            return Work()
        with lease.taken(now) as held:
            if held is None:
                return Work()
            heads_place.claim()
            return _sign_all(now, have, limit, lambda: is_over() or not held.is_held())


def unsigned(*, alarmed_since: dt.datetime) -> QuerySet[ChainHead]:
    """Return the logs with entries that wait for their signature, except those with an alarm since that time.

    The alarms of other hosts alone do not count here, so the query depends on `lease.host()`.
    """
    return ChainHead.objects.filter(unsigned_since__isnull=False).exclude(pk__in=_alarmed(alarmed_since))


def is_for_another_host(at: dt.datetime) -> bool:
    """Return whether entries have begun to wait just now, and another host than this one has signed last.

    All hosts take their tasks from one queue. So a task to sign can reach a host that can't sign.
    """
    last = lease.current()
    if last is None or last.host == lease.host():
        return False
    return (
        ChainHead.objects.filter(unsigned_since__gt=at - PASSED_ON_FOR)
        .exclude(pk__in=_alarmed(at - RETRY_AFTER))
        .exists()
    )


def _sign_all(now: Callable[[], dt.datetime], have: Keys, limit: int, is_over: Callable[[], bool]) -> Work:
    done = Work()
    for tenant_id in _grown(now(), limit):
        if is_over():
            return done
        done = _count(done, tenant_id, now, have, is_new=True)
    return _date_all(done, now, have, limit, is_over)


def _date_all(done: Work, now: Callable[[], dt.datetime], have: Keys, limit: int, is_over: Callable[[], bool]) -> Work:
    for some in redating.batches(_undated(now(), limit), at=now()):
        if is_over():
            return done
        try:
            dated = redating.date(some, at=now(), have=have)
        except (DatabaseError, HeadsUnavailable) as error:
            if isinstance(error, HeadsUnavailable):
                heads_place.require_reachable()
            # Afterwards they are dated one by one, so that a failure shows which log's rows or head caused it.
            dated = set()
        done = replace(done, dated=done.dated + len(dated))
        for tenant_id in some:
            if tenant_id not in dated and not is_over():
                done = _count(done, tenant_id, now, have, is_new=False)
    return done


def _count(done: Work, tenant_id: UUID, now: Callable[[], dt.datetime], have: Keys, *, is_new: bool) -> Work:
    try:
        found = checkpoints.sign(tenant_id, at=now(), have=have)
    except Refusal as refusal:
        done.refused.append((tenant_id, refusal.code))
        return done
    except (DatabaseError, NoAnswer) as error:
        logger.error("log_signing_failed", tenant=str(tenant_id), error=f"{type(error).__name__}: {error}")
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        done.failed.append(tenant_id)
        return done
    if found is None:
        return done
    return replace(done, signed=done.signed + is_new, dated=done.dated + (not is_new))


def _grown(at: dt.datetime, limit: int) -> list[UUID]:
    rows = unsigned(alarmed_since=at - RETRY_AFTER)
    return list(rows.order_by("unsigned_since").values_list("pk", flat=True)[:limit])


def _undated(at: dt.datetime, limit: int) -> list[SignedHead]:
    latest = at - dt.timedelta(seconds=settings.LOG_HEARTBEAT_SECONDS)
    rows = SignedHead.objects.filter(dated_at__lte=latest).exclude(pk__in=_alarmed(at - RETRY_AFTER))
    return list(rows.order_by("dated_at")[:limit])


def _alarmed(since: dt.datetime) -> QuerySet[LogAlarm, UUID]:
    """Return the logs that this host leaves alone for now. It is a part of other queries.

    If another host could not use the heads, this one tries at once: the cause may be the other host's mount or rights.
    """
    of_this_host = Q(detail__host__isnull=True) | Q(detail__host=None) | Q(detail__host=lease.host())
    rows = LogAlarm.objects.filter(~Q(code__in=OF_ONE_HOST) | of_this_host, last_at__gt=since)
    return rows.values_list("pk", flat=True)
