"""Judges the rows of an import against what exists: which rows are new, changed, held for a second person, or faulty.

The same functions judge a whole file before anything changes, and each tenant's rows again, under the turn at the
tenant's log, when they are written.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.imports import KINDS, RESOURCE, TENANT, Fault, Row, Status, is_short_name
from requests_app.models import Plan, Resource, Service, Tenant
from requests_app.models.services import is_under
from requests_app.operations import _weakening
from requests_app.operations._announced import Terms
from requests_app.operations._import_world import Place, Thing, World
from requests_app.operations._rows import differing
from requests_app.platform import time_zones


@dataclass
class Judged:
    """What a row would do. `row.line` is its line in the source.

    `target` is the row of the database, or the row that would be added. `sets` has the values that change immediately,
    and `held` the changes that are announced first.
    """

    row: Row
    slug: str = ""
    name: str = ""
    target: Any = None
    is_new: bool = False
    sets: dict[str, Any] = field(default_factory=dict)
    held: list[tuple[Change, Terms]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults += self.row.faults

    @property
    def status(self) -> Status:
        if self.faults:
            return Status.REFUSED
        if self.held:
            return Status.WAITING
        if self.is_new:
            return Status.CREATED
        return Status.CHANGED if self.sets else Status.UNCHANGED

    @property
    def changes_now(self) -> bool:
        """Whether the row adds or changes something without waiting for a second person."""
        return not self.held if self.is_new else bool(self.sets)

    def fault(self, column: str, code: str, **facts: Any) -> None:
        """Add a fault, unless there is one in the same place already."""
        if all(fault.column != column for fault in self.faults):
            self.faults.append(Fault(self.row.line, column, code, facts))


Judge = Callable[[World, Row], Judged]


def judge(rows: Collection[Row], world: World) -> list[Judged]:
    """Return what each row would do, the tenants first. The rows must be those from which `world` was read."""
    return [JUDGES[kind](world, row) for kind in KINDS for row in rows if row.kind == kind]


# --- Tenants -----------------------------------------------------------------------------------------------------


def judge_tenant(world: World, row: Row) -> Judged:
    """Compare a row with its tenant. Several rows can name the same tenant, if they do not contradict each other."""
    found = Judged(row, name=row.values.get("tenant_name") or row.values.get("tenant", ""))
    key = row.values.get("tenant")
    if key is None:
        return found
    place = world.place(key)
    wanted = {name: value for name, value in row.values.items() if name in TENANT.values}
    if world.is_ambiguous(key):
        found.fault("tenant", "ambiguous_tenant")
    elif place is None and not wanted:
        found.fault("tenant", "unknown_tenant")
    elif place is None:
        _judge_new_tenant(world, found, key, wanted)
    else:
        _judge_known_tenant(world, found, place, wanted)
    return found


def _judge_new_tenant(world: World, found: Judged, slug: str, wanted: dict[str, Any]) -> None:
    found.slug, found.is_new = slug, True
    if not is_short_name(slug):
        found.fault("tenant", "bad_short_name")
    for name in ("tenant_name", "plan"):
        if name not in wanted:
            found.fault(name, "needed")
    plan = _referred(world, found, wanted)
    name, external_id = wanted.get("tenant_name", ""), wanted.get("tenant_external_id", "")
    if name in world.named:
        found.fault("tenant_name", "name_taken")
    if external_id and world.place(external_id) is not None:
        found.fault("tenant_external_id", "external_id_taken")
    tenant = Tenant(name=name, slug=slug, time_zone=wanted.get("time_zone", "UTC"), external_id=external_id)
    if plan is not None:
        tenant.plan = plan
    found.target = tenant
    place = world.add_tenant(tenant)
    place.stated = {name: (value, found.row.line) for name, value in wanted.items()}


def _judge_known_tenant(world: World, found: Judged, place: Place, wanted: dict[str, Any]) -> None:
    found.slug = place.slug
    wanted = _new_here(found, place.stated, wanted)
    plan = _referred(world, found, wanted)
    if place.tenant is None:
        # Another row of the source has set it up, with all that it says about it.
        for name in wanted:
            found.fault(name, "contradicts", line=min((line for _value, line in place.stated.values()), default=1))
        return
    tenant = found.target = place.tenant
    found.name = tenant.name
    name = wanted.get("tenant_name", tenant.name)
    if name != tenant.name:
        if name in world.named:
            found.fault("tenant_name", "name_taken")
        found.sets["name"] = name
    if wanted.get("time_zone", tenant.time_zone) != tenant.time_zone:
        found.sets["time_zone"] = wanted["time_zone"]
    _judge_external_id(world, found, tenant, wanted.get("tenant_external_id", tenant.external_id))
    if plan is not None and plan.pk != tenant.plan_id:
        _judge_plan(world, found, place, tenant, plan)


def _judge_external_id(world: World, found: Judged, tenant: Tenant, external_id: str) -> None:
    if external_id == tenant.external_id:
        return
    if tenant.external_id:
        # A tenant's new external id could be another tenant's old one, and the next file would change the wrong tenant.
        found.fault("tenant_external_id", "another_external_id", external_id=tenant.external_id)
    elif world.place(external_id) not in (None, world.place(tenant.slug)) or world.holder_of_id(external_id):
        found.fault("tenant_external_id", "external_id_taken")
    found.sets["external_id"] = external_id


def _judge_plan(world: World, found: Judged, place: Place, tenant: Tenant, plan: Plan) -> None:
    if place.is_protected and str(plan.pk) in world.losing:
        found.fault("plan", "lasting_plan")
    elif place.is_protected and (move := _weakening.move(tenant, plan)) is not None:
        found.held.append(move)
    else:
        found.sets["plan"] = plan


def _referred(world: World, found: Judged, wanted: dict[str, Any]) -> Plan | None:
    """Return the plan that the row names, and check its time zone."""
    plan = world.plans.get(wanted.get("plan", ""))
    if "plan" in wanted and plan is None:
        found.fault("plan", "unknown_plan")
    if wanted.get("time_zone", "UTC") not in time_zones.names():
        found.fault("time_zone", "unknown_time_zone")
    return plan


def _new_here(found: Judged, stated: dict[str, tuple[Any, int]], wanted: dict[str, Any]) -> dict[str, Any]:
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


# --- Resources ---------------------------------------------------------------------------------------------------


def judge_resource(world: World, row: Row) -> Judged:
    """Compare a row with its resource, which is found by its external id, or else by its locator."""
    values = row.values
    found = Judged(row, name=values.get("name") or values.get("external_id") or values.get("locator", ""))
    service = world.services.get(values.get("service", ""))
    if "service" in values and service is None:
        found.fault("service", "unknown_service")
    key = values.get("tenant")
    place = world.place(key) if key is not None else None
    if key is not None and place is None:
        found.fault("tenant", "unknown_tenant")
    if place is None or key is None or service is None:
        return found
    found.slug = place.slug
    if world.is_ambiguous(key):
        found.fault("tenant", "ambiguous_tenant")
    if service.is_external:
        _require_no_locator(found, service)
    elif "locator" in values:
        _require_place(found, place.slug)
    external_id = values.get("external_id", "")
    thing = place.by_external_id.get((service.key, external_id)) if external_id else None
    if external_id and thing is None and world.elsewhere(service, external_id, place.slug):
        found.fault("external_id", "of_another_tenant")
    thing = thing or place.by_locator.get((service.key, values.get("locator", "")))
    if thing is None:
        _judge_new_resource(world, found, place, service)
    else:
        _judge_known_resource(world, found, place, service, thing)
    return found


def _require_place(found: Judged, slug: str) -> None:
    locator = found.row.values["locator"]
    is_plain = str(PurePosixPath(locator)) == locator and "\\" not in locator
    if not is_under(slug, locator):
        found.fault("locator", "outside_root", root=slug)
    elif not is_plain or unicodedata.normalize("NFC", locator) != locator:
        found.fault("locator", "not_a_plain_path")


def _require_no_locator(found: Judged, service: Service) -> None:
    """Refuse a locator in an external service: the external id is the resource's name in the application."""
    if "locator" in found.row.values:
        found.fault("locator", "no_locator", application=service.application)
    if found.row.values.get("external_id") in (".", ".."):
        found.fault("external_id", "not_an_id")


