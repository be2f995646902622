"""Describes who acts. Each interface builds one immutable Actor and passes it to every operation and query."""

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
    """Every role that a declaration of an act can name.

    REQUESTER and SYSTEM are never given to anybody. REQUESTER is the engineer who submitted the access request, and
    SYSTEM is this product itself.
    """

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
#: The role that each scope gives to a customer's client. The client has this role only for the acts of that scope.
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
    Scope.SSF_READ: Role.AUDITOR,
    Scope.SSF_MANAGE: Role.ADMINISTRATOR,
}


class Away(NamedTuple):
    """An approver who is out of the office, with their current name and address."""

    id: UUID
    name: str
    email: str


_OF_TENANTS = CUSTOMER_ROLES
_DECIDING = frozenset({Role.APPROVER, Role.DEPUTY, Role.PROVIDER_APPROVER})
_ADMINISTERING = frozenset({Role.ADMINISTRATOR, Role.STAFF})
#: The roles that make a scope of a personal token useful. A scope that is missing here is useful to everybody.
SCOPE_ROLES: dict[Scope, frozenset[Role]] = {
    Scope.TENANT_MANAGE: frozenset({Role.ADMINISTRATOR}),
    Scope.SIGN_ON_MANAGE: _ADMINISTERING,
    Scope.MEMBERS_READ: _OF_TENANTS | {Role.STAFF},
    Scope.MEMBERS_MANAGE: _ADMINISTERING | {Role.APPROVER},
    Scope.MEMBERS_PROVISION: frozenset({Role.ADMINISTRATOR}),
    Scope.TICKETS_WRITE: frozenset({Role.MEMBER, Role.APPROVER, Role.ENGINEER}) | _ADMINISTERING,
    # Like GUARD: only a client can use it.
    Scope.REQUESTS_ASK: frozenset({Role.STAFF}),
    Scope.REQUESTS_SUBMIT: frozenset({Role.ENGINEER}),
    Scope.DECISIONS_WRITE: _DECIDING,
    Scope.GRANTS_CLOSE: _DECIDING | {Role.ENGINEER, Role.STAFF},
    Scope.GRANTS_TOKEN: frozenset({Role.ENGINEER}),
    Scope.LOG_READ: frozenset({Role.APPROVER, Role.DEPUTY, Role.AUDITOR}) | _ADMINISTERING,
    Scope.EVALUATE: frozenset({Role.APPROVER, Role.DEPUTY, Role.AUDITOR, Role.ENGINEER}) | _ADMINISTERING,
    # With a token, staff can make a client only if the token has all scopes of the client. No person guards content.
    Scope.GUARD: frozenset({Role.STAFF}),
    Scope.PROVISION: frozenset({Role.STAFF}),
    Scope.WEBHOOKS_MANAGE: _ADMINISTERING,
    # A stream belongs to a client.
    Scope.SSF_READ: frozenset(),
    Scope.SSF_MANAGE: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A client of the API that acts.

    If the tenant's administrator has allowed the client to decide, `decides_for` is the approver in whose name it
    decides.
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
    """A claim on a key, which makes sure that an act is done only once. The act uses the claim when it commits.

    For a call of the API, the key is claimed before the act begins. For a form, the act itself claims `key` for
    the account, in its own transaction. `leads_to` is the address of the page that follows the act, if the form
    knows this address in advance.
    """

    claim: UUID
    account_id: UUID | None = None
    key: str = ""
    asked: str = ""
    sent_at: datetime | None = None
    leads_to: str = ""

    def part(self, name: object) -> Once:
        """Return a new claim for one of several acts that one form starts."""
        return replace(self, claim=uuid4(), key=f"{self.key} {name}", leads_to="")


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A person, a client or the system that acts, with the roles that they have now.

    `tenant_roles` maps each tenant to the actor's roles in it. `queue_roles` maps each service to the actor's roles in
    its queue. `scopes` limits what a token can be used for; None means that the person uses a browser. `machine` is set
    if a client acts. In that case, `person_id` is the client's own account, or the engineer in whose name the client
    asks. `once` is the claim that the act uses when it commits.
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
    #: The tenants in which this person is an approver only as a deputy, each with the approvers who are away.
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
        """Return the actor for scheduled work.

        This actor sees every tenant. It can do only the acts that allow the role SYSTEM.
        """
        return cls(side=Side.SYSTEM, door="task", name=name)

    @classmethod
    def stranger(cls, *, door: str, request_id: str = "", ip: str = "") -> Actor:
        """Return the actor for a person who is not signed in, but brings a secret: from a link, or a recovery key."""
        return cls(side=Side.CUSTOMER, door=door, name="", request_id=request_id, ip=ip)

    @property
    def is_system(self) -> bool:
        return self.side is Side.SYSTEM

    @property
    def is_person(self) -> bool:
        return self.person_id is not None

    @property
    def person(self) -> UUID:
        """The id of the person who acts. Raises NotAllowed if no person acts."""
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
        """The id of the person in whose name this actor decides. Raises NotAllowed for a client that may not decide."""
        if self.machine is None:
            return self.person
        if self.machine.decides_for is None:
            raise NotAllowed
        return self.machine.decides_for

    @property
    def deciding_human(self) -> UUID | None:
        """The id of the human who counts as the decider, or None for a client that may not decide."""
        return self.human_id if self.machine is None else self.machine.decides_for_human

    @property
    def tenant_ids(self) -> frozenset[UUID]:
        return frozenset(self.tenant_roles)

    @property
    def service_ids(self) -> frozenset[UUID]:
        return frozenset(self.queue_roles)

    @property
    def roles(self) -> frozenset[Role]:
        """All roles that the actor has in any tenant or queue. Use it for menus only, never to decide about a row."""
        held = frozenset().union(*self.tenant_roles.values(), *self.queue_roles.values())
        return held | {Role.STAFF} if self.is_staff else held

    @property
    def usable_scopes(self) -> frozenset[Scope]:
        """The scopes that are useful to this person. A page offers them for a new token. They give no permission."""
        return frozenset(scope for scope in Scope if scope not in SCOPE_ROLES or self.roles & SCOPE_ROLES[scope])

    def roles_on(self, *, tenant_id: UUID, service_id: UUID | None) -> frozenset[Role]:
        """Return the actor's roles for a row that belongs to this tenant and this service."""
        if self.is_system:
            return frozenset({Role.SYSTEM})
        if self.side is Side.CUSTOMER:
            return self.tenant_roles.get(tenant_id, frozenset())
        held = self.queue_roles.get(service_id, frozenset()) if service_id else frozenset()
        return held | {Role.STAFF} if self.is_staff else held

    def sending(self, once: Once | None) -> Actor:
        """Return the same actor with this claim, so that the next act is done only once."""
        return replace(self, once=once)

    def stepped_up(self, at: datetime | None) -> Actor:
        """Return the same actor with `at` as the time of the last proof of identity.

        None means that there is no proof.
        """
        return replace(self, stepped_up_at=at)
