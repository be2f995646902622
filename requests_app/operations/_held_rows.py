"""The changes of an import that reduce a tenant's protection: they wait for the one confirmation of the import."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from audit_app import canonical, recorder
from requests_app.domain import limits
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.acts.proposals import PROPOSAL_LAPSED, PROPOSAL_MADE
from requests_app.domain.acts.tenants import SWITCH_OFF_TENANT_ANNOUNCED
from requests_app.domain.errors import DomainError
from requests_app.models import AccessRequest, HeldRow, Import, Proposal, Resource, Tenant
from requests_app.operations import _announced
from requests_app.operations._announced import ANNOUNCED, Terms, announced
from requests_app.operations._change import Step, lock_access
from requests_app.operations._import_judged import Judged

#: How many rows are made at once. All tenants wait meanwhile, so this takes far less than a second.
AT_ONCE = 50


#: How many hashes one query compares.
_HASHES_AT_ONCE = 500


def hold(current: Step, row: Import, judged: Sequence[Judged]) -> None:
    """Store the changes of these rows that must wait and do not wait yet."""
    rows = []
    for digest, (each, change, terms) in newly_held(judged, at=current.at).items():
        tenant_id = each.target.tenant_id if isinstance(each.target, Resource) else each.target.pk
        of = {"of": row, "tenant_id": tenant_id, "resource_id": terms.get("resource"), "line": each.row.line}
        until = row.started_at + limits.PROPOSAL_FOR
        rows.append(HeldRow(act=change.name, terms=terms, digest=digest, until_at=until, **of))
    HeldRow.objects.bulk_create(rows, batch_size=500)


def newly_held(judged: Sequence[Judged], *, at: datetime) -> dict[str, tuple[Judged, Change, Terms]]:
    """Return the changes that must wait, by their hash.

    A change that waits already is left out: from this file or from another, or proposed alone.
    """
    found = {_hash(change.name, terms): (each, change, terms) for each in judged for change, terms in each.held}
    if not found:
        return found
    single = Proposal.objects.of_staff().pending(at).filter(act__in={change.name for _, change, _ in found.values()})
    waiting = {_hash(proposal.act, proposal.said) for proposal in single}
    digests = list(found)
    for start in range(0, len(digests), _HASHES_AT_ONCE):
        rows = HeldRow.objects.open(at).filter(digest__in=digests[start : start + _HASHES_AT_ONCE])
        waiting |= set(rows.values_list("digest", flat=True))
    return {digest: held for digest, held in found.items() if digest not in waiting}


def propose(current: Step, row: Import, *, by: _announced.Proposer) -> Proposal:
    """Write the one proposal for all held rows of the import, and an entry about each in the log of its tenant."""
    terms = {"import": str(row.pk), "sha": row.sha256, "_file": row.file_name, "_counts": row.counts}
    proposal = _announced.write(current, IMPORT_ROWS, terms, by=by)
    row.proposal = proposal
    row.save(update_fields=["proposal"])
    entries = [_entry(current, PROPOSAL_MADE, held, proposal) for held in row.held.filter(outcome="")]
    recorder.record(entries, at=current.at)
    return proposal


def _entry(current: Step, event: str, held: HeldRow, proposal: Proposal, **more: Any) -> recorder.Witnessed:
    """Return the entry about one row, which reads as the entry about the same change alone."""
    shown = {
        "proposal": str(proposal.pk),
        "act": held.act,
        "said": held.terms,
        "proposed_by": proposal.proposer.name,
    }
    entry = current.entry(event, detail={**shown, **more})
    return replace(entry, tenant_id=held.tenant_id, subject_type="proposal", subject_id=str(proposal.pk))


def _hash(act: str, terms: Terms) -> str:
    return hashlib.sha256(canonical.encode({"act": act, "terms": terms})).hexdigest()


# --- When the proposal is due ------------------------------------------------------------------------------------


def _left(terms: Terms) -> QuerySet[Any]:
    return HeldRow.objects.filter(of=terms["import"], outcome="")


def _ready(terms: Terms, at: datetime) -> QuerySet[Any]:
    """Return the rows that no access request uses that has not ended."""
    in_use = AccessRequest.objects.under_way(at).exclude(scope__resource=None).values("scope__resource")
    return _left(terms).exclude(resource__in=in_use)


def _tenants(terms: Terms) -> list[UUID]:
    rows = Tenant.objects.ever_on().filter(pk__in=_left(terms).values("tenant"))
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _lock(terms: Terms) -> None:
    """Lock what the next rows change: the access that ends with a tenant, the tenants, then the resources."""
    held = list(_left(terms)[: AT_ONCE * 2])
    ending = {row.tenant_id for row in held if row.act == SWITCH_OFF_TENANT_ANNOUNCED.name}
    if ending:
        lock_access(AccessRequest.objects.filter(tenant__in=ending))
    Tenant.objects.filter(pk__in={row.tenant_id for row in held}).locked_in_turn()
    list(Resource.objects.filter(pk__in={row.resource_id for row in held}).order_by("pk").locked())


def _waits(terms: Terms, at: datetime) -> bool:
    return _left(terms).exists() and not _ready(terms, at).exists()


def _is_done(terms: Terms) -> bool:
    return not _left(terms).exists()


@announced(IMPORT_ROWS, touches=_tenants, lock=_lock, waits=_waits, is_done=_is_done)
def _import_rows_agreed(current: Step, terms: Terms) -> None:
    """Make the next rows. Each is judged again, and one that no longer fits lapses alone."""
    assert current.confirmed is not None
    proposal = Proposal.objects.select_related("proposed_by").get(pk=current.confirmed)
    detail = current.detail
    for held in _ready(terms, current.at).select_related("tenant")[:AT_ONCE]:
        current.detail = {**detail, "import": terms["import"]}
        try:
            with transaction.atomic():
                ANNOUNCED[held.act].run(current, held.terms)
            held.outcome = HeldRow.Outcome.APPLIED
        except (DomainError, IntegrityError):
            held.outcome = HeldRow.Outcome.LAPSED
            entry = _entry(current, PROPOSAL_LAPSED, held, proposal, reason="no_longer_fits")
            recorder.record([entry], at=current.at)
        held.ended_at = current.at
        held.save(update_fields=["outcome", "ended_at"])
    current.detail = detail
