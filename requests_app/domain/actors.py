"""Who acts: one immutable value that each interface builds once, and that every operation and query takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid4

from requests_app.domain.errors import NotAllowed
from requests_app.domain.scopes import Scope


class Side(StrEnum):
    PROVIDER = "provider"
    CUSTOMER = "customer"
    SYSTEM = "system"


class Role(StrEnum):
    """Every role in the tables. Nobody is given REQUESTER: it is the person who raised the access request."""

    MEMBER = "member"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"
    DEPUTY = "deputy"
    ENGINEER = "engineer"
    PROVIDER_APPROVER = "provider_approver"
    STAFF = "staff"
    REQUESTER = "requester"
    SYSTEM = "system"


CUSTOMER_ROLES = frozenset({Role.MEMBER, Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR, Role.DEPUTY})
PROVIDER_ROLES = frozenset({Role.ENGINEER, Role.PROVIDER_APPROVER})
#: Those whose session ends after 15 idle minutes.
DECIDING_ROLES = frozenset({Role.APPROVER, Role.PROVIDER_APPROVER})
#: The role that a customer's client holds in its tenant by each of its scopes, for that scope's acts alone.
CLIENT_ROLES: dict[Scope, Role] = {
    Scope.TENANT_READ: Role.AUDITOR,
    Scope.TENANT_MANAGE: Role.ADMINISTRATOR,
    Scope.MEMBERS_READ: Role.ADMINISTRATOR,
    Scope.MEMBERS_PROVISION: Role.ADMINISTRATOR,
    Scope.TICKETS_READ: Role.MEMBER,
    Scope.TICKETS_WRITE: Role.MEMBER,
    Scope.REQUESTS_READ: Role.AUDITOR,
    Scope.DECISIONS_WRITE: Role.APPROVER,
    Scope.GRANTS_READ: Role.AUDITOR,
    Scope.GRANTS_CLOSE: Role.APPROVER,
    Scope.LOG_READ: Role.AUDITOR,
    Scope.EVALUATE: Role.AUDITOR,
    Scope.WEBHOOKS_MANAGE: Role.ADMINISTRATOR,
}


class Away(NamedTuple):
    """An approver who is out of office, by their present name."""

    id: UUID
    name: str
    email: str


_OF_TENANTS = CUSTOMER_ROLES
_DECIDING = frozenset({Role.APPROVER, Role.DEPUTY, Role.PROVIDER_APPROVER})
_ADMINISTERING = frozenset({Role.ADMINISTRATOR, Role.STAFF})
#: Which roles can use a scope of a personal token at all. A scope that is not here is of use to everybody.
SCOPE_ROLES: dict[Scope, frozenset[Role]] = {
    Scope.TENANT_MANAGE: frozenset({Role.ADMINISTRATOR}),
    Scope.SIGN_ON_MANAGE: _ADMINISTERING,
    Scope.MEMBERS_READ: _OF_TENANTS | {Role.STAFF},
    Scope.MEMBERS_MANAGE: _ADMINISTERING | {Role.APPROVER},
    Scope.MEMBERS_PROVISION: frozenset({Role.ADMINISTRATOR}),
    Scope.TICKETS_WRITE: frozenset({Role.MEMBER, Role.APPROVER, Role.ENGINEER}) | _ADMINISTERING,
    Scope.REQUESTS_SUBMIT: frozenset({Role.ENGINEER}),
    Scope.DECISIONS_WRITE: _DECIDING,
    Scope.GRANTS_CLOSE: _DECIDING | {Role.ENGINEER, Role.STAFF},
    Scope.LOG_READ: frozenset({Role.APPROVER, Role.DEPUTY, Role.AUDITOR}) | _ADMINISTERING,
    Scope.EVALUATE: frozenset({Role.APPROVER, Role.DEPUTY, Role.AUDITOR, Role.ENGINEER}) | _ADMINISTERING,
    Scope.WEBHOOKS_MANAGE: _ADMINISTERING,
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A client of the API that acts, and the person in whose name it acts, if any.

    `decides_for` is the approver for whom it decides, if the tenant's administrator allowed that.
    """

    client_id: UUID
    account_id: UUID
    name: str
    decides_for: UUID | None = None
    decides_for_human: UUID | None = None
    decides_for_name: str = ""
    decides_for_email: str = ""


