"""Pure: may this actor take this edge on this row? Without queries, clock and state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain import limits
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.acts import ACTS, SCOPES
from requests_app.domain.acts.declaration import Act, Party
from requests_app.domain.errors import (
    AlreadyDecidedByYou,
    InsufficientScope,
    MachineMayNotDecide,
    NotAllowed,
    NotCovered,
    OwnAccessRequest,
    OwnAccount,
    SecondFactorRequired,
    SecondPersonNeeded,
    ServiceClientOnly,
    StepUpRequired,
    WindowNotOpen,
)
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.lifecycle import Transition
from requests_app.domain.scopes import Scope
from requests_app.domain.states import TICKET_LIVE, TicketState

#: Who reads a tenant's whole log: its deciding, auditing and administering people.
LOG_READERS = frozenset({Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR})
#: Who at the provider sees by name what an engineer looks at; on the customer's side those who read the log.
OVERSEERS = frozenset({Role.PROVIDER_APPROVER, Role.STAFF, Role.REQUESTER})

#: Who can't do with a password alone. A deputy among them: the day on which they decide must not be that of the set-up.
DECIDING_OR_MANAGING = frozenset({Role.APPROVER, Role.DEPUTY, Role.ADMINISTRATOR, Role.PROVIDER_APPROVER, Role.STAFF})


@dataclass(frozen=True, kw_only=True)
class ContentAccessFacts:
    """What the rule about content accesses reads: facts of the engineer, the grant, its ticket and the resource.

    `closes_at` is the end of a grant that nobody has closed; a closed grant gives no access. A law-enforcement demand
    has no `ticket_state`. `lacks_second_factor` is only for accesses through this product: another service that asks
    the decision point has signed the engineer in.
    """

    is_engineer: bool
    is_requesters: bool
    lacks_second_factor: bool = False
    is_closed: bool = False
    opens_at: datetime
    closes_at: datetime
    ticket_state: str | None
    is_own_place: bool
    is_active: bool
    is_in_scope: bool
    gives_read: bool
    needs_read: bool


def require_content_access(look: ContentAccessFacts, *, at: datetime) -> None:
    """Require the rule that has no exception: a live grant of this engineer, for exactly this resource, at this
    instant.

    The content pages and the decision point both use it. Raises NotAllowed, or one of its kinds.
    """
    if not look.is_engineer:
        raise NotAllowed
    if not look.is_requesters:
        raise NotAllowed(_("This window belongs to another engineer."))
    if look.lacks_second_factor:
        raise SecondFactorRequired
    if look.is_closed or not limits.is_within(at, look.opens_at, look.closes_at):
        raise WindowNotOpen
    if look.ticket_state is not None and look.ticket_state not in TICKET_LIVE:
        raise WindowNotOpen(_("The ticket is %(state)s.") % {"state": TicketState(look.ticket_state).label})
    if not (look.is_own_place and look.is_active and look.is_in_scope):
        raise NotCovered
    if look.needs_read and not look.gives_read:
        raise NotCovered(_("This window covers names only."))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a declaration's rules read of the row that an act is about.

    `log_id` is the tenant, or the provider's log for a row without a tenant. `holder` is the person to whom the row
    belongs, and `parties` are the humans who have a part in it.
    """

    log_id: UUID
    service_id: UUID | None = None
    holder: UUID | None = None
    parties: Mapping[Party, frozenset[UUID]] = field(default_factory=dict)

    @property
    def is_providers(self) -> bool:
        return self.log_id == PROVIDER_LOG


def require_entitled(actor: Actor, act: Act, subject: Subject) -> None:
    """Raise NotAllowed, or one of its kinds, unless the declaration allows this actor the act on this row."""
    if act.is_public:
        return
    roles = (subject.is_providers and act.provider_roles) or act.roles
    held = actor.roles_on(tenant_id=subject.log_id, service_id=subject.service_id)
    if Role.ENGINEER in held and actor.human_id in subject.parties.get(Party.REQUESTER, ()):
        held |= {Role.REQUESTER}
    is_holder = act.is_holders and actor.machine is None and actor.is_person and actor.person_id == subject.holder
    if not (roles & held or is_holder):
        raise NotAllowed
    if act.humans_only and (actor.machine is not None or not actor.is_person):
        raise NotAllowed
    if act.is_of_approver and actor.deciding_human is None:
        raise MachineMayNotDecide


def require_separate(actor: Actor, act: Act, subject: Subject) -> None:
    """Raise NotAllowed, or one of its kinds, if this human has a part in the row that excludes them."""
    for party in act.separate_from:
        if actor.human_id in subject.parties.get(party, ()):
            raise _EXCLUDED[party]


_EXCLUDED: dict[Party, type[NotAllowed]] = {
    Party.REQUESTER: OwnAccessRequest,
    Party.DECIDER: AlreadyDecidedByYou,
    Party.PROPOSER: SecondPersonNeeded,
    Party.SUBJECT: OwnAccount,
}


class Raised(Protocol):
    """What a policy reads from an access request."""

    tenant_id: UUID
    service_id: UUID
    requester_human: UUID