def _judge_new_resource(world: World, found: Judged, place: Place, service: Service) -> None:
    values = found.row.values
    found.is_new = True
    for name in ("kind", "name", "external_id" if service.is_external else "locator"):
        if name not in values:
            found.fault(name, "needed")
    locator = values.get("locator", "")
    _require_kind(found)
    _require_free(found, place, locator)
    wanted = {name: values.get(name, "") for name in ("kind", "name", *(() if service.is_external else ("locator",)))}
    wanted |= {"is_active": values.get("active", True)}
    wanted |= {"external_id": values["external_id"]} if "external_id" in values else {}
    resource = Resource(service=service, **wanted)
    if place.tenant is not None:
        resource.tenant = place.tenant
    if place.is_protected and (addition := _weakening.addition(resource, wanted)) is not None:
        found.held.append(addition)
    found.target, found.sets = resource, wanted
    _remember(world, found, place, service, Thing(resource))


def _judge_known_resource(world: World, found: Judged, place: Place, service: Service, thing: Thing) -> None:
    resource: Resource = thing.resource
    found.target, found.name = resource, resource.name
    named = {name: value for name, value in found.row.values.items() if name not in ("tenant", "service")}
    if resource._state.adding:
        _compare_with_new(found, thing, named)
        return
    wanted = _new_here(found, thing.stated, named)
    if wanted.get("kind", resource.kind) != resource.kind:
        found.fault("kind", "cannot_change", now=resource.kind)
    external_id = wanted.get("external_id", resource.external_id)
    if resource.external_id and external_id != resource.external_id:
        found.fault("external_id", "another_external_id", external_id=resource.external_id)
    if wanted.get("locator", resource.locator) != resource.locator:
        _require_free(found, place, wanted["locator"])
    wanted = {_FIELDS.get(name, name): value for name, value in wanted.items() if name != "kind"}
    changed = differing(resource, wanted)["set"]
    if changed.get("is_active") is False:
        # Switching off takes power away, so it never waits.
        found.sets["is_active"] = changed.pop("is_active")
    _now_or_held(world, found, place, changed)
    _remember(world, found, place, service, thing)


