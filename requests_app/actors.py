"""Who acts: one immutable value, built once per door, that every operation and query takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from requests_app.errors import NotAllowed


class Side(StrEnum):
    PROVIDER = "provider"
    CUSTOMER = "customer"
    SYSTEM = "system"


class Role(StrEnum):
    """Every hat in the table. REQUESTER is not given to anybody: it is who raised the access request."""

    MEMBER = "member"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"
    ENGINEER = "engineer"
    PROVIDER_APPROVER = "provider_approver"
    STAFF = "staff"
    REQUESTER = "requester"
    SYSTEM = "system"


CUSTOMER_ROLES = frozenset({Role.MEMBER, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR})
PROVIDER_ROLES = frozenset({Role.ENGINEER, Role.PROVIDER_APPROVER})
#: Those whose session ends after 15 idle minutes.
DECIDING_ROLES = frozenset({Role.APPROVER, Role.PROVIDER_APPROVER})


@dataclass(frozen=True, kw_only=True)
class Actor:
    """`tenant_roles` maps a tenant to the roles held there, `queue_roles` a service to the roles held in its queue."""

    side: Side
    door: str
    name: str
    person_id: UUID | None = None
    human_id: UUID | None = None
    email: str = ""
    is_staff: bool = False
    tenant_roles: dict[UUID, frozenset[Role]] = field(default_factory=dict)
    queue_roles: dict[UUID, frozenset[Role]] = field(default_factory=dict)
    stepped_up_at: datetime | None = None
    request_id: str = ""
    ip: str = ""

    @classmethod
    def system(cls, name: str) -> Actor:
        """The system sees every tenant, but holds only the system's own edges of the table."""
        return cls(side=Side.SYSTEM, door="task", name=name)

    @property
    def is_system(self) -> bool:
        return self.side is Side.SYSTEM

    @property
    def is_person(self) -> bool:
        return self.person_id is not None

    @property
    def person(self) -> UUID:
        """The id of the person who acts; for acts that the table gives to people only."""
        if self.person_id is None:
            raise NotAllowed
        return self.person_id

    @property
    def human(self) -> UUID:
        if self.human_id is None:
            raise NotAllowed
        return self.human_id

    @property
    def tenant_ids(self) -> frozenset[UUID]:
        return frozenset(self.tenant_roles)

    @property
    def service_ids(self) -> frozenset[UUID]:
        return frozenset(self.queue_roles)

    @property
    def roles(self) -> frozenset[Role]:
        """Every role held anywhere: for menus, never for a decision about a row."""
        held = frozenset().union(*self.tenant_roles.values(), *self.queue_roles.values())
        return held | {Role.STAFF} if self.is_staff else held

    def roles_on(self, *, tenant_id: UUID, service_id: UUID | None) -> frozenset[Role]:
        """The roles that count for one row of this tenant and this service."""
        if self.is_system:
            return frozenset({Role.SYSTEM})
        if self.side is Side.CUSTOMER:
            return self.tenant_roles.get(tenant_id, frozenset())
        held = self.queue_roles.get(service_id, frozenset()) if service_id else frozenset()
        return held | {Role.STAFF} if self.is_staff else held

    def stepped_up(self, at: datetime) -> Actor:
        return replace(self, stepped_up_at=at)
