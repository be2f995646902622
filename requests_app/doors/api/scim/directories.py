"""The two kinds of directories: a tenant's, which sees the tenant's people, and the provider's, which sees its own.

The caller decides which of the two it is. Neither sees a person or a group of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol
from uuid import UUID

from django.db.models import QuerySet

from requests_app import operations
from requests_app.domain.actors import Actor, Side
from requests_app.domain.errors import NotFound
from requests_app.doors.api.scim import shapes
from requests_app.identity import factors
from requests_app.models import Membership, Person, Tenant
from requests_app.queries import directory


class Directory(Protocol):
    """The people and groups that one caller can see, and the operations that change them.

    `change`, `remove` and `change_members` pass on the actor, and a function that is called under the locks.
    """

    def require_entitled(self) -> None: ...
    def people(self) -> QuerySet[Person]: ...
    def user(self, person: Person) -> dict[str, Any]: ...
    def groups(self) -> Iterator[dict[str, Any]]: ...
    def add(self, profile: operations.Profile) -> Person: ...
    def change(self, pk: UUID, profile: operations.Profile, **more: Any) -> None: ...
    def remove(self, pk: UUID, **more: Any) -> None: ...
    def change_members(self, pk: UUID, **more: Any) -> None: ...


class TenantDirectory:
    """The directory of a tenant. Its groups are the tenant's roles."""

    def __init__(self, actor: Actor, tenant: Tenant) -> None:
        self.actor, self.tenant = actor, tenant

    def require_entitled(self) -> None:
        directory.require_administrator(self.actor, self.tenant)

    def people(self) -> QuerySet[Person]:
        return directory.people(self.tenant)

    def user(self, person: Person) -> dict[str, Any]:
        return shapes.user(person)

    def groups(self) -> Iterator[dict[str, Any]]:
        for role, members in directory.groups(self.tenant).items():
            yield shapes.group(self.tenant, role, members)

    def add(self, profile: operations.Profile) -> Person:
        return operations.provision_member(self.tenant.pk, profile=profile, actor=self.actor, drop=factors.drops_all)

    def change(self, pk: UUID, profile: operations.Profile, **more: Any) -> None:
        more |= {"actor": self.actor, "drop": factors.drops_all}
        operations.change_provisioned(self.tenant.pk, pk, profile=profile, **more)

    def remove(self, pk: UUID, **more: Any) -> None:
        operations.remove_provisioned(self.tenant.pk, pk, actor=self.actor, **more)

    def change_members(self, pk: UUID, **more: Any) -> None:
        [role] = [each for each in Membership.Role.values if shapes.group_id(self.tenant.pk, each) == pk]
        operations.provision_role(self.tenant.pk, role=role, actor=self.actor, **more)


class ProviderDirectory:
    """The directory of the provider. Its groups are those that staff have mapped to roles in queues."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def require_entitled(self) -> None:
        directory.require_provider(self.actor)

    def people(self) -> QuerySet[Person]:
        return directory.provider_people()

    def user(self, person: Person) -> dict[str, Any]:
        return shapes.provider_user(person)

    def groups(self) -> Iterator[dict[str, Any]]:
        return map(shapes.provider_group, directory.provider_groups())

    def add(self, profile: operations.Profile) -> Person:
        return operations.provision_provider_person(profile=profile, actor=self.actor, drop=factors.drops_all)

    def change(self, pk: UUID, profile: operations.Profile, **more: Any) -> None:
        operations.change_provider_person(pk, profile=profile, actor=self.actor, drop=factors.drops_all, **more)

    def remove(self, pk: UUID, **more: Any) -> None:
        operations.remove_provider_person(pk, actor=self.actor, **more)

    def change_members(self, pk: UUID, **more: Any) -> None:
        operations.provision_provider_group(pk, actor=self.actor, **more)


def of(actor: Actor) -> Directory:
    """Return the directory of the caller. Raise NotAllowed if the caller has none."""
    if actor.side is Side.PROVIDER:
        directory.require_provider(actor)
        return ProviderDirectory(actor)
    return TenantDirectory(actor, directory.tenant(actor))


def user(found: Directory, pk: UUID) -> dict[str, Any]:
    person = found.people().filter(pk=pk).first()
    if person is None:
        raise NotFound
    return found.user(person)


def group(found: Directory, pk: UUID) -> dict[str, Any]:
    row = next((each for each in found.groups() if each["id"] == str(pk)), None)
    if row is None:
        raise NotFound
    return row