#: The columns whose field has another name.
_FIELDS = {"active": "is_active"}


def _now_or_held(world: World, found: Judged, place: Place, changed: dict[str, Any]) -> None:
    resource: Resource = found.target
    was, is_covered = {"external_id": resource.external_id}, world.services[found.row.values["service"]].is_covered
    weakens = _weakening.always_weakens(changed, was, is_covered=is_covered) or (
        _weakening.weakens_if_named(changed) and world.was_asked_for(resource)
    )
    if changed and place.is_protected and weakens:
        assert place.tenant is not None
        resource.tenant = place.tenant
        found.held.append(_weakening.change(resource, changed))
    else:
        found.sets |= changed


def _compare_with_new(found: Judged, thing: Thing, named: dict[str, Any]) -> None:
    """Refuse what differs from the row of the source that adds this resource."""
    first = min((line for _value, line in thing.stated.values()), default=1)
    for name, value in named.items():
        stated, line = thing.stated.get(name, (None, first))
        if stated != value:
            found.fault(name, "contradicts", line=line)


def _require_kind(found: Judged) -> None:
    if found.row.values.get("kind", Resource.Kind.MAILBOX) not in Resource.Kind.values:
        found.fault("kind", "not_a_choice", choices=", ".join(Resource.Kind.values))


def _require_free(found: Judged, place: Place, locator: str) -> None:
    if locator and (other := place.in_the_way(locator)) is not None:
        found.fault("locator", "overlaps", other=other)


def _remember(world: World, found: Judged, place: Place, service: Service, thing: Thing) -> None:
    """Add what the row says to what exists, so that the following rows are compared with it too."""
    values = found.row.values
    for name, value in values.items():
        if name not in ("tenant", "service"):
            thing.stated.setdefault(name, (value, found.row.line))
    if locator := values.get("locator"):
        place.by_locator.setdefault((service.key, locator), thing)
        place.occupy(locator, found.name)
    if external_id := values.get("external_id"):
        place.by_external_id.setdefault((service.key, external_id), thing)
        world.note_resource(service, external_id, place.slug)


#: The function that judges each kind of row.
JUDGES: dict[str, Judge] = {TENANT.name: judge_tenant, RESOURCE.name: judge_resource}
