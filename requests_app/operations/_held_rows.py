"""The changes of an import that reduce a tenant's protection: they wait for the one confirmation of the import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from audit_app import recorder
from requests_app.domain import clock, limits
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.acts.proposals import PROPOSAL_LAPSED, PROPOSAL_MADE
from requests_app.domain.acts.tenants import SWITCH_OFF_TENANT_ANNOUNCED
from requests_app.domain.errors import DomainError
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import AccessRequest, HeldRow, Import, Invitation, Proposal, Resource, Tenant
from requests_app.operations import _announced
from requests_app.operations._announced import ANNOUNCED, Part, Terms, announced, digest
from requests_app.operations._change import Step, lock_access
from requests_app.operations._import_judged import Judged
from requests_app.operations._import_pace import TARGET_SECONDS

#: How many rows one transaction makes at most, and how many of those that affect all tenants. On SQLite, nobody else
#: can write meanwhile (docs/importing.md has the measured times).
AT_ONCE, SHARED_AT_ONCE = 25, 5
#: How many rows one transaction makes, however long they take. With fewer, a busy machine would hardly come to an end.
LEAST_AT_ONCE = 5
#: How many entries about rows that wait one transaction writes.
ENTRIES_AT_ONCE = 250
#: How many hashes one query compares.
_HASHES_AT_ONCE = 500


def hold(current: Step, row: Import, judged: Sequence[Judged]) -> None:
    """Store the changes of these rows that must wait and do not wait yet."""
    rows = []
    for hashed, (each, change, terms) in newly_held(judged, at=current.at).items():
        of = {"of": row, "tenant_id": _tenant_of(each.target), "resource_id": terms.get("resource")}
        until = row.started_at + limits.PROPOSAL_FOR
        rows.append(HeldRow(act=change.name, terms=terms, digest=hashed, until_at=until, line=each.row.line, **of))
    HeldRow.objects.bulk_create(rows, batch_size=500)


def _tenant_of(target: Any) -> UUID | None:
    """Return the tenant of a resource, or the tenant itself. All other rows belong to no tenant."""
    if isinstance(target, Resource):
        return target.tenant_id
    return target.pk if isinstance(target, Tenant) else None


def newly_held(judged: Sequence[Judged], *, at: datetime) -> dict[str, tuple[Judged, Change, Terms]]:
    """Return the changes that must wait, by their hash.

    A change that waits already is left out: from this file or from another, or proposed alone.
    """
    found = {digest(change.name, terms): (each, change, terms) for each in judged for change, terms in each.held}
    if not found:
        return found
    single = Proposal.objects.of_staff().pending(at).filter(act__in={change.name for _, change, _ in found.values()})
    waiting = {digest(proposal.act, proposal.said) for proposal in single}
    digests = list(found)
    for start in range(0, len(digests), _HASHES_AT_ONCE):
        rows = HeldRow.objects.open(at).filter(digest__in=digests[start : start + _HASHES_AT_ONCE])
        waiting |= set(rows.values_list("digest", flat=True))
    return {hashed: held for hashed, held in found.items() if hashed not in waiting}


def about_import(row: Import) -> dict[str, str]:
    """Return what each entry about a row of an import says about the import. The file's name could name a tenant."""
    return {"import": str(row.pk), "import_sha": row.sha256}


def informed_by(held: Iterable[tuple[Judged, Change, Terms]]) -> list[str]:
    """Return the names of the tenants that get a mail when these changes are proposed."""
    tenants: set[UUID] = set()
    for each, change, terms in held:
        tenant = _tenant_of(each.target)
        tenants |= {tenant} if tenant else set(ANNOUNCED[change.name].touches(terms))
    return list(Tenant.objects.filter(pk__in=tenants).order_by("name").values_list("name", flat=True))


def propose(current: Step, row: Import, *, by: _announced.Proposer) -> Proposal:
    """Write the one proposal for all held rows of the import. `announce_next` announces them."""
    terms = {"import": str(row.pk), "sha": row.sha256, "_file": row.file_name, "_counts": row.counts}
    proposal = _announced.write(current, IMPORT_ROWS, terms, by=by, only=())
    row.proposal = proposal
    row.save(update_fields=["proposal"])
    # So an invitation knows the change that gives its role.
    held = row.held.filter(outcome="", terms__has_key="invitation")
    offers = [terms["invitation"] for terms in held.values_list("terms", flat=True)]
    Invitation.objects.filter(pk__in=offers).update(proposal=proposal)
    return proposal


