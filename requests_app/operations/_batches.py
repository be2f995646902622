"""Ends many access requests whose time is over: each as a single act would end it, but hundreds in one transaction.

A sweep first reads which access requests are due. Then each batch ends those of some tenants. It takes only logs and
access requests that nobody else has locked, so several sweeps work at the same time. Each statement is about the whole
batch. If nothing else is left, a sweep waits a short time for what is locked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from audit_app import recorder
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Act
from requests_app.domain.states import PENDING, State
from requests_app.models import AccessRequest
from requests_app.operations._change import Move, act, apply_all, begin
from requests_app.operations._locked_rows import Due, claimed
from requests_app.platform.database import bounds
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.platform.database.errors import was_locked
from requests_app.platform.halving import halved, halves

logger = structlog.get_logger(__name__)

#: How long a sweep waits for one log, if it finds nothing else to do. Meanwhile it holds only rows of the same tenant.
LOCK_SECONDS = 0.5
#: For how many logs it waits in one batch. All others wait for the next sweep.
MOST_WAITS = 10
#: For how many access requests a sweep plans its batches.
PLANNED = 10_000


@dataclass
class Plan:
    """Which access requests a sweep still has to end, with all those of one tenant beside each other.

    The tenant of the one that has waited longest comes first. A batch of few tenants changes fewer pages of the indexes
    that begin with the tenant, and the head of each log only once. Others who write to a log wait for one batch, and
    not for each. Two sweeps rarely want the same logs.
    """

    waiting: deque[list[Due]] = field(default_factory=deque)
    #: Whether there may be more that are due than the plan has.
    is_cut: bool = False
    #: The tenants that this sweep leaves for the next one: somebody else held their log for as long as it waited, or it
    #: has already waited for `MOST_WAITS` others.
    held: set[UUID] = field(default_factory=set)

    def fill(self, due: Iterable[Due]) -> None:
        of_tenants: dict[UUID, list[Due]] = {}
        for each in due:
            of_tenants.setdefault(each[0], []).append(each)
        self.waiting.extend(of_tenants.values())
        self.is_cut = sum(map(len, of_tenants.values())) >= PLANNED

    def take(self, limit: int, *, but: Collection[UUID], busy: Collection[UUID] = ()) -> list[Due]:
        """Remove at most `limit` of them, and return them without those in `but`, and without the tenants in `busy`.

        A tenant that fits into a batch is not cut. Otherwise two sweeps would want its log at the same time.
        """
        found: list[Due] = []
        while self.waiting and len(found) < limit:
            of_tenant = [each for each in self.waiting.popleft() if each[1] not in but and each[0] not in busy]
            if found and len(of_tenant) > limit - len(found):
                self.waiting.appendleft(of_tenant)
                break
            found += of_tenant[:limit]
            if of_tenant[limit:]:
                self.waiting.appendleft(of_tenant[limit:])
        return found


@dataclass(frozen=True, kw_only=True)
class Ripe:
    """The access requests that a sweep ends with one act."""

    #: Returns those that are ripe at an instant, with the one that has waited longest first.
    rows: Callable[[datetime], QuerySet[Any]]
    #: Finds the first PLANNED of them, each with its tenant.
    due: CompiledQuery
    #: Does what is special about this end. `apply_all` does the rest.
    end: Callable[[list[Move]], None]
    has_grant: bool = False

    def claimed(self, at: datetime, due: Sequence[Due], *, waits: bool) -> list[AccessRequest]:
        """Lock those of these access requests that are still ripe, and return them in this order."""
        rows = claimed(due, has_grant=self.has_grant, waits=waits)
        return [row for row in rows if self._is_ripe(row, at)]

    def _is_ripe(self, row: AccessRequest, at: datetime) -> bool:
        if self.has_grant:
            return row.state == State.OPEN and row.grant.closed_at is None and row.grant.closes_at <= at
        return row.state in PENDING and row.decide_by <= at


@dataclass
class _Batch:
    """How many access requests were ended, and those of tenants whose log somebody else has locked."""

    done: int = 0
    busy: dict[UUID, list[Due]] = field(default_factory=dict)


def swept(
    declared: Act, ripe: Ripe, *, actor: Actor, limit: int, passed_over: set[UUID] | None, plan: Plan | None
) -> int:
    """End a batch in one transaction, and return how many access requests were ended.

    If that fails, try each half, until the row that fails is alone. Without this, one row that can't be ended would
    roll back its whole batch again every minute. Each access request that fails is added to `passed_over`, so that the
    caller's next batch leaves it out. If somebody holds the lock of a row or of a tenant's log, those access requests
    wait for the next batch, or for the next sweep. With `plan`, the next batch continues where this one ends.
    """
    passed_over = set() if passed_over is None else passed_over
    sweep = _Sweep(declared, ripe, actor, limit, clock.now(), passed_over, Plan() if plan is None else plan)
    is_new = not sweep.plan.waiting
    if is_new:
        sweep.fill()
    if actor.is_system and not sweep.plan.waiting:
        # Nearly every sweep ends here, and needs no transaction.
        return 0
    with bounds.within(replace(bounds.current(), lock_on_server=LOCK_SECONDS)):
        return sweep.run(is_new=is_new)


@dataclass(frozen=True)
class _Sweep:
    declared: Act
    ripe: Ripe
    actor: Actor
    limit: int
    at: datetime
    passed_over: set[UUID]
    plan: Plan

    def fill(self, busy: Collection[UUID] = ()) -> None:
        """Plan the batches for what is due now, without the tenants in `busy`."""
        if self.passed_over or self.plan.held or busy:
            left: Any = self._left().exclude(tenant__in=[*busy]).values_list("tenant_id", "pk")[:PLANNED]
            self.plan.fill(left)
        else:
            self.plan.fill(self.ripe.due(at=self.at))

    def run(self, *, is_new: bool) -> int:
        """End the next batch of the plan, or of a new plan if other sweeps have ended the rest of it.

        A busy log is asked for once. If its tenant has filled the whole plan, the next one has the other tenants.
        """
        busy: dict[UUID, list[Due]] = {}
        left_out: Collection[UUID] = ()
        while True:
            due = self.plan.take(self.limit, but=self.passed_over, busy=busy)
            if not due and not is_new:
                busy, is_new = {}, True
                self.fill()
                continue
            if not due and self.plan.is_cut and len(busy) > len(left_out):
                left_out = tuple(busy)
                self.fill(left_out)
                continue
            try:
                batch = self._end(due)
            except Exception as failure:
                _require_store(failure)
                logger.error("sweep.batch_failed", error=_kind(failure))
                return self._apart(due)
            if batch.done:
                # What was busy comes with the next plan.
                return batch.done
            # Of one tenant, those that have waited longest came first.
            busy = batch.busy | busy
            if not due and is_new:
                return self._wait_for(busy or self._held(), is_log=bool(busy))

    def _end(self, due: list[Due], *, waits: bool = False) -> _Batch:
        """End those of these access requests that are still due, and that nobody else has locked.

        The logs are locked before the rows, unless it waits: nothing that is busy is waited for, so nobody who locks in
        another order can wait for this in a circle. Rows of busy logs are then not locked at all.
        """
        batch = _Batch()
        with act(self.declared, actor=self.actor) as current:
            rows = self.ripe.claimed(self.at, due, waits=True) if waits else []
            tenants = {tenant_id for tenant_id, _pk in due}
            if waits:
                recorder.lock(*tenants)
            heads, now = recorder.claim(tenants)
            for each in due:
                if each[0] not in heads:
                    batch.busy.setdefault(each[0], []).append(each)
            if not waits:
                free = [each for each in due if each[0] in heads]
                rows = self.ripe.claimed(self.at, free, waits=False) if free else []
            now = current.at = clock.now() if now is None else clock.brought(now)
            steps = []
            for row in rows:
                head, grant = heads[row.tenant_id], row.grant if self.ripe.has_grant else None
                # If the clock was set back, the log's time does not go back.
                at = now if head.last_at is None else max(now, head.last_at)
                steps.append(begin(self.actor, row, grant, self.declared, at))
            self.ripe.end(steps)
            apply_all(steps, heads=heads)
        batch.done = len(steps)
        return batch

    def _held(self) -> dict[UUID, list[Due]]:
        """Return those access requests, of the ones that have waited longest, whose rows somebody else has locked.

        Without this, an engineer could keep a window from being closed: each attempt to open content locks its row.
        """
        found: dict[UUID, list[Due]] = {}
        for each in self._left().values_list("tenant_id", "pk")[:MOST_WAITS]:
            found.setdefault(each[0], []).append(each)
        return found

    def _left(self) -> QuerySet[Any]:
        return self.ripe.rows(self.at).exclude(pk__in=self.passed_over).exclude(tenant__in=self.plan.held)

    def _apart(self, due: list[Due]) -> int:
        """End each half of these access requests by itself. Pass over a single one that fails."""
        return sum(
            done
            for half in halves(due)
            for done in halved(half, lambda some: self._end(some).done, failed=self._given_up, is_final=_is_of_store)
        )

    def _given_up(self, failure: Exception, due: list[Due]) -> int:
        _require_store(failure)
        self._pass_over(due, failure)
        return 0

    def _wait_for(self, busy: dict[UUID, list[Due]], *, is_log: bool) -> int:
        """Wait a short time for the log of each of these tenants, or for the rows, because there is nothing else to do.

        Without this, a sweep would never end what is nearly always locked. It waits for a log once, however many rows
        its tenant has. Each sweep begins at another place, which the time gives: if many logs stay locked, all of them
        have their turn.
        """
        done, in_order = 0, sorted(busy.items())
        first = int(self.at.timestamp() * 1_000) % max(len(in_order), 1)
        for number, (tenant_id, due) in enumerate(in_order[first:] + in_order[:first]):
            if number >= MOST_WAITS:
                self._leave(tenant_id)
                continue
            try:
                done += self._end(due, waits=True).done
            except Exception as failure:
                _require_store(failure)
                if not _is_held(failure):
                    done += self._apart(due)
                elif is_log:
                    self._leave(tenant_id)
                else:
                    self._pass_over(due, failure)
        return done

    def _leave(self, tenant_id: UUID) -> None:
        """Leave what is due of this tenant for the next sweep."""
        logger.info("sweep.held", tenant=str(tenant_id))
        self.plan.held.add(tenant_id)

    def _pass_over(self, due: Iterable[Due], failure: Exception) -> None:
        for _tenant, key in due:
            self.passed_over.add(key)
            if _is_held(failure):
                # Probably another sweep ends it now. It is no fault of the row.
                logger.info("sweep.held", access_request=str(key))
            else:
                logger.error("sweep.passed_over", access_request=str(key), error=_kind(failure))


def _require_store(failure: Exception) -> None:
    """Raise the error again if it comes from the database itself, because then every row would fail."""
    if _is_of_store(failure):
        raise failure


def _is_of_store(failure: Exception) -> bool:
    return isinstance(failure.__cause__, OperationalError | InterfaceError) and not _is_held(failure)


def _is_held(failure: Exception) -> bool:
    """Return whether the error only means that a lock was not granted in time.

    In that case the database works, and the access requests of other tenants can still be ended.
    """
    return was_locked(failure.__cause__)


def _kind(failure: Exception) -> str:
    """Return the type of the error. Its message is not used, because it may contain text that a person wrote."""
    return type(failure.__cause__ or failure).__name__
