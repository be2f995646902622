"""Tests whether resources can be reached, and stores the results. A test reads no content.

A store may hang. So no test runs inside a transaction or under a lock: the result is stored in a transaction of its
own, and only if the resource is still as it was when it was tested.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.content import checking
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.installation import CHECK_RESOURCE, NOTE_CHECKS, RESOURCE_CHECKED
from requests_app.domain.errors import TooMany, WrongState
from requests_app.models import Resource
from requests_app.operations._change import Step, act
from requests_app.operations._perform import perform
from requests_app.platform import patience, turns

logger = structlog.get_logger(__name__)

#: How many resources are read and stored together.
BATCH = 100
#: The hour (UTC) of the nightly test.
NIGHT_HOUR = 2
#: A resource that can't be reached is tested again after this time, so that nobody is warned for a whole day too long.
RETRY_AFTER = dt.timedelta(hours=1)


def check_resource(resource_id: object, *, actor: Actor) -> Resource:
    """Test a resource now, record the result in the tenant's log, and return the resource.

    The first transaction only judges the actor. The test follows it, and the second transaction stores the result.
    """
    with perform(
        CHECK_RESOURCE, resource_id, actor=actor.sending(None), find=_resource, state=_require_testable
    ) as asked:
        tested: Resource = asked.row
    problem = _asked_for(tested)

    def state(current: Step) -> None:
        _require_testable(current)
        if not _is_same(current.row, tested):
            raise WrongState(_("The resource was changed during the test. Test it again."))

    with perform(CHECK_RESOURCE, resource_id, actor=actor, find=_resource, state=state) as current:
        resource: Resource = current.row
        _store(resource, problem, at=current.at)
        current.witness(RESOURCE_CHECKED, **_entry_of(resource))
    return resource


def _asked_for(resource: Resource) -> str:
    """Test a resource. Raise TooMany if the installation's other processes already run enough tests of its connector.

    The nightly test needs none of these turns, because only one worker runs it at a time.
    """
    name, seconds = f"check_resource:{resource.service.connector}", 2 * int(checking.CHECK_SECONDS) + 2
    try:
        with turns.taken(name, seconds=seconds, places=checking.PLACES) as turn:
            if turn is None:
                raise patience.NoPlace
            return checking.problem_of(resource)
    except patience.NoPlace:
        words = _("Several tests of this connector have not returned yet. Wait a moment, then test again.")
        raise TooMany(words) from None


class _Silent:
    """What the rest of a run leaves out, because it hangs.

    After a test without an answer, these are the tenant's other resources behind the same connector: perhaps only this
    place hangs. If the next test of the connector has no answer either, it is the whole connector. Otherwise a store
    that hangs would use up the time of all others.
    """

    def __init__(self) -> None:
        self._connectors, self._places, self._last = set[str](), set[tuple[str, UUID]](), set[str]()

    def others(self, due: QuerySet[Any]) -> QuerySet[Any]:
        for connector, tenant_id in self._places:
            due = due.exclude(service__connector=connector, tenant=tenant_id)
        return due.exclude(service__connector__in=self._connectors)

    def has(self, row: Resource) -> bool:
        connector = row.service.connector
        return connector in self._connectors or (connector, row.tenant_id) in self._places

    def note_full(self, connector: str) -> None:
        self._connectors.add(connector)

    def note(self, row: Resource, problem: str) -> None:
        connector = row.service.connector
        if problem in (checking.KIND_DIFFERS, checking.OUTSIDE):
            # The connector was not asked.
            return
        if problem != checking.NO_ANSWER:
            self._last.discard(connector)
        elif connector in self._last:
            self._connectors.add(connector)
        else:
            self._last.add(connector)
            self._places.add((connector, row.tenant_id))


def check_due_resources(*, actor: Actor, is_over: Callable[[], bool]) -> int:
    """Test the resources that are due, until none is left or `is_over` says so. Return how many were tested.

    At most one test runs at a time. What hangs is left out for the rest of this run. The next run continues with it.
    """
    done, silent = 0, _Silent()
    while not is_over():
        due = silent.others(Resource.objects.due_for_check(clock.now()))
        rows = list(due.select_related("tenant", "service")[:BATCH])
        tested: list[tuple[Resource, str]] = []
        for row in rows:
            if is_over():
                break
            if silent.has(row):
                continue
            try:
                tested.append((row, checking.problem_of(row)))
            except patience.NoPlace:
                # Once in each run, because until one of the calls returns, nothing is tested.
                logger.warning("resource_tests_have_no_place", connector=row.service.connector)
                silent.note_full(row.service.connector)
                continue
            silent.note(*tested[-1])
        _store_all(tested, actor=actor)
        done += len(tested)
        if not rows:
            break
    return done


def _store_all(tested: list[tuple[Resource, str]], *, actor: Actor) -> None:
    """Store the results of a run. Only a result that differs from the one before gets an entry in the tenant's log.

    Otherwise each night would add as many entries as there are resources, and hide what people did.
    """
    same, changed = defaultdict[tuple[str, str], list[UUID]](list), defaultdict[UUID, list[tuple[Resource, str]]](list)
    for row, problem in tested:
        if row.check_problem == problem:
            same[problem, row.service.connector].append(row.pk)
        else:
            changed[row.tenant_id].append((row, problem))
    at, places = clock.now(), [row.locator for row, _problem in tested]
    for (problem, connector), keys in same.items():
        # A resource that got another locator or connector meanwhile stays due.
        rows = Resource.objects.filter(pk__in=keys, check_problem=problem, service__connector=connector)
        rows.filter(locator__in=places).update(checked_at=at, next_check_at=_next_check(problem, at))
    for tenant_id, results in changed.items():
        _note(tenant_id, results, actor=actor)


def _note(tenant_id: UUID, results: list[tuple[Resource, str]], *, actor: Actor) -> None:
    found = {row.pk: (row, problem) for row, problem in results}
    with act(NOTE_CHECKS, actor=actor) as current:
        rows = Resource.objects.filter(pk__in=found).select_related("tenant", "service").locked_in_turn()
        current.tenant_id = tenant_id
        current.take_turn(tenant_id)
        entries = []
        for row in rows:
            tested, problem = found[row.pk]
            # A newer test may have stored its result meanwhile.
            if not row.is_active or not _is_same(row, tested) or row.checked_at != tested.checked_at:
                continue
            _store(row, problem, at=current.at)
            current.subject_type, current.subject_id = "resource", str(row.pk)
            entries.append(current.entry(RESOURCE_CHECKED, **_entry_of(row)))
        if entries:
            recorder.record(entries, at=current.at)


def _next_check(problem: str, at: dt.datetime) -> dt.datetime:
    """Return when a resource with this result is tested again: in the next night, or earlier if it failed."""
    night = at.astimezone(dt.UTC).replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    night = night if night > at else night + dt.timedelta(days=1)
    return min(night, at + RETRY_AFTER) if problem else night


def _resource(current: Step, resource_id: object) -> Resource:
    rows = Resource.objects.visible_to(current.actor).select_related("tenant", "service")
    row: Resource = rows.locked().find(resource_id)
    current.concerns("resource", row, row.tenant_id)
    return row


def _require_testable(current: Step) -> None:
    resource: Resource = current.row
    if resource.is_practice:
        raise WrongState(_("The content of a practice resource ships with this product. It is not tested."))
    if resource.is_external:
        words = _("%(application)s holds the content of this resource. Test it there.")
        raise WrongState(words % {"application": resource.service.application})
    if not current.row.is_active:
        raise WrongState(_("This resource is switched off, so nobody can ask for access to it. It is not tested."))


def _is_same(row: Resource, tested: Resource) -> bool:
    """Return whether the connector would still be asked for the same place."""
    now = (row.locator, row.kind, row.service.connector)
    return now == (tested.locator, tested.kind, tested.service.connector)


def _store(row: Resource, problem: str, *, at: dt.datetime) -> None:
    row.checked_at, row.check_problem, row.next_check_at = at, problem, _next_check(problem, at)
    row.check_failing_since = (row.check_failing_since or at) if problem else None
    row.save(update_fields=["checked_at", "check_problem", "check_failing_since", "next_check_at"])


def _entry_of(row: Resource) -> dict[str, Any]:
    steps = list(checking.steps_of(row, row.check_problem))
    detail = {"name": row.name, "locator": row.locator, "problem": row.check_problem, "steps": steps}
    return {"detail": detail, "text": row.name}
