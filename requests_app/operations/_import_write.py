"""Writes the judged rows of one batch, and their entries, in the transaction of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from audit_app import recorder
from requests_app.domain.acts.installation import RESOURCE_ADDED, RESOURCE_CHANGED
from requests_app.domain.acts.tenants import TENANT_CHANGED, TENANT_CREATED
from requests_app.domain.imports import KINDS, RESOURCE, TENANT
from requests_app.models import Resource, Tenant
from requests_app.operations._change import Step
from requests_app.operations._import_judge import Judged
from requests_app.operations._import_world import World

Write = Callable[[Step, World, Sequence[Judged]], list[recorder.Witnessed]]


def write(current: Step, world: World, judged: Sequence[Judged]) -> None:
    """Write what changes immediately. Rows that wait for a second person add nothing here."""
    entries: list[recorder.Witnessed] = []
    for kind in KINDS:
        entries += WRITERS[kind](current, world, [each for each in judged if each.row.kind == kind])
    if entries:
        recorder.record(entries, at=current.at)


def write_tenants(current: Step, world: World, judged: Sequence[Judged]) -> list[recorder.Witnessed]:
    entries = []
    for each in judged:
        tenant: Tenant = each.target
        if each.is_new:
            tenant.created_at = current.at
            tenant.save(force_insert=True)
            world.places[tenant.slug].tenant = tenant
            detail: dict[str, Any] = {"name": tenant.name, "plan": tenant.plan.name}
            entries.append(_entry(current, TENANT_CREATED, tenant.pk, "tenant", tenant, detail))
        elif each.sets:
            detail = _set(tenant, each.sets)
            tenant.save(update_fields=list(each.sets))
            entries.append(_entry(current, TENANT_CHANGED, tenant.pk, "tenant", tenant, detail))
    return entries


def write_resources(current: Step, world: World, judged: Sequence[Judged]) -> list[recorder.Witnessed]:
    entries, new = [], []
    changed: dict[tuple[str, ...], list[Resource]] = {}
    for each in judged:
        resource: Resource = each.target
        if each.is_new and not each.held:
            tenant = world.places[each.slug].tenant
            assert tenant is not None
            resource.tenant = tenant
            new.append(resource)
            detail = {"set": {name: str(value) for name, value in each.sets.items()}, "was": {}}
            entries.append(_entry(current, RESOURCE_ADDED, tenant.pk, "resource", resource, detail))
        elif each.sets and not each.is_new:
            detail = _set(resource, each.sets)
            changed.setdefault(tuple(each.sets), []).append(resource)
            entries.append(_entry(current, RESOURCE_CHANGED, resource.tenant_id, "resource", resource, detail))
    Resource.objects.bulk_create(new, batch_size=500)
    for names, resources in changed.items():
        for resource in resources:
            # New resources are due for a test already.
            resource.next_check_at = None
        Resource.objects.bulk_update(resources, [*names, "next_check_at"], batch_size=200)
    return entries


def _set(row: Any, sets: dict[str, Any]) -> dict[str, Any]:
    """Set these values, and return the detail of the entry."""
    was = {name: str(getattr(row, name)) for name in sets}
    for name, value in sets.items():
        setattr(row, name, value)
    return {"set": {name: str(value) for name, value in sets.items()}, "was": was}


def _entry(
    current: Step, event: str, tenant_id: Any, subject: str, row: Tenant | Resource, detail: dict[str, Any]
) -> recorder.Witnessed:
    entry = current.entry(event, detail=detail, text=str(row))
    return replace(entry, tenant_id=tenant_id, subject_type=subject, subject_id=str(row.pk))


#: The function that writes each kind of row.
WRITERS: dict[str, Write] = {TENANT.name: write_tenants, RESOURCE.name: write_resources}
