"""What one row of an import would do, and what the kinds of rows share when they judge and write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from audit_app import recorder
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.imports import Fault, Row, Status
from requests_app.models import Resource, Tenant
from requests_app.operations._announced import Terms
from requests_app.operations._change import Step


@dataclass
class Judged:
    """What a row would do. `row.line` is its line in the source.

    `target` is the row of the database, or the row that would be added. `sets` has the values that change immediately,
    and `held` the changes that are announced first. `waits_for` names the service without which the row can't be
    written yet, because that service itself waits for a second person.
    """

    row: Row
    slug: str = ""
    name: str = ""
    target: Any = None
    is_new: bool = False
    sets: dict[str, Any] = field(default_factory=dict)
    held: list[tuple[Change, Terms]] = field(default_factory=list)
    waits_for: str = ""
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults += self.row.faults

    @property
    def status(self) -> Status:
        if self.faults:
            return Status.REFUSED
        if self.held or self.waits_for:
            return Status.WAITING
        if self.is_new:
            return Status.CREATED
        return Status.CHANGED if self.sets else Status.UNCHANGED

    @property
    def changes_now(self) -> bool:
        """Whether the row adds or changes something without waiting for a second person."""
        return not (self.held or self.waits_for) if self.is_new else bool(self.sets)

    def fault(self, column: str, code: str, **facts: Any) -> None:
        """Add a fault, unless there is one in the same place already."""
        if all(fault.column != column for fault in self.faults):
            self.faults.append(Fault(self.row.line, column, code, facts))


def new_here(found: Judged, stated: dict[str, tuple[Any, int]], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the values that no earlier row has stated about the same thing. Refuse those that differ from it."""
    new: dict[str, Any] = {}
    for name, value in wanted.items():
        before, line = stated.get(name, (None, 0))
        if name not in stated:
            new[name] = value
            stated[name] = value, found.row.line
        elif before != value:
            found.fault(name, "contradicts", line=line)
    return new


def set_values(row: Any, sets: dict[str, Any]) -> dict[str, Any]:
    """Set these values, and return the detail of the entry."""
    was = {name: str(getattr(row, name)) for name in sets}
    for name, value in sets.items():
        setattr(row, name, value)
    return {"set": {name: str(value) for name, value in sets.items()}, "was": was}


def entry_about(
    current: Step, event: str, tenant_id: Any, subject: str, row: Tenant | Resource, detail: dict[str, Any]
) -> recorder.Witnessed:
    entry = current.entry(event, detail=detail, text=str(row))
    return replace(entry, tenant_id=tenant_id, subject_type=subject, subject_id=str(row.pk))


@contextmanager
def about(current: Step, subject: str, row: Any) -> Iterator[None]:
    """In this block, the entries of the act are about this row, as if it were changed alone."""
    before = current.subject_type, current.subject_id
    current.subject_type, current.subject_id = subject, str(row.pk)
    try:
        yield
    finally:
        current.subject_type, current.subject_id = before