def next_unannounced(row: Import) -> HeldRow | None:
    """Return the next row that is proposed and not announced. Those that affect all tenants come first."""
    # In the order of the index: with 20,000 rows, sorting them again in each step would take longer than the step.
    rows = row.held.unannounced().order_by("tenant_id", "pk")
    return rows.filter(tenant=None).first() or rows.first()


def announce_next(current: Step, held: HeldRow, proposal: Proposal) -> None:
    """Announce this row, and more rows of its tenant: write the entries, and send each tenant one mail in all.

    The caller has the turn at the tenant's log.
    """
    if held.tenant_id is None:
        _announce_next_tenants(current, held, proposal)
        return
    rows = held.of.held.unannounced().filter(tenant=held.tenant_id).order_by("line", "pk")[:ENTRIES_AT_ONCE]
    _announce_import(current, proposal, {held.tenant_id})
    recorder.record([_entry(current, PROPOSAL_MADE, each, proposal, held.tenant_id) for each in rows], at=current.at)
    HeldRow.objects.filter(pk__in=[each.pk for each in rows]).update(announced_at=current.at)
    _ask_second(current, proposal)


def _announce_next_tenants(current: Step, held: HeldRow, proposal: Proposal) -> None:
    left = sorted(uninformed_of(held))
    tenants, is_first = set(left[:ENTRIES_AT_ONCE]), not held.touched.exists()
    _announce_import(current, proposal, tenants)
    _announce(current, held, proposal, tenants, {PROVIDER_LOG} if is_first else set())
    if len(tenants) == len(left):
        held.announced_at = current.at
        held.save(update_fields=["announced_at"])
        _ask_second(current, proposal)


def _ask_second(current: Step, proposal: Proposal) -> None:
    """After the last row, ask the staff who can confirm the proposal. Before, they could not confirm it."""
    if proposal.effective_at is None and _announced.all_informed(proposal):
        current.tell(_announced.ask_second(proposal, "made"))


def _announce_import(current: Step, proposal: Proposal, tenants: set[UUID]) -> None:
    """Announce the import itself to those of the tenants that have not heard of it."""
    if new := tenants - set(proposal.touched.filter(pk__in=tenants).values_list("pk", flat=True)):
        _announced.announce_to(current, proposal, new)


def _announce(current: Step, held: HeldRow, proposal: Proposal, tenants: set[UUID], also: set[UUID]) -> None:
    """Write an entry about a row without a tenant in the logs of these tenants, and in the logs in `also`."""
    held.touched.add(*Tenant.objects.filter(pk__in=tenants))
    entries = [_entry(current, PROPOSAL_MADE, held, proposal, log) for log in sorted(tenants | also)]
    recorder.record(entries, at=current.at)


def uninformed_of(held: HeldRow) -> set[UUID]:
    """Return the tenants that this row affects now, and that have got no message about it."""
    return _touched_by(held) - set(held.touched.values_list("pk", flat=True))


def _touched_by(held: HeldRow) -> set[UUID]:
    return set(ANNOUNCED[held.act].touches(held.terms))


def _entry(current: Step, event: str, held: HeldRow, proposal: Proposal, log: UUID, **more: Any) -> recorder.Witnessed:
    """Return the entry about one row, which reads as the entry about the same change alone."""
    shown = {
        "proposal": str(proposal.pk),
        "act": held.act,
        "said": {name: value for name, value in held.terms.items() if not name.startswith("_")},
        "proposed_by": proposal.proposer.name,
    }
    entry = current.entry(event, detail={**shown, **more})
    return replace(entry, tenant_id=log, subject_type="proposal", subject_id=str(proposal.pk))


# --- When the proposal is due ------------------------------------------------------------------------------------


def _left(terms: Terms) -> QuerySet[Any]:
    return HeldRow.objects.filter(of=terms["import"], outcome="")


def _shared(terms: Terms) -> QuerySet[Any]:
    """Return the rows that are left and belong to no tenant."""
    return _left(terms).filter(tenant=None)


def _ready(terms: Terms, at: datetime) -> QuerySet[Any]:
    """Return the rows that affect no access request that has not ended."""
    in_use = AccessRequest.objects.under_way(at).exclude(scope__resource=None).values("scope__resource")
    waiting = [held.pk for held in _shared(terms) if (waits := ANNOUNCED[held.act].waits) and waits(held.terms, at)]
    return _left(terms).exclude(resource__in=in_use).exclude(pk__in=waiting)


def _tenants(terms: Terms) -> list[UUID]:
    rows = Tenant.objects.ever_on().filter(pk__in=_left(terms).values("tenant"))
    found = set(rows.values_list("pk", flat=True))
    return sorted(found.union(*map(_touched_by, _shared(terms))))