@dataclass(frozen=True, kw_only=True)
class Once:
    """The claim that an act uses up when it commits, so that it is done once.

    A call of the API has claimed its key before. A form's act takes the account's `key` itself, in its transaction.
    `leads_to` is the address of the answer after a form's act, if the page knows it before.
    """

    claim: UUID
    account_id: UUID | None = None
    key: str = ""
    asked: str = ""
    sent_at: datetime | None = None
    leads_to: str = ""

    def part(self, name: object) -> Once:
        """Return the claim of one act, if one form makes several."""
        return replace(self, claim=uuid4(), key=f"{self.key} {name}", leads_to="")


@dataclass(frozen=True, kw_only=True)
class Actor:
    """`tenant_roles` maps a tenant to the roles in it, `queue_roles` a service to the roles in its queue.

    `scopes` limits what a token can be used for; None is a person at a browser. `machine` is set if a client acts:
    `person_id` is then the client's own account, or the engineer in whose name it asks. `once` is the claim that the
    act uses up when it commits.
    """

    side: Side
    door: str
    name: str
    person_id: UUID | None = None
    human_id: UUID | None = None
    email: str = ""
    is_staff: bool = False
    tenant_roles: dict[UUID, frozenset[Role]] = field(default_factory=dict)
    queue_roles: dict[UUID, frozenset[Role]] = field(default_factory=dict)
    #: The tenants in which the role of an approver is held as a deputy alone, with everybody who is away.
    stands_in_for: dict[UUID, tuple[Away, ...]] = field(default_factory=dict)
    stepped_up_at: datetime | None = None
    scopes: frozenset[Scope] | None = None
    token_id: UUID | None = None
    machine: Machine | None = None
    once: Once | None = None
    request_id: str = ""
    ip: str = ""

    @classmethod
    def system(cls, name: str) -> Actor:
        """Return the actor for scheduled work. It sees every tenant, but can make only the moves that the table gives
        the system.
        """
        return cls(side=Side.SYSTEM, door="task", name=name)

    @classmethod
    def stranger(cls, *, door: str, request_id: str = "", ip: str = "") -> Actor:
        """Return a person who is not signed in and acts by a secret, which was sent to them or which they store."""
        return cls(side=Side.CUSTOMER, door=door, name="", request_id=request_id, ip=ip)

    @property
    def is_system(self) -> bool:
        return self.side is Side.SYSTEM

    @property
    def is_person(self) -> bool:
        return self.person_id is not None

    @property
    def person(self) -> UUID:
        """The id of the person who acts; for acts that only people may do."""
        if self.person_id is None:
            raise NotAllowed
        return self.person_id

    @property
    def human(self) -> UUID:
        if self.human_id is None:
            raise NotAllowed
        return self.human_id

    @property
    def decider(self) -> UUID:
        """The person for whom this actor decides."""
        if self.machine is None:
            return self.person
        if self.machine.decides_for is None:
            raise NotAllowed
        return self.machine.decides_for

    @property
    def deciding_human(self) -> UUID | None:
        """The human who counts for a decision; None for a client that was not allowed to decide."""
        return self.human_id if self.machine is None else self.machine.decides_for_human

    @property
    def tenant_ids(self) -> frozenset[UUID]:
        return frozenset(self.tenant_roles)

    @property
    def service_ids(self) -> frozenset[UUID]:
        return frozenset(self.queue_roles)

    @property
    def roles(self) -> frozenset[Role]:
        """All roles in any tenant or queue: for menus, and never for a decision about a row."""
        held = frozenset().union(*self.tenant_roles.values(), *self.queue_roles.values())
        return held | {Role.STAFF} if self.is_staff else held

    @property
    def usable_scopes(self) -> frozenset[Scope]:
        """The scopes that are useful to this person: what a page offers, and never a permission."""
        return frozenset(scope for scope in Scope if scope not in SCOPE_ROLES or self.roles & SCOPE_ROLES[scope])

    def roles_on(self, *, tenant_id: UUID, service_id: UUID | None) -> frozenset[Role]:
        """Return the roles that count for one row of this tenant and this service."""
        if self.is_system:
            return frozenset({Role.SYSTEM})
        if self.side is Side.CUSTOMER:
            return self.tenant_roles.get(tenant_id, frozenset())
        held = self.queue_roles.get(service_id, frozenset()) if service_id else frozenset()
        return held | {Role.STAFF} if self.is_staff else held

    def sending(self, once: Once | None) -> Actor:
        """Return the same actor with a claim, so that the act happens once."""
        return replace(self, once=once)

    def stepped_up(self, at: datetime | None) -> Actor:
        """Return the same actor with this proof, or, with None, without a proof."""
        return replace(self, stepped_up_at=at)
