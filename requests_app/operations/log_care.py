"""Takes care of logs: closes a damaged log, restores its stored head, and removes old entries."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _

from audit_app import checkpoints, closing_shards, heads, heads_place, log_events, pruning, unwitnessed
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, ChainHead, LogAlarm
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.log import (
    ADOPT_LOG_HEAD,
    LOG_HEAD_ADOPTED,
    LOG_POLICY_CHANGED,
    LOG_PRUNED,
    LOG_TOMBSTONED,
    PRUNE_LOG,
    SET_LOG_RETENTION,
    TOMBSTONE,
)
from requests_app.domain.errors import DomainError, NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.domain.ids import as_id
from requests_app.domain.states import PENDING, State
from requests_app.models import AccessRequest, Tenant
from requests_app.operations._change import PROVIDER_LOG, Step, act
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled

logger = structlog.get_logger(__name__)

#: The number of entries that are deleted in one transaction.
REMOVED_AT_ONCE = 2000


# --- Recovery ------------------------------------------------------------------------------------------------


def tombstone(log_id: object, *, comment: str, actor: Actor) -> UUID:
    """Close a log that can't be signed any more, and open its next shard with an entry about this.

    Nothing is deleted. The faults stay visible, and everything that was signed before can still be proven.
    """

    def state(current: Step) -> None:
        if not LogAlarm.objects.filter(pk=current.row.pk).exists():
            raise WrongState(_("Nothing is wrong with this log."))

    with perform(TOMBSTONE, log_id, actor=actor, inputs={"comment": comment}, find=_log, state=state) as current:
        head, comment = current.row, current.inputs["comment"]
        detail = closing_shards.close_shard(head.pk, at=current.at)
        current.witness(LOG_TOMBSTONED, detail={**detail, "comment": comment}, text=comment)
    pk: UUID = head.pk
    return pk


def adopt_log_head(log_id: object, *, comment: str, actor: Actor) -> checkpoints.Head:
    """Store the database's newest checkpoint outside the database again, after the file of heads was lost.

    The log's entry names the person who guarantees that the checkpoint is right. Only the operator of the
    machine that signs can do this, because only that machine has such a file.
    """

    def state(current: Step) -> None:
        head = current.row
        if head.pk in unwitnessed.logs():
            # After a restore, the head is stored already. The operator confirms that nothing newer was signed.
            return
        stored, latest = heads.get(checkpoints.origin_of(head.pk, head.shard)), checkpoints.newest(head.pk, head.shard)
        is_stored = stored and latest and (stored.head.size, stored.head.root) == (latest.size, bytes(latest.root))
        if is_stored and not heads_place.difference():
            raise WrongState(_("The newest checkpoint is already stored outside the database."))

    with perform(ADOPT_LOG_HEAD, log_id, actor=actor, inputs={"comment": comment}, find=_log, state=state) as current:
        head, comment = current.row, current.inputs["comment"]
        try:
            adopted = checkpoints.adopt(head.pk)
        except Refusal as refusal:
            raise WrongState(_why_not(refusal)) from refusal
        is_restored = unwitnessed.end(head.pk)
        detail = {
            "origin": adopted.origin,
            "size": adopted.size,
            "root": base64.b64encode(adopted.root).decode(),
            "comment": comment,
            **({"cause": unwitnessed.CODE} if is_restored else {}),
        }
        current.witness(LOG_HEAD_ADOPTED, detail=detail, text=comment)
    return adopted


def _why_not(refusal: Refusal) -> str:
    if refusal.code == "missing":
        return _("This log has no checkpoint yet, so there is nothing to store.")
    if refusal.code == "shorter":
        words = _(
            "The file outside the database shows a longer log: %(signed)d entries were signed, but the newest "
            "checkpoint in the database has %(found)d entries. Restore a newer backup, or close this log with a "
            "tombstone."
        )
        return words % refusal.detail
    return _("The hashes in the database do not match the newest checkpoint. Close this log with a tombstone.")


def _log(current: Step, log_id: object) -> ChainHead:
    """Take the turn at a tenant's log, or at the provider's log, and return its head."""
    if str(log_id) == str(PROVIDER_LOG):
        if not (current.actor.is_system or current.actor.is_staff):
            raise NotFound
        pk = PROVIDER_LOG
    elif current.actor.is_system and (refused := as_id(log_id)) and LogAlarm.objects.filter(pk=refused).exists():
        # After a restore of the database, the tenant may be missing. The alarm about its log is still there.
        pk = refused
    else:
        pk = Tenant.objects.visible_to(current.actor).find(log_id).pk
    current.concerns("log", ChainHead(pk=pk), pk)
    return ChainHead.objects.get(pk=pk)


# --- Retention ------------------------------------------------------------------------------------------------


def set_log_retention(tenant_id: object, *, days: int | None, actor: Actor) -> Tenant:
    """Set for how many days the entries of the tenant's log are stored. Without a number, they are stored permanently.

    Entries that are older are removed within hours.
    """

    def state(current: Step) -> None:
        if days == current.row.log_retention_days:
            raise Unacceptable(_("The tenant already has this rule."), field="days")

    terms = {"days": days}
    with perform(
        SET_LOG_RETENTION, tenant_id, actor=actor, inputs=terms, state=state, holds=lambda current: terms
    ) as current:
        tenant: Tenant = current.row
        _set_retention(current, tenant, terms)
    return tenant


@controlled(SET_LOG_RETENTION)
def _set_retention(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    before, tenant.log_retention_days = tenant.log_retention_days, terms["days"]
    tenant.save(update_fields=["log_retention_days"])
    detail = {"log_retention_days": terms["days"], "log_retention_days_before": before}
    current.witness(LOG_POLICY_CHANGED, detail=detail)


def allow_pruning(tenant_id: object, *, actor: Actor) -> int:
    """Allow the removal of entries that are older than the tenant's rule says, and record this. Return their number.

    In a damaged log, all entries stay. Entries of access requests that have not ended stay too.
    """
    if not actor.is_system:
        raise NotAllowed
    wanted = _plan(Tenant.objects.visible_to(actor).find(tenant_id))
    if wanted is None:
        return 0
    # Before the turn at the log is taken, because this reads every entry that will be removed.
    pruning.require_hashes(wanted)
    with act(PRUNE_LOG, actor=actor) as current:
        tenant: Tenant = Tenant.objects.visible_to(current.actor).locked().find(tenant_id)
        current.concerns("log", tenant, tenant.pk)
        still = _plan(tenant)
        if still is None or still.end < wanted.end or not pruning.allow(wanted):
            return 0
        detail = {**wanted.entry_detail, "days": tenant.log_retention_days}
        current.witness(LOG_PRUNED, detail=detail)
    return wanted.end - wanted.start


def prune(*, actor: Actor, is_over: Callable[[], bool]) -> int:
    """Remove old entries as the tenants' rules say, log by log, until `is_over` says that the time is over.

    Return how many entries were removed.
    """
    done = 0
    for tenant_id in pruning.unfinished():
        done += _remove(tenant_id, is_over)
    for tenant_id in _due(clock.now()):
        try:
            while not is_over() and allow_pruning(tenant_id, actor=actor):
                done += _remove(tenant_id, is_over)
        except Refusal as refusal:
            logger.error("log_pruning_refused", tenant=str(tenant_id), code=refusal.code)
        except DomainError as refusal:
            logger.warning("log_pruning_failed", tenant=str(tenant_id), code=refusal.code)
        if is_over():
            break
    return done


def _remove(tenant_id: UUID, is_over: Callable[[], bool]) -> int:
    done = 0
    while not is_over():
        with transaction.atomic(durable=True):
            gone = pruning.remove(tenant_id, limit=REMOVED_AT_ONCE)
        if not gone:
            break
        done += gone
    return done


def _plan(tenant: Tenant) -> pruning.Plan | None:
    if tenant.log_retention_days is None or LogAlarm.objects.filter(pk=tenant.pk).exists():
        return None
    live = AccessRequest.objects.filter(tenant=tenant, state__in=[*PENDING, State.OPEN]).values_list("pk", flat=True)
    return pruning.plan(tenant.pk, before=_cutoff(clock.now(), tenant.log_retention_days), keep=list(live))


def _cutoff(at: datetime, days: int) -> datetime:
    """Return the instant before which entries are too old. It is the beginning of a day in UTC.

    So a log with many entries each day is pruned only once a day, with one entry about it.
    """
    return at.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)


def _due(at: datetime) -> list[UUID]:
    """Return the tenants whose logs have entries to remove.

    A log whose only old entries are about the log itself is left out.
    """
    found: list[UUID] = []
    stored = Tenant.objects.filter(log_retention_days__isnull=False)
    for days in stored.order_by().values_list("log_retention_days", flat=True).distinct():
        # The first of the others is the oldest one (audit_app/periods.py).
        others = AuditEntry.objects.exclude(event__in=[LOG_PRUNED, *log_events.RETAINED])
        oldest = Subquery(others.filter(tenant_id=OuterRef("pk")).order_by("seq").values("at")[:1])
        due = stored.filter(log_retention_days=days).alias(oldest=oldest).filter(oldest__lt=_cutoff(at, days))
        found += due.order_by("pk").values_list("pk", flat=True)
    return found
