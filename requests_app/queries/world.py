"""Reads the world: what staff set up, as `world.yaml` has it, and what a file does not name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from requests_app.domain.imports import PLAN, RESOURCE, SERVICE, TENANT, Row
from requests_app.models import Plan, Resource, Service, Tenant

#: What is left out of the file if it is empty.
_OPTIONAL = ("external_id", "locator", "application", "link_template", "guidance")


def exported() -> dict[str, Any]:
    """Return the world in the order of a file. Practice resources are no part of it."""
    resources: dict[Any, list[dict[str, Any]]] = {}
    rows = Resource.objects.real().select_related("service")
    for row in rows.order_by("service__key", "external_id", "locator"):
        resources.setdefault(row.tenant_id, []).append(_resource(row))
    return {
        "version": 1,
        "plans": list(Plan.objects.order_by("name").values("name", "includes_lockbox")),
        "services": [_service(row) for row in Service.objects.order_by("key")],
        "tenants": [
            {**_tenant(row), "resources": resources.get(row.pk, [])}
            for row in Tenant.objects.select_related("plan").order_by("slug")
        ],
    }


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value or name not in _OPTIONAL}


def _service(row: Service) -> dict[str, Any]:
    values: dict[str, Any] = {"key": row.key, "name": row.name, "connector": row.connector}
    values |= {"covered": row.is_covered, "active": row.is_active, "application": row.application}
    return _filled({**values, "link_template": row.link_template, "guidance": row.guidance})


def _tenant(row: Tenant) -> dict[str, Any]:
    values = {"short_name": row.slug, "name": row.name, "external_id": row.external_id, "plan": row.plan.name}
    return _filled({**values, "time_zone": row.time_zone, "active": row.is_active})


def _resource(row: Resource) -> dict[str, Any]:
    values = {"service": row.service.key, "external_id": row.external_id, "kind": str(row.kind), "name": row.name}
    return _filled({**values, "locator": row.locator, "active": row.is_active})


def missing(rows: Collection[Row], *, sections: Collection[str], complete: Collection[str]) -> list[tuple[str, Row]]:
    """Return what is active and not named by these rows, each with its name and the row that switches it off.

    Only the lists that the file has are compared: its `sections`, and the resources of the tenants in `complete`. A
    plan can't be switched off: its row changes nothing.
    """
    found: list[tuple[str, Row]] = []
    if "plans" in sections:
        names = {row.values.get("name") for row in rows if row.kind == PLAN.name}
        found += ((row.name, Row(0, PLAN.name, {"name": row.name})) for row in Plan.objects.exclude(name__in=names))
    if "services" in sections:
        keys = {row.values.get("key") for row in rows if row.kind == SERVICE.name}
        for service in Service.objects.filter(is_active=True).order_by("key"):
            if service.key not in keys:
                found.append((service.name, Row(0, SERVICE.name, {"key": service.key, "active": False})))
    named = {row.values.get("tenant") for row in rows if row.kind == TENANT.name}
    for tenant in Tenant.objects.order_by("slug"):
        keys_of_tenant = {tenant.slug, tenant.external_id} - {""}
        if "tenants" in sections and tenant.is_active and not keys_of_tenant & named:
            found.append((tenant.name, Row(0, TENANT.name, {"tenant": tenant.slug, "tenant_active": False})))
    return [*found, *_resources(rows, complete)]


def _resources(rows: Collection[Row], complete: Collection[str]) -> list[tuple[str, Row]]:
    """Return the active resources of these tenants that no row names by the external id or by the locator."""
    named = {
        (row.values.get("tenant"), row.values.get("service"), name, row.values[name])
        for row in rows
        if row.kind == RESOURCE.name
        for name in ("external_id", "locator")
        if name in row.values
    }
    found = []
    active = Resource.objects.real().filter(is_active=True).select_related("service", "tenant")
    for row in active.order_by("tenant__slug", "service__key", "external_id", "locator"):
        keys = ({row.tenant.slug, row.tenant.external_id} - {""}) & set(complete)
        ids = {name: getattr(row, name) for name in ("external_id", "locator") if getattr(row, name)}
        is_named = any((key, row.service.key, *each) in named for key in keys for each in ids.items())
        if keys and not is_named:
            name, value = next(iter(ids.items()))
            values = {"tenant": row.tenant.slug, "service": row.service.key, name: value, "active": False}
            found.append((f"{row.name} ({row.tenant.slug})", Row(0, RESOURCE.name, values)))
    return found
