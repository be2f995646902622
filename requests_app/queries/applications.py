"""Reads whether the applications of external services are connected: they ask for access, or their guard reports.

Nothing records advice, so it doesn't count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Max

from audit_app.models import AuditEntry
from requests_app.domain import clock, link_templates
from requests_app.domain.acts.callers import LET_CLIENT_GUARD
from requests_app.domain.acts.content import ALLOW_ACCESS
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.scopes import Scope
from requests_app.models import Client, ContentAccess, GateProxy, Guard, Proposal, QueueAssignment, Resource, Service
from requests_app.models.access import ALLOWED
from requests_app.words import signs as signs_words

#: How many rows are read at most.
READ = 500


@dataclass(frozen=True)
class Example:
    """A question that an application could ask now, about a resource and an engineer of its service."""

    service: str
    resource: str
    tenant: str
    engineer: str


@dataclass(frozen=True)
class Sign:
    """When a service's guard, or a proxy at its gate, was last heard of. `version` is the guard's."""

    at: datetime
    is_guard: bool
    version: str = ""

    def words(self, now: datetime) -> str:
        return signs_words.last_sign(is_guard=self.is_guard, at=self.at, version=self.version, now=now)


def signs(service: Service | None = None) -> dict[str, Sign]:
    """Return the last sign of each service that has a guard or a proxy, by the service's key.

    With `service`, read only about this one.
    """
    guards = Guard.objects.filter(client__account__is_active=True, client__service__isnull=False)
    proxies = GateProxy.objects.trusted().filter(asked_at__isnull=False)
    if service is not None:
        guards, proxies = guards.filter(client__service=service), proxies.filter(service=service)
    found: dict[str, Sign] = {}
    for guard in guards.select_related("client__service").order_by("pk")[:READ]:
        guarded, at = guard.client.service, guard.last_sign
        assert guarded is not None
        key = guarded.key
        if at is not None and (key not in found or found[key].at < at):
            found[key] = Sign(at, True, guard.version)
    for key, at in proxies.values_list("service__key").annotate(at=Max("asked_at")).order_by()[:READ]:
        if key not in found or found[key].at < at:
            found[key] = Sign(at, False)
    return found


def guard_settings(client: Client) -> dict[str, str]:
    """Return what somebody writes into the settings of a guard, without the secret. Without a service, return {}.

    If the scope is only proposed, the proposal says the service.
    """
    service = client.service if Scope.GUARD in client.scopes else _proposed_service(client)
    if service is None:
        return {}
    found = {"issuer": settings.BASE_URL, "service": service.key, "client_id": str(client.pk)}
    if service.link_template:
        found["origin"] = link_templates.origin_of(service.link_template)
    return found


def _proposed_service(client: Client) -> Service | None:
    proposals = Proposal.objects.of_staff().pending(clock.now())
    row = proposals.filter(act=LET_CLIENT_GUARD.name, said__client=str(client.pk)).first()
    return Service.objects.filter(pk=row.said["service"]).first() if row is not None else None


def scopes_of_clients() -> frozenset[str]:
    """Return what the clients of the provider can do, all together."""
    clients = Client.objects.live().filter(tenant=None).values_list("scopes", flat=True)[:READ]
    return frozenset(scope for scopes in clients for scope in scopes)


def asked_services() -> frozenset[str]:
    """Return the keys of the external services about whose resources a client of the provider has asked for access."""
    resources = Resource.objects.real().filter(service__connector=Service.EXTERNAL)
    external = Service.objects.filter(connector=Service.EXTERNAL).values_list("pk", "key")[:READ]
    # For each service, one row is enough.
    keys = {
        key
        for pk, key in external
        if ContentAccess.objects.filter(resource__in=resources.filter(service=pk), kind__in=ALLOWED).exists()
    }
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
