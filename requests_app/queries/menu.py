"""Reads for the top of every page: the person's tenants, and how many access requests wait for the person."""

from __future__ import annotations

from django.db.models import UUIDField

from requests_app.domain.actors import Actor, Role
from requests_app.models import Tenant
from requests_app.platform.database.compiled import CompiledQuery

_ONE_TENANT = CompiledQuery(lambda pk: Tenant.objects.filter(pk=pk), pk=UUIDField())


def tenants(actor: Actor) -> list[Tenant]:
    """Return the tenants of a person on the customer's side, by name.

    For the provider's people, return an empty list.
    """
    if not actor.tenant_roles:
        return []
    if len(actor.tenant_roles) == 1:
        # Nearly everybody has one tenant, and every page reads it.
        [pk] = actor.tenant_roles
        return _ONE_TENANT(pk=pk)
    return list(Tenant.objects.visible_to(actor).order_by("name"))


def tenants_where(actor: Actor, tenants: list[Tenant], roles: frozenset[Role]) -> list[Tenant]:
    """Return those of the given tenants in which the actor has one of these roles."""
    return [tenant for tenant in tenants if roles & actor.tenant_roles.get(tenant.pk, frozenset())]