def roles_of(actor: Actor, row: Raised) -> frozenset[Role]:
    """Return the actor's roles on this row. The person who raised it is REQUESTER, with any of their accounts."""
    held = actor.roles_on(tenant_id=row.tenant_id, service_id=row.service_id)
    if actor.human_id is not None and actor.human_id == row.requester_human and Role.ENGINEER in held:
        held |= {Role.REQUESTER}
    return held


def is_visible(actor: Actor, row: Raised) -> bool:
    """Whether `visible_to` would find this row for the actor now: their roles may have changed since the
    row was read.
    """
    if actor.is_system or is_staff(actor):
        return True
    if actor.side is Side.CUSTOMER:
        return row.tenant_id in actor.tenant_ids
    return row.service_id in actor.service_ids


def sees_looks(actor: Actor, row: Raised) -> bool:
    """Whether this actor sees the names of accessed items. A member of the tenant sees only how many."""
    return bool(roles_of(actor, row) & (LOG_READERS | OVERSEERS))


def may(actor: Actor, edge: Transition, row: Raised, *, decided_by: frozenset[UUID] = frozenset()) -> bool:
    """Whether a page should offer the edge. The freshness of the sign-in is checked later."""
    try:
        require(actor, edge, row, decided_by=decided_by)
    except NotAllowed:
        return False
    return True


def require(actor: Actor, edge: Transition, row: Raised, *, decided_by: frozenset[UUID] = frozenset()) -> None:
    """Raise NotAllowed, or one of its kinds, unless the actor may take the edge.

    `decided_by` holds the humans who have decided on this access request at an earlier stage.
    """
    require_act(actor, edge.action)
    if not edge.roles & roles_of(actor, row):
        raise NotAllowed
    if not edge.is_decision:
        return
    if actor.deciding_human is None:
        raise MachineMayNotDecide
    if actor.deciding_human == row.requester_human:
        raise OwnAccessRequest
    if actor.deciding_human in decided_by:
        raise AlreadyDecidedByYou


def may_act(actor: Actor, action: str) -> bool:
    """Whether this actor's token, if it is one, can be used for an act of this name."""
    if actor.scopes is None:
        return True
    act = ACTS.get(action)
    return act is not None and (act.any_token or act.scope in actor.scopes)


def require_act(actor: Actor, action: str) -> None:
    """Raise InsufficientScope if a token does not have the scope of the act."""
    if not may_act(actor, action):
        raise InsufficientScope(SCOPES.get(action, ""))


def require_scope(actor: Actor, scope: Scope) -> None:
    """Raise InsufficientScope if a token does not have the scope for reading."""
    if actor.scopes is not None and scope not in actor.scopes:
        raise InsufficientScope(scope)


def require_step_up(actor: Actor, at: datetime) -> None:
    """Raise StepUpRequired unless this person proved who they are within the last five minutes.

    A client has no password to enter: a person with such a proof allowed it to decide. The system needs no proof.
    """
    if actor.machine is not None or actor.is_system:
        return
    if not is_fresh(actor, at):
        raise StepUpRequired


def is_fresh(actor: Actor, at: datetime) -> bool:
    """Whether this person proved who they are within the last five minutes. After exactly five minutes it has ended."""
    since = actor.stepped_up_at
    return since is not None and since <= at < since + limits.STEP_UP_FOR


def require_role(actor: Actor, roles: frozenset[Role], *, tenant_id: UUID, service_id: UUID | None = None) -> None:
    if not roles & actor.roles_on(tenant_id=tenant_id, service_id=service_id):
        raise NotAllowed


def require_staff(actor: Actor) -> None:
    if not is_staff(actor):
        raise NotAllowed


def require_asker(actor: Actor) -> None:
    """Raise NotAllowed unless the actor may ask about others: staff, or a reader of a tenant's log, about
    that tenant.
    """
    if not (is_staff(actor) or tenants_read(actor)):
        raise NotAllowed


def require_service(actor: Actor) -> None:
    """Raise ServiceClientOnly unless a client acts, and in nobody's name.

    An engineer's window shows what a service reports as the engineer's act: no person writes that about another.
    """
    if actor.machine is None or actor.person_id != actor.machine.account_id:
        raise ServiceClientOnly


def tenants_read(actor: Actor) -> frozenset[UUID]:
    """Return the tenants whose whole log a customer's person or client may read."""
    if actor.side is not Side.CUSTOMER:
        return frozenset()
    return frozenset(tenant_id for tenant_id, roles in actor.tenant_roles.items() if roles & LOG_READERS)


def needs_second_factor(actor: Actor) -> bool:
    """Whether a password alone is not enough: for people who decide or administer, for staff, and for engineers.

    Engineers need one because they open content; the operator can leave their second factor to another system.
    """
    return bool(actor.roles & DECIDING_OR_MANAGING) or (
        settings.ENGINEER_SECOND_FACTOR and Role.ENGINEER in actor.roles
    )


def is_staff(actor: Actor) -> bool:
    return actor.is_staff and actor.side is Side.PROVIDER


def sees_internal_notes(actor: Actor) -> bool:
    return actor.side is not Side.CUSTOMER
