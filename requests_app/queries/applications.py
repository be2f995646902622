"""Reads whether the applications of external services ask for access. Nothing records advice, so it doesn't count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from audit_app.models import AuditEntry
from requests_app.domain.acts.content import ALLOW_ACCESS
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.scopes import Scope
from requests_app.models import Client, ContentAccess, QueueAssignment, Resource, Service
from requests_app.models.access import ALLOWED

#: How many rows are read at most.
READ = 500


@dataclass(frozen=True)
class Example:
    """A question that an application could ask now, about a resource and an engineer of its service."""

    service: str
    resource: str
    tenant: str
    engineer: str


def has_asking_client() -> bool:
    """Return whether a client of the provider can ask about the resources of every tenant."""
    clients = Client.objects.live().filter(tenant=None).values_list("scopes", flat=True)[:READ]
    return any(Scope.EVALUATE in scopes for scopes in clients)


def asked_services() -> frozenset[str]:
    """Return the keys of the external services about whose resources a client of the provider has asked for access."""
    resources = Resource.objects.real().filter(service__connector=Service.EXTERNAL)
    allowed = ContentAccess.objects.filter(resource__in=resources, kind__in=ALLOWED)
    keys = set(allowed.values_list("resource__service__key", flat=True).distinct()[:READ])
    denied = resources.filter(pk__in=_denied(resources.values_list("tenant_id", flat=True).distinct()[:READ]))
    return frozenset(keys | set(denied.values_list("service__key", flat=True).distinct()[:READ]))


def _denied(tenants: Iterable[UUID]) -> list[str]:
    """Return the resources about which the logs of these tenants have a denial that a client of the provider got."""
    rows = AuditEntry.objects.filter(
        tenant_id__in=list(tenants),
        actor_id__in=list(Client.objects.filter(tenant=None).values_list("account_id", flat=True)[:READ]),
        event=ACT_REFUSED,
        subject_type="resource",
        text__startswith=f"{ALLOW_ACCESS.name} ",
    )
    return list(rows.order_by().values_list("subject_id", flat=True).distinct()[:READ])


def example() -> Example | None:
    """Return a question about the first resource of an external service."""
    rows = Resource.objects.real().filter(service__connector=Service.EXTERNAL, is_active=True, service__is_active=True)
    row = rows.select_related("service", "tenant").order_by("tenant__created_at", "pk").first()
    if row is None:
        return None
    return Example(row.service.key, row.external_id, row.tenant.slug, _engineer(row.service_id))


def _engineer(service: UUID) -> str:
    rows = QueueAssignment.objects.filter(service=service, role="engineer", person__is_active=True)
    return rows.order_by("given_at").values_list("person__email", flat=True).first() or ""
