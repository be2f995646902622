"""Judges and writes the rows of an import, each with the functions of its kind.

The same functions judge a whole file before anything changes, and each tenant's rows again, under the turn at the
tenant's log, when they are written. A new kind of row needs its declaration (`domain.imports`), and its two functions
here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from audit_app import recorder
from requests_app.domain.imports import KINDS, PERSON, PLAN, RESOURCE, ROLE, SERVICE, TENANT, Row
from requests_app.operations._change import Step
from requests_app.operations._import_judged import Judged
from requests_app.operations._import_people import judge_person, judge_role, write_people, write_roles
from requests_app.operations._import_plans import judge_plan, judge_service, write_plans, write_services
from requests_app.operations._import_resources import judge_resource, write_resources
from requests_app.operations._import_tenants import judge_tenant, write_tenants
from requests_app.operations._import_world import World

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
    return [JUDGES[kind](world, row) for kind in KINDS for row in rows if row.kind == kind]


def write(current: Step, world: World, judged: Sequence[Judged]) -> None:
    """Write what changes immediately. Rows that wait for a second person add nothing here."""
    entries: list[recorder.Witnessed] = []
    for kind in KINDS:
        entries += WRITERS[kind](current, world, [each for each in judged if each.row.kind == kind])
    if entries:
        recorder.record(entries, at=current.at)
