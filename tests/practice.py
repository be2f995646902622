"""The acts that bring a practice request of Contoso or another tenant of the cast into a state."""

from __future__ import annotations

from typing import Any

from requests_app import operations
from requests_app.models import AccessRequest, Grant, Resource, Ticket
from tests.cast import JUSTIFICATION, TRIED, Cast

APPROVERS = {"contoso": "ada", "fabrikam": "frida"}


def started(cast: Cast, tenant: str = "contoso", *, by: str = "stella", service: str = "exchange-online") -> Ticket:
    return operations.start_practice(cast.tenants[tenant].pk, service_id=cast.services[service].pk, actor=cast.as_(by))


def resource_of(ticket: Ticket | None) -> Resource:
    assert ticket is not None
    return Resource.objects.get(tenant=ticket.tenant_id, service=ticket.service_id, is_practice=True)


def ask(ticket: Ticket, resource: Resource | None = None, **fields: Any) -> operations.Ask:
    defaults = {
        "ticket_id": ticket.pk,
        "resource_ids": [(resource or resource_of(ticket)).pk],
        "level": "read",
        "window_for": 3600,
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }
    return operations.Ask(**{**defaults, **fields})


def submitted(cast: Cast, tenant: str = "contoso", **fields: Any) -> AccessRequest:
    ticket = fields.pop("ticket", None) or started(cast, tenant)
    return operations.submit(ask(ticket, **fields), actor=cast.as_("priya"))


def confirmed(cast: Cast, tenant: str = "contoso", **fields: Any) -> AccessRequest:
    row = submitted(cast, tenant, **fields)
    return operations.approve_as_provider(row.pk, actor=cast.as_("pat"), note="No other way.")


def opened(cast: Cast, tenant: str = "contoso", **fields: Any) -> Grant:
    row = confirmed(cast, tenant, **fields)
    if row.state == "PENDING_CUSTOMER":
        operations.approve_as_customer(row.pk, actor=cast.as_(APPROVERS[tenant]))
    return Grant.objects.get(access_request=row)
