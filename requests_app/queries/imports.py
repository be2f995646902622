"""Reads imports: those that are not finished, and the report about one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet

from requests_app.domain.actors import Actor
from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.imports import Fault, Line
from requests_app.models import HeldRow, Import, Proposal


def unfinished() -> QuerySet[Any]:
    return Import.objects.unfinished().order_by("started_at")


def find(import_id: object, *, actor: Actor) -> Import:
    return cast(Import, Import.objects.visible_to(actor).find(import_id))


def lines_of(row: Import) -> Iterator[Line]:
    """Yield the report about the rows that are written, batch by batch."""
    for results in row.batches.exclude(done_at=None).values_list("results", flat=True).iterator(chunk_size=20):
        for number, kind, name, status, faults in results:
            yield Line(number, kind, name, status, tuple(Fault(number, *fault) for fault in faults))


def held_rows(proposal: Proposal, tenant_ids: Iterable[UUID]) -> QuerySet[Any]:
    """Return the changes of an import that one proposal covers, as far as they concern these tenants.

    If the proposal is about something else, the result is empty.
    """
    if proposal.act != IMPORT_ROWS.name:
        return HeldRow.objects.none()
    return HeldRow.objects.concerning(tenant_ids).filter(of=proposal.said["import"])
