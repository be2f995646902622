"""Starts checks of a whole log when people request them. Workers do the checks in small steps.

A tenant has at most one check at a time. A check changes nothing except its own progress, so the log has no entry about
a check or about the request for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from audit_app import queries
from audit_app.models import LogCheck
from audit_app.verify import Verification
from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import WrongState
from requests_app.models import Tenant
from requests_app.platform import bell, outcome

logger = structlog.get_logger(__name__)

#: The number of entries that are checked before the clock is read again.
STEP = 1000
#: The progress is saved about this often, in seconds.
KEEP_EVERY = 0.5
#: After this many seconds, a check pauses so that other checks can continue. It continues when it is its turn again.
SLICE = 5.0
#: If nothing was saved for this long, the worker of the check has probably been killed.
LEASE = timedelta(seconds=60)
#: The shortest time before a finished check can be repeated. If the check took longer, it is that time, so that checks
#: of one tenant never use more than half of a worker.
REST = timedelta(seconds=30)
#: The most attempts in a row without progress. After that, the check is given up.
MOST_TRIES = 5
#: The flaw that is shown for a check that was given up. It has no entry, because nothing is known about the log.
GIVEN_UP = "given up"
#: The number of finished checks that are stored for each tenant.
VERDICTS_STORED = 20


def ask_for_check(tenant_id: object, *, actor: Actor) -> tuple[LogCheck, bool]:
    """Start a check of the whole log as it is now. Return the check, and whether it is new.

    If a check is still running, or ended so recently that a new one is not allowed yet, return that check.
    """
    try:
        with transaction.atomic(durable=True):
            # The lock on the tenant's row makes sure that two clicks start only one check.
            tenant = Tenant.objects.visible_to(actor).locked().find(tenant_id)
            policy.require_role(actor, policy.LOG_READERS | {Role.STAFF}, tenant_id=tenant.pk)
            at, checks = clock.now(), LogCheck.objects.filter(tenant_id=tenant.pk).order_by("-asked_at")
            last = checks.first()
            if last is not None and (last.ended_at is None or at < rests_until(last)):
                return last, False
            size = queries.size(tenant.pk)
            if not size:
                raise WrongState(_("The log is empty."))
            check = LogCheck.objects.create(tenant_id=tenant.pk, asked_by=actor.person_id, asked_at=at, size=size)
            LogCheck.objects.filter(pk__in=list(checks.values_list("pk", flat=True)[VERDICTS_STORED:])).delete()
            bell.ring(bell.CHECK_LOGS)
    except (DatabaseError, InterfaceError) as error:
        raise outcome.failed(error, "log", str(tenant_id), has_begun=True) from error
    return check, True


def rests_until(check: LogCheck) -> datetime:
    """Return the time from which a new check may be requested. `check` must have ended."""
    assert check.ended_at is not None
    return check.ended_at + max(REST, check.ended_at - check.asked_at)


def work_off_check() -> int:
    """Work for some seconds on the check that has waited longest. Return 0 if no check waits.

    The instant in the row (`worked_at`) is the lease of the worker that works on the check. If a worker continues after
    its lease has ended, it finds another instant in the row, and leaves the check to the worker that has it now.
    """
    check = _claim()
    if check is None:
        return 0
    found = Verification.resume(check.tenant_id, check.kept) if "seq" in check.kept else _begin(check)
    try:
        return _work_on(check, found)
    finally:
        found.close()


def _work_on(check: LogCheck, found: Verification) -> int:
    until = clock.monotonic() + SLICE
    while not found.has_ended and clock.monotonic() < until:
        keep_at = min(until, clock.monotonic() + KEEP_EVERY)
        found.advance(STEP)
        while not found.has_ended and clock.monotonic() < keep_at:
            found.advance(STEP)
        if not _keep(check, found):
            return 1
    _end(check, found) if found.has_ended else _let_go(check)
    return 1


def _claim() -> LogCheck | None:
    at = clock.now()
    free = LogCheck.objects.filter(Q(worked_at=None) | Q(worked_at__lte=at - LEASE), ended_at=None)
    # The check that was worked on last comes last, so that a log with ten million entries does not delay short ones.
    for check in free.order_by(F("worked_at").asc(nulls_first=True), "asked_at")[:10]:
        saved = {**check.kept, "tries": check.kept.get("tries", 0) + 1}
        if not _held(check).update(worked_at=at, kept=saved):
            continue
        check.worked_at, check.kept = at, saved
        if saved["tries"] <= MOST_TRIES:
            return check
        logger.error("log_check_given_up", tenant=str(check.tenant_id), check=str(check.pk))
        _held(check).update(ended_at=at, flaw=GIVEN_UP)
    return None


def _begin(check: LogCheck) -> Verification:
    found = Verification.begin(check.tenant_id)
    # The start is part of the result, because entries that were pruned before can't be checked.
    check.kept["start"] = found.seq
    _held(check).update(size=found.size, kept=check.kept)
    return found


def _keep(check: LogCheck, found: Verification) -> bool:
    """Save the progress and renew the lease. Return False if another worker has the check now."""
    at, saved = clock.now(), {"start": check.kept["start"], **found.saved()}
    if not _held(check).update(done=found.seq, kept=saved, worked_at=at):
        return False
    check.worked_at, check.kept = at, saved
    return True


def _let_go(check: LogCheck) -> None:
    """End the lease early, so that any worker can continue this check after the checks that have waited longer."""
    assert check.worked_at is not None
    _held(check).update(worked_at=check.worked_at - LEASE)
    check.worked_at -= LEASE


def _end(check: LogCheck, found: Verification) -> None:
    flaw, at = found.flaw, clock.now()
    verdict = {"flaw_seq": flaw.seq, "flaw": flaw.why[:200]} if flaw else {}
    if _held(check).update(ended_at=at, done=found.seq, **verdict) and flaw:
        logger.error("log_check_flaw", tenant=str(check.tenant_id), seq=flaw.seq, why=flaw.why)


def _held(check: LogCheck) -> QuerySet[LogCheck]:
    """Return the row of the check, as a queryset. It is empty if another worker has changed the row."""
    return LogCheck.objects.filter(pk=check.pk, ended_at=None, worked_at=check.worked_at)
