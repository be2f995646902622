"""Judges and writes the rows of an import that are about plans and services.

They belong to no tenant, so a change of them can reduce the protection of many tenants. Such a change waits, as it
would alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from audit_app import recorder
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import CHANGE_PLAN, CHANGE_SERVICE, PLAN_CHANGED
from requests_app.domain.errors import Unacceptable
from requests_app.domain.imports import Row
from requests_app.domain.spelling import is_composed
from requests_app.models import Plan, Service
from requests_app.operations import _service_rows as services
from requests_app.operations._announced import Terms, is_announced
from requests_app.operations._change import Step
from requests_app.operations._import_judged import Judged, about, new_here
from requests_app.operations._import_world import World
from requests_app.operations._rows import change_row, copy_with, differing, validated

#: The columns whose field has another name.
_FIELDS = {"covered": "is_covered", "active": "is_active"}
#: The fields of a service's gate.
_GATE = ("gate_rules", "gate_identity", "gate_upstream")
_COLUMNS = {field: column for column, field in _FIELDS.items()}


def judge_plan(world: World, row: Row) -> Judged:
    """Compare a row with the plan of this name."""
    found = Judged(row, name=row.values.get("name", ""))
    if not found.name:
        return found
    plan = world.plans.get(found.name)
    wanted = new_here(found, world.stated("plan", found.name), row.values)
    if plan is None:
        if "includes_lockbox" not in wanted:
            found.fault("includes_lockbox", "needed", because="for_new", what=found.name)
        found.is_new, found.sets = True, wanted
        plan = Plan(**wanted)
        world.plans[found.name] = plan
    elif not plan._state.adding:
        _compare(found, plan, wanted, _change_of_plan)
        if found.held:
            world.losing.add(str(plan.pk))
    found.target = plan
    return found


def _change_of_plan(plan: Plan, wanted: Terms) -> tuple[Change, Terms] | None:
    loses = plan.includes_lockbox and wanted.get("includes_lockbox") is False
    return (CHANGE_PLAN, differing(plan, wanted)) if loses else None


def judge_service(world: World, row: Row) -> Judged:
    """Compare a row with the service of this key."""
    found = Judged(row, name=row.values.get("name") or row.values.get("key", ""))
    key = row.values.get("key")
    if key is None:
        return found
    service = world.services.get(key)
    if service is None and (other := world.alike_key(key)):
        found.fault("key", "alike_service", other=other)
        return found
    wanted = new_here(found, world.stated("service", key), row.values)
    wanted = {_FIELDS.get(name, name): value for name, value in wanted.items()}
    if service is None:
        _judge_new_service(world, found, wanted)
    else:
        found.target, found.name = service, service.name
        if not service._state.adding:
            _require_free_name(world, found, service, wanted)
            _compare(found, service, _complete(found, service, wanted), services.changing)
            if any(change.name == CHANGE_SERVICE.name and "connector" in terms["set"] for change, terms in found.held):
                world.waiting.add(key)
    return found


def _judge_new_service(world: World, found: Judged, wanted: dict[str, Any]) -> None:
    found.is_new = True
    for name in ("name", "connector"):
        if name not in wanted:
            found.fault(name, "needed", because="for_new", what=found.row.values["key"])
    service = Service(**{"name": "", "connector": "", **wanted})
    found.target, found.sets = service, wanted
    world.services[service.key] = service
    _require_free_name(world, found, service, wanted)
    if not found.faults:
        found.sets = _complete(found, Service(), wanted)
        _require_valid(found, copy_with(service, found.sets))
    if not found.faults and (addition := services.adding(found.sets)) is not None and is_announced(*addition):
        found.held.append(addition)
        world.waiting.add(service.key)


def _require_free_name(world: World, found: Judged, service: Service, wanted: dict[str, Any]) -> None:
    """Refuse a new name that another service has: an approver knows a service only by its name."""
    name = wanted.get("name", "")
    if name and (service._state.adding or name != service.name):
        if not is_composed(name):
            found.fault("name", "not_composed")
        elif other := world.name_service(service.key, name):
            found.fault("name", "alike_service", other=other)


def _complete(found: Judged, service: Service, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the values with those that follow from the connector. Refuse values that don't fit it."""
    connector = wanted.get("connector", service.connector)
    given = {name: wanted.get(name) for name in ("application", "link_template", "guidance")}
    rest = {name: value for name, value in wanted.items() if name not in (*given, "levels", *_GATE)}
    try:
        services.require_reachable(service, connector)
        levels = services.level_values(service, connector, wanted.get("levels"))
        external = services.external_values(service, connector, given)
        rules, identity, upstream = (wanted.get(name) for name in _GATE)
        gate = services.gate_values(service, connector, external, rules=rules, identity=identity, upstream=upstream)
        return {**rest, **external, **levels, **gate}
    except Unacceptable as refusal:
        found.fault(_COLUMNS.get(refusal.field, refusal.field), "refused_value", why=str(refusal))
        return rest


def _compare(
    found: Judged, row: Any, wanted: dict[str, Any], change: Callable[[Any, Terms], tuple[Change, Terms] | None]
) -> None:
    """Say what changes immediately, and what must be announced to tenants first."""
    sets = differing(row, wanted)["set"]
    _require_valid(found, copy_with(row, sets))
    if found.faults:
        return
    # Switching off takes power away, so it never waits.
    rest = {name: value for name, value in sets.items() if not (name == "is_active" and value is False)}
    if (held := change(row, rest)) is not None and is_announced(*held):
        found.held.append(held)
        sets = {name: value for name, value in sets.items() if name not in rest}
    found.sets = sets


def _require_valid(found: Judged, row: Any) -> None:
    try:
        validated(row)
    except Unacceptable as refusal:
        found.fault(_COLUMNS.get(refusal.field, refusal.field), "refused_value", why=str(refusal))


def write_plans(current: Step, world: World, judged: Sequence[Judged]) -> list[recorder.Witnessed]:
    for each in judged:
        if each.sets:
            with about(current, "plan", each.target):
                change_row(current, each.target, each.sets, allowed=set(each.sets), event=PLAN_CHANGED)
    return []


def write_services(current: Step, world: World, judged: Sequence[Judged]) -> list[recorder.Witnessed]:
    for each in judged:
        if each.sets and not (each.is_new and each.held):
            service = Service() if each.is_new else each.target
            with about(current, "service", service):
                services.write_service(current, service, each.sets)
    return []
