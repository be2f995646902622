"""Reads for the head of every page: the customer's tenants, and how much waits for this person."""

from __future__ import annotations

from requests_app.domain.actors import Actor, Role
from requests_app.models import Tenant


def tenants(actor: Actor) -> list[Tenant]:
    """Return the customer's own tenants by name; the provider's people have none."""
    if not actor.tenant_roles:
        return []
    return list(Tenant.objects.visible_to(actor).order_by("name"))


def tenants_where(actor: Actor, tenants: list[Tenant], roles: frozenset[Role]) -> list[Tenant]:
    """Return the tenants in which the person holds one of these roles."""
    return [tenant for tenant in tenants if roles & actor.tenant_roles.get(tenant.pk, frozenset())]
