"""Judges and writes the rows of an import that are about tenants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audit_app import recorder
from requests_app.domain.acts.tenants import (
    SWITCH_OFF_TENANT_ANNOUNCED,
    SWITCH_ON_TENANT_ANNOUNCED,
    TENANT_CHANGED,
    TENANT_CREATED,
)
from requests_app.domain.imports import TENANT, Row, is_short_name, some_of
from requests_app.domain.spelling import is_composed
from requests_app.models import Plan, Tenant
from requests_app.operations import _weakening
from requests_app.operations._change import Step
from requests_app.operations._ending import switch_tenant
from requests_app.operations._import_judged import Judged, about, entry_about, new_here, set_values
from requests_app.operations._import_world import Place, World
from requests_app.platform import time_zones


def judge_tenant(world: World, row: Row) -> Judged:
    """Compare a row with its tenant. Several rows can name the same tenant, if they do not contradict each other."""
    found = Judged(row, name=row.values.get("tenant_name") or row.values.get("tenant", ""))
    key = row.values.get("tenant")
    if key is None:
        return found
    place = world.place(key)
    wanted = {name: value for name, value in row.values.items() if name in TENANT.values}
    if "time_zone" in wanted:
        wanted["time_zone"] = time_zones.found(wanted["time_zone"]) or wanted["time_zone"]
    if world.is_ambiguous(key):
        found.fault("tenant", "ambiguous_tenant")
    elif place is None and not wanted:
        found.fault("tenant", "unknown_tenant", value=key)
    elif place is None:
        _judge_new_tenant(world, found, key, wanted)
    else:
        _judge_known_tenant(world, found, place, wanted)
    return found


def _judge_new_tenant(world: World, found: Judged, slug: str, wanted: dict[str, Any]) -> None:
    found.slug, found.is_new = slug, True
    if not is_short_name(slug):
        found.fault("tenant", "bad_short_name")
    if world.is_of_another(slug, slug):
        found.fault("tenant", "short_name_taken")
    for name in ("tenant_name", "plan"):
        if name not in wanted:
            found.fault(name, "needed", because="for_new", what=slug)
    plan = _referred(world, found, wanted)
    name, external_id = wanted.get("tenant_name", ""), wanted.get("tenant_external_id", "")
    if name in world.named:
        found.fault("tenant_name", "name_taken")
    _require_external_id(world, found, slug, external_id)
    tenant = Tenant(name=name, slug=slug, time_zone=wanted.get("time_zone", "UTC"), external_id=external_id)
    tenant.is_active = wanted.get("tenant_active", True)
    if plan is not None:
        tenant.plan = plan
    found.target = tenant
    place = world.add_tenant(tenant)
    place.stated = {name: (value, found.row.line) for name, value in wanted.items()}


def _judge_known_tenant(world: World, found: Judged, place: Place, wanted: dict[str, Any]) -> None:
    found.slug = place.slug
    wanted = new_here(found, place.stated, wanted)
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
    if wanted.get("tenant_active", tenant.is_active) != tenant.is_active:
        _judge_switch(found, place, tenant, is_active=wanted["tenant_active"])
    if plan is not None and plan.pk != tenant.plan_id:
        _judge_plan(world, found, place, tenant, plan)


def _judge_external_id(world: World, found: Judged, tenant: Tenant, external_id: str) -> None:
    if external_id == tenant.external_id:
        return
    if tenant.external_id:
        # A tenant's new external id could be another tenant's old one, and the next file would change the wrong tenant.
        found.fault("tenant_external_id", "another_external_id", external_id=tenant.external_id)
    else:
        _require_external_id(world, found, tenant.slug, external_id)
    world.hold(external_id, tenant.slug)
    found.sets["external_id"] = external_id


def _judge_switch(found: Judged, place: Place, tenant: Tenant, *, is_active: bool) -> None:
    if place.is_protected:
        announced = SWITCH_ON_TENANT_ANNOUNCED if is_active else SWITCH_OFF_TENANT_ANNOUNCED
        found.held.append((announced, {"tenant": str(tenant.pk), "name": tenant.name}))
    else:
        found.sets["is_active"] = is_active


def _require_external_id(world: World, found: Judged, slug: str, external_id: str) -> None:
    if not is_composed(external_id):
        found.fault("tenant_external_id", "not_composed")
    elif external_id and world.is_of_another(external_id, slug):
        found.fault("tenant_external_id", "external_id_taken")


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
        found.fault("plan", "unknown_plan", value=wanted["plan"], known=some_of(world.plans))
    if wanted.get("time_zone", "UTC") not in time_zones.names():
        found.fault("time_zone", "unknown_time_zone", value=wanted["time_zone"])
    return plan


def write_tenants(current: Step, world: World, judged: Sequence[Judged]) -> list[recorder.Witnessed]:
    entries = []
    for each in judged:
        tenant: Tenant = each.target
        if each.is_new:
            tenant.created_at = current.at
            tenant.save(force_insert=True)
            world.places[tenant.slug].tenant = tenant
            detail: dict[str, Any] = {"name": tenant.name, "plan": tenant.plan.name}
            if tenant.external_id:
                detail["external_id"] = tenant.external_id
            entries.append(entry_about(current, TENANT_CREATED, tenant.pk, "tenant", tenant, detail))
        elif each.sets:
            sets = {name: value for name, value in each.sets.items() if name != "is_active"}
            if sets:
                detail = set_values(tenant, sets)
                tenant.save(update_fields=list(sets))
                entries.append(entry_about(current, TENANT_CHANGED, tenant.pk, "tenant", tenant, detail))
            if "is_active" in each.sets:
                with about(current, "tenant", tenant):
                    switch_tenant(current, tenant, on=each.sets["is_active"])
    return entries