def _uninformed(terms: Terms) -> set[UUID]:
    """Return the tenants that a row without a tenant affects only since it was proposed."""
    found: set[UUID] = set()
    for held in _shared(terms):
        found |= uninformed_of(held)
    return found


def _tell_late(current: Step, proposal: Proposal, tenants: set[UUID]) -> None:
    for held in _shared(proposal.said):
        # The entry about a row without a tenant is also in the provider's log, as for the same change alone.
        if late := tenants & uninformed_of(held):
            _announce(current, held, proposal, late, {PROVIDER_LOG})


def _choose(terms: Terms) -> Part:
    """Choose the next rows and lock what they change. Rows that affect all tenants are made first, and alone.

    The other rows affect only their own tenants, which have heard of them. So nobody else has to wait.
    """
    ready = _ready(terms, clock.now())
    shared = list(ready.filter(tenant=None)[:SHARED_AT_ONCE])
    rows = shared or list(ready.order_by("tenant_id", "pk")[:AT_ONCE])
    _lock(rows)
    logs = None if shared or not rows else frozenset(row.tenant_id for row in rows)
    return Part(tuple(row.pk for row in rows), logs)


def _lock(held: Sequence[HeldRow]) -> None:
    """Lock what the rows change, in the order of all acts.

    First the access that ends with a tenant, then the tenants, then what belongs to no tenant, then the resources.
    """
    ending = {row.tenant_id for row in held if row.act == SWITCH_OFF_TENANT_ANNOUNCED.name}
    if ending:
        lock_access(AccessRequest.objects.filter(tenant__in=ending))
    Tenant.objects.filter(pk__in={row.tenant_id for row in held}).locked_in_turn()
    for row in sorted((row for row in held if row.tenant_id is None), key=lambda row: (row.act, row.digest)):
        if (lock := ANNOUNCED[row.act].lock) is not None:
            lock(row.terms)
    list(Resource.objects.filter(pk__in={row.resource_id for row in held}).order_by("pk").locked())


def _waits(terms: Terms, at: datetime) -> bool:
    return _left(terms).exists() and not _ready(terms, at).exists()


def _all_informed(terms: Terms) -> bool:
    return not _left(terms).filter(announced_at=None).exists()


@announced(
    IMPORT_ROWS,
    touches=_tenants,
    waits=_waits,
    choose=_choose,
    all_informed=_all_informed,
    uninformed=_uninformed,
    tell_late=_tell_late,
)
def _import_rows_agreed(current: Step, terms: Terms) -> None:
    """Make the rows of this step. Each is judged again, and one that no longer fits lapses alone.

    When the time of a transaction is over, the rows that are left belong to the next step.
    """
    assert current.confirmed is not None
    proposal, began = Proposal.objects.select_related("proposed_by").get(pk=current.confirmed), clock.monotonic()
    rows = _ready(terms, current.at).filter(pk__in=current.part).select_related("tenant")
    for count, held in enumerate(rows, 1):
        with _alone(current, terms["import"]):
            _make(current, held, proposal)
        held.ended_at = current.at
        held.save(update_fields=["outcome", "ended_at"])
        if count >= LEAST_AT_ONCE and clock.monotonic() - began >= TARGET_SECONDS:
            return


def _make(current: Step, held: HeldRow, proposal: Proposal) -> None:
    before = len(current.notes)
    try:
        with transaction.atomic():
            ANNOUNCED[held.act].run(current, held.terms)
        held.outcome = HeldRow.Outcome.APPLIED
    except (DomainError, ObjectDoesNotExist, IntegrityError):
        del current.notes[before:]
        held.outcome = HeldRow.Outcome.LAPSED
        touched = set(held.touched.values_list("pk", flat=True))
        logs = {held.tenant_id} if held.tenant_id else {PROVIDER_LOG, *touched}
        why = {"reason": "no_longer_fits"}
        entries = [_entry(current, PROPOSAL_LAPSED, held, proposal, log, **why) for log in sorted(logs)]
        recorder.record(entries, at=current.at)


@contextmanager
def _alone(current: Step, import_id: str) -> Iterator[None]:
    """In this block, the act is about one row. Its entries are those of the same change alone, with the import's id."""
    before = current.tenant_id, current.subject_type, current.subject_id, current.detail
    current.detail = {**current.detail, **about_import(Import.objects.get(pk=import_id))}
    try:
        yield
    finally:
        current.tenant_id, current.subject_type, current.subject_id, current.detail = before
