"""Reads for the head of every page: the customer's tenants, and how many access requests wait for this person."""

from __future__ import annotations

from requests_app.domain.actors import Actor, Role
from requests_app.models import Tenant


def tenants(actor: Actor) -> list[Tenant]:
    """Return the tenants of a customer's person by name. For the provider's people, the list is empty."""
    if not actor.tenant_roles:
        return []
    return list(Tenant.objects.visible_to(actor).order_by("name"))


def tenants_where(actor: Actor, tenants: list[Tenant], roles: frozenset[Role]) -> list[Tenant]:
    """Return those of these tenants in which the person has one of these roles."""
    return [tenant for tenant in tenants if roles & actor.tenant_roles.get(tenant.pk, frozenset())]
