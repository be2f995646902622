"""Reads imports: those that are not finished, the report about one, and the changes that wait for a second person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast
from uuid import UUID

from django.db.models import Case, Count, IntegerField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from requests_app.domain.actors import Actor
from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.imports import HELD_WORDS, Fault, Line
from requests_app.models import HeldRow, Import, Proposal
from requests_app.models.imports import HeldRowQuerySet


def unfinished() -> QuerySet[Any]:
    return Import.objects.unfinished().order_by("started_at")


def find(import_id: object, *, actor: Actor) -> Import:
    return cast(Import, Import.objects.visible_to(actor).find(import_id))


def lines_of(row: Import) -> Iterator[Line]:
    """Yield the report about the rows that are written, batch by batch."""
    for results in row.batches.exclude(done_at=None).values_list("results", flat=True).iterator(chunk_size=20):
        for number, kind, name, status, faults in results:
            yield Line(number, kind, name, status, tuple(Fault(number, *fault) for fault in faults))


def by_weight() -> Case:
    """Return the order of held rows in which the change that weakens a customer most comes first."""
    known = [When(act=act, then=Value(number)) for number, act in enumerate(HELD_WORDS, 1)]
    return Case(*known, default=Value(0), output_field=IntegerField())


def kinds_of(rows: QuerySet[Any]) -> list[tuple[str, int]]:
    """Return the kinds of these held rows, in the order of their weight: the act, and how many rows have it."""
    found = rows.order_by().values("act").annotate(weight=by_weight(), n=Count("pk")).order_by("weight", "act")
    return [(each["act"], each["n"]) for each in found]


def with_changes(proposals: QuerySet[Any]) -> QuerySet[Any]:
    """Add the number of held rows to each proposal, as `changes_held`. It is 0 if a proposal is about no import."""
    rows = HeldRow.objects.filter(of__proposal=OuterRef("pk")).order_by().values("of__proposal")
    counted = Subquery(rows.annotate(n=Count("pk")).values("n"), output_field=IntegerField())
    return proposals.annotate(changes_held=Coalesce(counted, Value(0)))


def all_held_rows(proposal: Proposal) -> HeldRowQuerySet:
    """Return the changes of an import that one proposal covers. If it is about something else, return nothing."""
    if proposal.act != IMPORT_ROWS.name:
        return HeldRow.objects.none()
    return HeldRow.objects.filter(of=proposal.said["import"])


def held_rows(proposal: Proposal, tenant_ids: Iterable[UUID]) -> QuerySet[Any]:
    """Return the changes of an import that one proposal covers, as far as they concern these tenants.

    If the proposal is about something else, the result is empty.
    """
    return all_held_rows(proposal).concerning(tenant_ids)
