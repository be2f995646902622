"""Imports many tenants and resources: checks all rows, stores them as a journal, and writes them tenant by tenant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils.translation import gettext as _

from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Door
from requests_app.domain.acts.imports import IMPORT_FINISHED, IMPORT_STARTED, PROPOSE_IMPORT, RUN_IMPORT, START_IMPORT
from requests_app.domain.errors import NotAllowed, WrongState
from requests_app.domain.imports import PLAN, SERVICE, Fault, FaultyFile, Line, Report, Row, Source, Status, in_order
from requests_app.models import (
    AccessRequest,
    HeldRow,
    Import,
    ImportBatch,
    Person,
    Plan,
    Proposal,
    Resource,
    Service,
    Tenant,
)
from requests_app.models.people import actor_of
from requests_app.operations import _announced
from requests_app.operations._change import PROVIDER_LOG, Step, lock_access
from requests_app.operations._held_rows import (
    about_import,
    announce_next,
    hold,
    informed_by,
    newly_held,
    next_unannounced,
    propose,
)
from requests_app.operations._import_judged import Judged
from requests_app.operations._import_kinds import judge, write
from requests_app.operations._import_pace import MOST, Pace
from requests_app.operations._import_people import lock_people, names_people
from requests_app.operations._import_world import World
from requests_app.operations._perform import perform
from requests_app.platform import bell


def check_import(source: Source, *, actor: Actor) -> Report:
    """Return what the import would do, with every fault. Nothing is changed or recorded."""
    if not actor.is_system:
        policy.require_staff(actor)
    return _checked(source)[0]


def start_import(source: Source, *, actor: Actor) -> Import | None:
    """Check all rows, and store them as an import that `run_import` writes. A worker begins with it immediately.

    If one row has a fault, FaultyFile is raised and nothing is stored. If the rows change nothing, None is returned,
    and nothing is recorded.
    """
    # Before the transaction begins, because it takes seconds. The rows are judged again when they are written. Rows of
    # somebody who is not staff are not judged at all: `perform` refuses the act.
    may_start = actor.is_system or policy.is_staff(actor)
    report, batches = _checked(source) if may_start else (Report([]), [])

    def may(current: Step) -> None:
        # Nobody but the operator on the server has an interface for these rows.
        if names_people(source.rows) and not current.actor.is_system:
            raise NotAllowed

    def check(current: Step) -> None:
        if report.faults:
            raise FaultyFile(report.faults)

    with perform(START_IMPORT, actor=actor, find=_new_import, may=may, check=check) as current:
        row: Import = current.row
        if report.is_empty:
            return None
        machine = current.actor.machine
        row.file_name, row.sha256 = source.file_name[:200], source.sha256
        row.door, row.started_name, row.started_at = actor.door, current.actor.name, current.at
        row.started_by_id = machine.account_id if machine is not None else current.actor.person_id
        row.started_human = None if machine is not None else current.actor.human_id
        row.rows = sum(map(len, batches))
        row.save(force_insert=True)
        numbers = accumulate(map(len, batches), initial=0)
        stored = [ImportBatch(of=row, number=number, rows=rows) for number, rows in zip(numbers, batches, strict=False)]
        ImportBatch.objects.bulk_create(stored, batch_size=100)
        detail = {"import": str(row.pk), "file": row.file_name, "sha": row.sha256, "rows": row.rows}
        current.witness(IMPORT_STARTED, detail=detail, text=row.file_name)
        bell.ring(bell.IMPORT)
    return row


def _new_import(current: Step, _row_id: object) -> Import:
    row = Import()
    current.concerns("import", row, PROVIDER_LOG)
    return row


def _checked(source: Source) -> tuple[Report, list[list[list[Any]]]]:
    """Return the report, and the rows in batches: each is of one tenant, and not too long for one transaction."""
    judged = judge(source.rows, World(source.rows))
    faults = in_order([*source.faults, *(fault for each in judged for fault in each.faults)])
    lines = sorted((_line(each) for each in judged), key=lambda line: line.line)
    counts = _counted(line.status for line in lines)
    groups: dict[str, list[Judged]] = {}
    for each in judged:
        groups.setdefault(each.slug, []).append(each)
    batches = [
        [_stored(each.row) for each in group[start : start + MOST]]
        for group in groups.values()
        for start in range(0, len(group), MOST)
    ]
    held = newly_held(judged, at=clock.now())
    is_empty = not (any(each.changes_now for each in judged) or held)
    return Report(lines, faults, counts, is_empty, informed_by(held.values())), batches


def _counted(statuses: Iterable[str]) -> dict[str, int]:
    counts = Counter(map(str, statuses))
    return {str(status): counts[status] for status in Status}


def _line(each: Judged) -> Line:
    changes = (
        {} if each.is_new else {name: (str(getattr(each.target, name)), str(to)) for name, to in each.sets.items()}
    )
    held = tuple((change.name, terms) for change, terms in each.held)
    return Line(
        each.row.line, each.row.kind, each.name, str(each.status), tuple(each.faults), changes, held, each.waits_for
    )


def _stored(row: Row) -> list[Any]:
    return [row.line, row.kind, row.values]


# --- Writing ------------------------------------------------------------------------------------------------------


def run_import(import_id: object, *, actor: Actor, after: Callable[[Import], bool] | None = None) -> Import:
    """Write what is left of an import, step by step, until it is finished and its changes that wait are announced.

    After each step, `after` is called with the import. If it returns False, the rest is left to the next call. Nothing
    is written twice: each step is marked in its own transaction.
    """
    pace = Pace()
    while True:
        row, is_left = _run_step(import_id, actor=actor, pace=pace)
        if not is_left or (after is not None and not after(row)):
            return row
        pace.rest()


def _run_step(import_id: object, *, actor: Actor, pace: Pace) -> tuple[Import, bool]:
    """Make the next step in one transaction. Return the import, and whether steps are left.

    First all batches are written, then the changes that wait are proposed and announced, then the import is finished.
    """
    step: list[ImportBatch | HeldRow] = []
    with perform(RUN_IMPORT, import_id, actor=actor, find=partial(_find_step, step, pace)) as current:
        row: Import = current.row
        current.detail = about_import(row)
        match step:
            case [ImportBatch() as batch]:
                _write_batch(current, row, batch)
            case [HeldRow() as held]:
                assert row.proposal is not None
                current.actor = _announcer(row, row.proposal)
                announce_next(current, held, row.proposal)
            case _ if row.finished_at is None:
                _propose_or_finish(current, row)
        # An announcement may be the last step, so only a step that finds nothing ends the import.
        return row, bool(step) or row.finished_at is None


def _write_batch(current: Step, row: Import, batch: ImportBatch) -> None:
    starter = _starter(row)
    current.actor = starter or _operator(row)
    rows = [Row(*each) for each in batch.rows]
    lines = _write(current, row, rows) if starter is not None else _stopped(row, rows)
    batch.results, batch.done_at = [_result(line) for line in lines], current.at
    batch.save(update_fields=["results", "done_at"])
    counts = _counted(line.status for line in lines)
    row.counts = {status: row.counts.get(status, 0) + count for status, count in counts.items()}
    row.save(update_fields=["counts"])


def _find_step(found: list[ImportBatch | HeldRow], pace: Pace, current: Step, import_id: object) -> Import:
    """Return the import, locked, and add its next batch to `found`, or its next row that is not announced.

    Take the turn at the log of its tenant.
    """
    row: Import = Import.objects.visible_to(current.actor).locked().find(import_id)
    batch = row.batches.filter(done_at=None).first() if row.finished_at is None else None
    if batch is None:
        held = _locked_unannounced(row)
        found += [held] if held is not None else []
        of_tenant = held.tenant_id if held is not None else None
        current.concerns("import", row, of_tenant or PROVIDER_LOG)
        return row
    pace.cut(batch)
    found.append(batch)
    tenant = _lock_what_changes([Row(*each) for each in batch.rows])
    current.concerns("import", row, tenant.pk if tenant is not None else PROVIDER_LOG)
    return row


def _locked_unannounced(row: Import) -> HeldRow | None:
    """Lock the proposal of the import, and return the next row that is not announced.

    So nobody ends the proposal meanwhile, and each tenant that hears of it also hears of its end.
    """
    if row.proposal_id is None:
        return None
    row.proposal = Proposal.objects.locked().get(pk=row.proposal_id)
    return next_unannounced(row)


def _lock_what_changes(rows: Sequence[Row]) -> Tenant | None:
    """Lock the tenant of these rows, the plans that they name, and the resources that they change. Return the tenant.

    This comes before the turn at the log, as in every act. The rows are judged again afterwards.
    """
    keys = {row.values["tenant"] for row in rows if "tenant" in row.values}
    lock_people(rows)
    _lock_what_ends(rows)
    tenants = Tenant.objects.filter(Q(slug__in=keys) | Q(external_id__in=keys)).exclude(slug="").locked_in_turn()
    if connection.features.has_select_for_update:
        names = {row.values["plan"] for row in rows if "plan" in row.values}
        names |= {row.values["name"] for row in rows if row.kind == PLAN.name}
        list(Plan.objects.select_for_update(no_key=True).filter(name__in=names).order_by("pk"))
        services = {row.values["key"] for row in rows if row.kind == SERVICE.name}
        list(Service.objects.filter(key__in=services).order_by("pk").locked())
        judged = judge(rows, World(rows)) if tenants else []
        changed = {each.target.pk for each in judged if isinstance(each.target, Resource) and not each.is_new}
        list(Resource.objects.filter(pk__in=changed).order_by("pk").locked())
    return tenants[0] if tenants else None


def _lock_what_ends(rows: Sequence[Row]) -> None:
    """Lock the access requests that end because a row switches their service or their tenant off."""
    off = {row.values["key"] for row in rows if row.kind == SERVICE.name and row.values.get("active") is False}
    keys = {row.values["tenant"] for row in rows if row.values.get("tenant_active") is False}
    if off or keys:
        of_tenants = Q(tenant__slug__in=keys) | Q(tenant__external_id__in=keys - {""})
        lock_access(AccessRequest.objects.filter(Q(service__key__in=off) | of_tenants))


def _write(current: Step, row: Import, rows: Sequence[Row]) -> list[Line]:
    """Judge the rows by the present state and write them. If one of them no longer fits, write none of them."""
    world = World(rows)
    judged = judge(rows, world)
    if any(each.faults for each in judged):
        for each in judged:
            if not each.faults:
                each.fault("", "not_alone")
        return [_line(each) for each in judged]
    lines = [_line(each) for each in judged]
    write(current, world, judged)
    hold(current, row, judged)
    return lines


def _stopped(row: Import, rows: Sequence[Row]) -> list[Line]:
    """Return the report for rows that nobody may write any more. Taking a role away ends what it began."""
    facts = {"name": row.started_name}
    return [
        Line(each.line, each.kind, "", str(Status.REFUSED), (Fault(each.line, "", "stopped", facts),)) for each in rows
    ]


def _starter(row: Import) -> Actor | None:
    """Return who started the import, for the entries. Return None if that person or client lost the right to.

    A client loses it too if no human of the staff answers for it any more.
    """
    if row.started_by_id is None:
        return _operator(row)
    person = Person.objects.get_queryset().get(pk=row.started_by_id)
    if person.kind == Person.Kind.CLIENT:
        return _answered_for(person, row.door)
    return actor_of(person, door=row.door) if person.is_active and person.is_staff else None


def _answered_for(account: Person, door: str) -> Actor | None:
    """Return the client with this account, if humans of the staff still answer for it."""
    try:
        client = _announced.actor_of_client(account, door=door)
        _announced.proposer_of(client)
    except NotAllowed:
        return None
    return client


def _operator(row: Import) -> Actor:
    return replace(Actor.system(row.started_name), door=row.door)


def _announcer(row: Import, proposal: Proposal) -> Actor:
    """Return who proposed the changes of the import, for the entries. It may be somebody who has left meanwhile."""
    account = proposal.proposer
    door = row.door if account.pk == row.started_by_id else str(Door.ADMIN)
    if account.kind != Person.Kind.CLIENT:
        return actor_of(account, door=door)
    try:
        return _announced.actor_of_client(account, door=door)
    except NotAllowed:
        return replace(Actor.system(account.name), door=door)


def _propose_or_finish(current: Step, row: Import) -> None:
    """Propose the rows that wait, if a human of the staff answers for them. Otherwise, record the end of the import."""
    starter = _starter(row)
    current.actor = starter or _operator(row)
    by = _proposer(row, starter) if row.proposal_id is None else None
    if by is not None and row.held.filter(outcome="").exists():
        propose(current, row, by=by)
        return
    row.finished_at = current.at
    row.save(update_fields=["finished_at"])
    counts = {status: row.counts.get(status, 0) for status in map(str, Status)}
    waiting = counts.pop(Status.WAITING)
    detail = {"file": row.file_name, "sha": row.sha256, **counts, "waiting": waiting}
    current.witness(IMPORT_FINISHED, detail=detail, text=row.file_name)


def _proposer(row: Import, starter: Actor | None) -> _announced.Proposer | None:
    """Return who proposes the changes that wait: the person or the client that started the import.

    Return None if no human of the staff answers for them. Then somebody does `propose_import`.
    """
    if starter is None or not starter.is_person:
        return None
    try:
        by = _announced.proposer_of(starter)
    except NotAllowed:
        return None
    # The human at the start, so that linking or unlinking accounts meanwhile can't make anybody a second person.
    return by if by.client is not None or by.person.human_id == row.started_human else None


def _result(line: Line) -> list[Any]:
    faults = [[fault.column, fault.code, fault.facts] for fault in line.faults]
    return [line.line, line.kind, line.name, line.status, faults]


# --- Proposing ----------------------------------------------------------------------------------------------------


def propose_import(import_id: object, *, actor: Actor) -> Import:
    """Propose the changes of an import that wait, if the operator on the server started the import.

    Nobody knows which human that was. So two members of the staff must agree: this one, and one who confirms. The same
    is true for a client if no human of the staff answers for it any more. A worker then announces the changes.
    """

    def state(current: Step) -> None:
        row: Import = current.row
        if row.proposal_id is not None:
            raise WrongState(_("The changes of this import are already proposed."))
        if row.finished_at is None:
            raise WrongState(_("The import is not finished yet. Wait until all rows are written."))
        if not row.held.open(current.at).exists():
            raise WrongState(_("No change of this import waits. If you waited too long, import the file again."))

    with perform(PROPOSE_IMPORT, import_id, actor=actor, state=state) as current:
        row: Import = current.row
        propose(current, row, by=_announced.proposer_of(current.actor))
        bell.ring(bell.IMPORT)
    return row
