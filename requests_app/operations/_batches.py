"""Ends many access requests whose time is over: each as a single act would end it, but hundreds in one transaction.

A batch takes only access requests and logs that nobody else has locked, so several sweeps work at the same time. Each
statement is about the whole batch. If nothing else is left, a sweep waits a short time for what is locked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
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
from requests_app.domain.states import State
from requests_app.models import AccessRequest, Grant
from requests_app.operations._change import Move, act, apply_all, begin
from requests_app.platform.database import bounds
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.platform.database.errors import was_locked
from requests_app.platform.halving import halved, halves

logger = structlog.get_logger(__name__)

#: How long a sweep waits for one log, if it finds nothing else to do. Meanwhile it holds only rows of the same tenant.
LOCK_SECONDS = 0.5
#: For how many logs it waits in one batch. All others wait for the next sweep.
MOST_WAITS = 10
#: The columns that the end of an access request needs. Its long texts are not fetched. A column that is missing here
#: would be fetched for each row by itself.
_NEEDED = ("id", "reference", "tenant_id", "state", "decide_by", "is_practice")
#: The columns of a window that its end needs.
_NEEDED_OF_GRANT = ("id", "access_request_id", "closes_at")


@dataclass(frozen=True, kw_only=True)
class Ripe:
    """The access requests that a sweep ends with one act."""

    #: Returns those that are ripe at an instant, with the one that has waited longest first.
    rows: Callable[[datetime], QuerySet[Any]]
    #: Finds one of them, if there is any.
    first: CompiledQuery
    #: Does what is special about this end. `apply_all` does the rest.
    end: Callable[[list[Move]], None]
    has_grant: bool = False

    def claimed(
        self, at: datetime, *, limit: int, keys: Collection[UUID] | None, passed_over: Collection[UUID], waits: bool
    ) -> list[AccessRequest]:
        """Lock at most `limit` of them, and return them: those with these keys, or all but those in `passed_over`."""
        rows: Any = self.rows(at)
        if keys is None and self.has_grant:
            return self._claimed_by_grant(at, limit=limit, passed_over=passed_over)
        rows = rows.exclude(pk__in=passed_over) if keys is None else rows.filter(pk__in=keys)
        if self.has_grant:
            return list(rows.select_related("grant").only(*_NEEDED, "grant").claimed("grant", waits=waits)[:limit])
        return list(rows.only(*_NEEDED).claimed(waits=waits)[:limit])

    def _claimed_by_grant(self, at: datetime, *, limit: int, passed_over: Collection[UUID]) -> list[AccessRequest]:
        """Lock the grants that ended first, and then their access requests. Nothing is waited for.

        With one statement for both tables, PostgreSQL reads and sorts all open windows for each batch, if it expects
        few of them.
        """
        ended: Any = Grant.objects.elapsed(at).exclude(access_request__in=passed_over).order_by("closes_at")
        grants = {grant.access_request_id: grant for grant in ended.only(*_NEEDED_OF_GRANT).claimed()[:limit]}
        which: Any = AccessRequest.objects.filter(pk__in=[*grants])
        # The state is no condition of the statement: with it, PostgreSQL would read all access requests that are open.
        rows = {row.pk: row for row in which.only(*_NEEDED).claimed() if row.state == State.OPEN}
        found = [rows[key] for key in grants if key in rows]
        for row in found:
            # As `row.grant = …` does, without Django's checks.
            row._state.fields_cache["grant"] = grants[row.pk]
        return found


@dataclass
class _Batch:
    """How many access requests were ended, and those of tenants whose log somebody else has locked."""

    done: int = 0
    busy: dict[UUID, list[UUID]] = field(default_factory=dict)


def swept(declared: Act, ripe: Ripe, *, actor: Actor, limit: int, passed_over: set[UUID] | None) -> int:
    """End a batch in one transaction, and return how many access requests were ended.

    If that fails, try each half, until the row that fails is alone. Without this, one row that can't be ended would
    roll back its whole batch again every minute. Each access request that fails is added to `passed_over`, so that the
    caller's next batch leaves it out. If somebody holds the lock of a row or of a tenant's log, those access requests
    wait for the next batch, or for the next sweep.
    """
    passed_over = set() if passed_over is None else passed_over
    at = clock.now()
    if actor.is_system and not ripe.first(at=at):
        # Nearly every sweep ends here, and needs no transaction.
        return 0
    sweep = _Sweep(declared, ripe, actor, limit, at, passed_over)
    with bounds.within(replace(bounds.current(), lock_on_server=LOCK_SECONDS)):
        return sweep.run()


@dataclass(frozen=True)
class _Sweep:
    declared: Act
    ripe: Ripe
    actor: Actor
    limit: int
    at: datetime
    passed_over: set[UUID]

    def run(self) -> int:
        try:
            batch = self._end()
        except Exception as failure:
            _require_store(failure)
            logger.error("sweep.batch_failed", error=_kind(failure))
            return self._apart(self._keys())
        if batch.done:
            # What was busy comes with the next batch.
            return batch.done
        return self._wait_for(batch.busy or self._held())

    def _end(self, keys: Collection[UUID] | None = None, *, waits: bool = False) -> _Batch:
        """End a batch: those with these keys, or without keys those that have waited longest."""
        batch = _Batch()
        with act(self.declared, actor=self.actor) as current:
            rows = self.ripe.claimed(self.at, limit=self.limit, keys=keys, passed_over=self.passed_over, waits=waits)
            if not rows:
                return batch
            tenants = {row.tenant_id for row in rows}
            if waits:
                recorder.lock(*tenants)
            heads, now = recorder.claim(tenants)
            now = current.at = clock.now() if now is None else clock.brought(now)
            steps = []
            for row in rows:
                head = heads.get(row.tenant_id)
                if head is None:
                    batch.busy.setdefault(row.tenant_id, []).append(row.pk)
                    continue
                grant = row.grant if self.ripe.has_grant else None
                # If the clock was set back, the log's time does not go back.
                at = now if head.last_at is None else max(now, head.last_at)
                steps.append(begin(self.actor, row, grant, self.declared, at))
            self.ripe.end(steps)
            apply_all(steps, heads=heads)
        batch.done = len(steps)
        return batch

    def _held(self) -> dict[UUID, list[UUID]]:
        """Return those access requests, of the ones that have waited longest, whose rows somebody else has locked.

        Without this, an engineer could keep a window from being closed: each attempt to open content locks its row.
        """
        found: dict[UUID, list[UUID]] = {}
        for tenant_id, pk in self._left().values_list("tenant_id", "pk")[:MOST_WAITS]:
            found.setdefault(tenant_id, []).append(pk)
        return found

    def _keys(self) -> list[UUID]:
        return list(self._left().values_list("pk", flat=True)[: self.limit])

    def _left(self) -> QuerySet[Any]:
        return self.ripe.rows(self.at).exclude(pk__in=self.passed_over)

    def _apart(self, keys: list[UUID]) -> int:
        """End each half of these access requests by itself. Pass over a single one that fails."""
        return sum(
            done
            for half in halves(keys)
            for done in halved(half, lambda some: self._end(some).done, failed=self._given_up, is_final=_is_of_store)
        )

    def _given_up(self, failure: Exception, keys: list[UUID]) -> int:
        _require_store(failure)
        self._pass_over(keys, failure)
        return 0

    def _wait_for(self, busy: dict[UUID, list[UUID]]) -> int:
        """Wait a short time for each of these logs, and for the rows, because there is nothing else to do.

        Without this, what is nearly always locked would never be free when a sweep looks.
        """
        done = 0
        for number, (_tenant_id, keys) in enumerate(sorted(busy.items())):
            if number >= MOST_WAITS:
                self.passed_over.update(keys)
                continue
            try:
                done += self._end(keys, waits=True).done
            except Exception as failure:
                _require_store(failure)
                if _is_held(failure):
                    self._pass_over(keys, failure)
                else:
                    done += self._apart(keys)
        return done

    def _pass_over(self, keys: Iterable[UUID], failure: Exception) -> None:
        for key in keys:
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
