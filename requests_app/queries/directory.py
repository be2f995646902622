"""Reads people as SCIM shows them: a tenant's people to its directory, and the provider's people to the provider's."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.domain.ids import as_id
from requests_app.models import DirectoryGroup, GroupMember, Membership, Person, Tenant


def tenant(actor: Actor) -> Tenant:
    """Return the tenant to which the caller belongs.

    Raise NotAllowed unless the caller belongs to exactly one tenant.
    """
    if actor.side is not Side.CUSTOMER or len(actor.tenant_ids) != 1:
        raise NotAllowed
    [tenant_id] = actor.tenant_ids
    found: Tenant = Tenant.objects.visible_to(actor).find(tenant_id)
    return found


def require_administrator(actor: Actor, tenant: Tenant) -> None:
    policy.require_role(actor, frozenset({Role.ADMINISTRATOR}), tenant_id=tenant.pk)


def people(tenant: Tenant) -> QuerySet[Person]:
    """Return all people of the tenant, each with `shown_memberships`, except those whom the directory has deleted."""
    memberships = Membership.objects.filter(tenant=tenant).order_by("role")
    theirs = Membership.objects.filter(tenant=tenant).values("person")
    rows = Person.objects.get_queryset().humans().filter(pk__in=theirs).exclude(directory__removed_at__isnull=False)
    shown = Prefetch("memberships", queryset=memberships, to_attr="shown_memberships")
    return rows.select_related("directory").prefetch_related(shown)


def person(tenant: Tenant, person_id: UUID) -> Person:
    found = people(tenant).filter(pk=person_id).first()
    if found is None:
        raise NotFound
    return found


def require_provider(actor: Actor) -> None:
    """Raise NotAllowed unless the caller is a client of the provider. A person is never a directory."""
    if not policy.is_staff(actor) or actor.machine is None:
        raise NotAllowed


def provider_people() -> QuerySet[Person]:
    """Return the provider's people, each with `shown_groups`, except those whom the directory has deleted."""
    rows = Person.objects.get_queryset().humans().filter(side=Side.PROVIDER)
    rows = rows.exclude(directory__removed_at__isnull=False)
    groups = GroupMember.objects.select_related("group").order_by("group__key")
    shown = Prefetch("directory_groups", queryset=groups, to_attr="shown_groups")
    return rows.select_related("directory").prefetch_related(shown)


def provider_groups() -> QuerySet[DirectoryGroup]:
    """Return the groups that give roles, each with `shown_members`."""
    members = GroupMember.objects.order_by("since", "pk")
    shown = Prefetch("members", queryset=members, to_attr="shown_members")
    return DirectoryGroup.objects.order_by("key").prefetch_related(shown)


def by_id(rows: QuerySet[Person], person_id: str) -> QuerySet[Person]:
    """Filter people by the id that SCIM shows."""
    found = as_id(person_id)
    return rows.none() if found is None else rows.filter(pk=found)


def by_user_name(rows: QuerySet[Person], name: str) -> QuerySet[Person]:
    """Filter people by user name. Upper and lower case count as equal.

    For a person without a record of the directory, compare the address instead.
    """
    folded = name.casefold()
    return rows.filter(Q(directory__user_key=folded) | Q(directory=None, email=folded))


def by_external_id(rows: QuerySet[Person], external_id: str) -> QuerySet[Person]:
    return rows.filter(directory__external_id=external_id) if external_id else rows.none()


def by_address(rows: QuerySet[Person], address: str) -> QuerySet[Person]:
    return rows.filter(email=address.casefold())


def groups(tenant: Tenant) -> dict[str, list[Person]]:
    """Return, for each role, the people who hold it. If nobody holds a role, its list is empty."""
    found: dict[str, list[Person]] = {role: [] for role in Membership.Role.values}
    for each in people(tenant).order_by("created_at", "pk"):
        for membership in each.shown_memberships:  # type: ignore[attr-defined]  # prefetched by the query
            found[membership.role].append(each)
    return found
