"""Reads the world: what staff set up, as `world.yaml` has it, and what a file does not name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Prefetch, Q

from requests_app.domain import clock
from requests_app.domain.actors import Role
from requests_app.domain.imports import PERSON, PLAN, RESOURCE, ROLE, SERVICE, TENANT, Row
from requests_app.models import Invitation, Person, Plan, QueueAssignment, Resource, Service, Tenant

_GATE = ("gate_rules", "gate_identity", "gate_upstream")
#: What is left out of the file if it is empty.
_OPTIONAL = ("external_id", "locator", "application", "link_template", "guidance", "levels", *_GATE)


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
        "people": _people(),
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
    values |= {"link_template": row.link_template, "guidance": row.guidance, "levels": row.levels}
    values |= {name: getattr(row, name) for name in _GATE}
    return _filled(values)


def _people() -> list[dict[str, Any]]:
    """Return the provider's people who have a role, and those who are invited to one. Each address is there once.

    An account without a role can do nothing. Without a role, nobody could be invited to it elsewhere.
    """
    found = {}
    for person in _active():
        roles = {(row.service.key, row.role) for row in person.shown}
        found[person.email] = _person(person, person.time_zone, roles, is_staff=person.is_staff)
    invited: dict[str, list[Invitation]] = {}
    for row in _expected():
        invited.setdefault(row.email, []).append(row)
    for email, rows in invited.items():
        roles = {(service.key, row.role) for row in rows for service in row.services.all()}
        is_staff = any(row.role == Role.STAFF for row in rows)
        found[email] = _person(rows[0], rows[0].zone, roles, is_staff=is_staff)
    return [found[email] for email in sorted(found)]


def _active() -> list[Any]:
    """Return the provider's people who have a role, each with `shown`: their roles in queues."""
    people = Person.objects.active().humans().filter(side=Person.Side.PROVIDER)
    people = people.filter(Q(is_staff=True) | Q(queue_assignments__isnull=False)).distinct()
    roles = QueueAssignment.objects.select_related("service")
    return list(people.prefetch_related(Prefetch("queue_assignments", queryset=roles, to_attr="shown")))


def _expected() -> list[Invitation]:
    """Return the open and the prepared invitations of people who have no account."""
    rows = Invitation.objects.filter(tenant=None).expected(clock.now())
    rows = rows.exclude(email__in=Person.objects.get_queryset().filter(side=Person.Side.PROVIDER).values("email"))
    return list(rows.prefetch_related("services").order_by("created_at", "pk"))


def _person(row: Any, time_zone: str, roles: set[tuple[str, str]], *, is_staff: bool) -> dict[str, Any]:
    values = {"email": row.email, "name": row.name, "time_zone": time_zone, "staff": is_staff, "active": True}
    shown = {name: value for name, value in values.items() if value != ""}
    return {**shown, "roles": [{"service": service, "role": role} for service, role in sorted(roles)]}


def _tenant(row: Tenant) -> dict[str, Any]:
    values = {"short_name": row.slug, "name": row.name, "external_id": row.external_id, "plan": row.plan.name}
    return _filled({**values, "time_zone": row.time_zone, "active": row.is_active})


def _resource(row: Resource) -> dict[str, Any]:
    values = {"service": row.service.key, "external_id": row.external_id, "kind": str(row.kind), "name": row.name}
    return _filled({**values, "locator": row.locator, "active": row.is_active})


def missing(
    rows: Collection[Row], *, sections: Collection[str], complete: Collection[tuple[str, str]]
) -> list[tuple[str, Row]]:
    """Return what is active and not named by these rows, each with its name and the row that switches it off.

    Only the lists that the file has are compared: its `sections`, and the resources of the tenants and the roles of the
    people in `complete`. A plan can't be switched off: its row changes nothing.
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
    found += _missing_people(rows, complete, is_listed="people" in sections)
    named = {row.values.get("tenant") for row in rows if row.kind == TENANT.name}
    for tenant in Tenant.objects.order_by("slug"):
        keys_of_tenant = {tenant.slug, tenant.external_id} - {""}
        if "tenants" in sections and tenant.is_active and not keys_of_tenant & named:
            found.append((tenant.name, Row(0, TENANT.name, {"tenant": tenant.slug, "tenant_active": False})))
    return [*found, *_resources(rows, {key for kind, key in complete if kind == TENANT.name})]


def _missing_people(
    rows: Collection[Row], complete: Collection[tuple[str, str]], *, is_listed: bool
) -> list[tuple[str, Row]]:
    """Return the people whom no row names, and the roles that no row names of the people whose roles are listed."""
    named = {row.values.get("email", "").lower() for row in rows if row.kind == PERSON.name}
    roles = {
        (row.values.get("email", "").lower(), row.values.get("queue"), row.values.get("role"))
        for row in rows
        if row.kind == ROLE.name
    }
    whole = {email.lower() for kind, email in complete if kind == PERSON.name}
    found: list[tuple[str, Row]] = []
    for person in _people() if is_listed else []:
        email = person["email"]
        if email not in named:
            row = Row(0, PERSON.name, {"email": email, "person_active": False})
            found.append((f"{person.get('name', '')} ({email})".strip(), row))
        for each in person["roles"] if email in whole else []:
            if (email, each["service"], each["role"]) not in roles:
                values = {"email": email, "queue": each["service"], "role": each["role"], "taken": True}
                found.append((f"{email}: {each['role']}, {each['service']}", Row(0, ROLE.name, values)))
    return found


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
