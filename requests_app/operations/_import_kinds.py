"""Judges and writes the rows of an import, each with the functions of its kind.

The same functions judge a whole file before anything changes, and each tenant's rows again, under the turn at the
tenant's log, when they are written. A new kind of row needs its declaration (`domain.imports`), and its two functions
here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from audit_app import recorder
from requests_app.domain.imports import KINDS, PERSON, PLAN, RESOURCE, ROLE, SERVICE, TENANT, Row, text_faults
from requests_app.operations._change import Step
from requests_app.operations._import_judged import Judged
from requests_app.operations._import_people import judge_person, judge_role, write_people, write_roles
from requests_app.operations._import_plans import judge_plan, judge_service, write_plans, write_services
from requests_app.operations._import_resources import judge_resource, write_resources
from requests_app.operations._import_tenants import judge_tenant, write_tenants
from requests_app.operations._import_world import Somebody, World

#: The function that judges each kind of row, and the one that writes rows of this kind and returns their entries.
JUDGES: dict[str, Callable[[World, Row], Judged]] = {
    PLAN.name: judge_plan,
    SERVICE.name: judge_service,
    PERSON.name: judge_person,
    ROLE.name: judge_role,
    TENANT.name: judge_tenant,
    RESOURCE.name: judge_resource,
}
WRITERS: dict[str, Callable[[Step, World, Sequence[Judged]], list[recorder.Witnessed]]] = {
    PLAN.name: write_plans,
    SERVICE.name: write_services,
    PERSON.name: write_people,
    ROLE.name: write_roles,
    TENANT.name: write_tenants,
    RESOURCE.name: write_resources,
}


def judge(rows: Collection[Row], world: World) -> list[Judged]:
    """Return what each row would do, in the order of the kinds. The rows must be those from which `world` was read."""
    judged = [JUDGES[kind](world, row) for kind in KINDS for row in rows if row.kind == kind]
    for each in judged:
        _judge_texts(world, each)
    return judged


def _judge_texts(world: World, found: Judged) -> None:
    """Refuse characters that are not allowed, as the other doors do: what is stored already stays.

    A file is judged again when it is written, because another text may be stored by then.
    """
    for fault in text_faults(found.row):
        if not _is_stored(world, found, fault.column):
            found.faults = [other for other in found.faults if other.column != fault.column] + [fault]


def _is_stored(world: World, found: Judged, column: str) -> bool:
    """Return whether the row says what is stored, or names a stored row by this text."""
    text = found.row.values[column]
    if found.row.kind == PLAN.name or column == "plan":
        return _is_there(world.plans.get(text))
    match column:
        case "tenant":
            place = world.place(text)
            return place is not None and place.tenant is not None
        case "key" | "service" | "queue":
            return _is_there(world.services.get(text))
        case "email":
            return world.is_known(text)
    name = _FIELDS.get(column, column)
    if isinstance(found.target, Somebody):
        return found.target.get(name) == text
    return _is_there(found.target) and getattr(found.target, name) == text


def _is_there(row: Any) -> bool:
    return row is not None and not row._state.adding


#: The columns whose field has another name.
_FIELDS = {"tenant_name": "name", "tenant_external_id": "external_id"}
_FIELDS |= {"person_name": "name", "person_time_zone": "time_zone"}


def write(current: Step, world: World, judged: Sequence[Judged]) -> None:
    """Write what changes immediately. Rows that wait for a second person add nothing here."""
    entries: list[recorder.Witnessed] = []
    for kind in KINDS:
        entries += WRITERS[kind](current, world, [each for each in judged if each.row.kind == kind])
    if entries:
        recorder.record(entries, at=current.at)
