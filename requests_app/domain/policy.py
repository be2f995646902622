"""Decides whether an actor may make a transition or do an act on a row. Pure: no queries, no clock, no state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

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
from requests_app.domain.levels import Level, covers
from requests_app.domain.lifecycle import Transition
from requests_app.domain.scopes import Scope
from requests_app.domain.states import TICKET_LIVE, TicketState

#: The roles that read the whole log of their tenant.
LOG_READERS = frozenset({Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR})
#: The provider's roles that see the names of the items that an engineer accessed. LOG_READERS see them too.
OVERSEERS = frozenset({Role.PROVIDER_APPROVER, Role.STAFF, Role.REQUESTER})

#: The roles for which a password alone is not enough. DEPUTY is one of them, so that a deputy need not set up a second
#: factor on the day when they must decide.
DECIDING_OR_MANAGING = frozenset({Role.APPROVER, Role.DEPUTY, Role.ADMINISTRATOR, Role.PROVIDER_APPROVER, Role.STAFF})

#: What a window allows and what not, for an engineer who tried more.
_TOO_LITTLE: dict[str, Promise] = {
    Level.NAMES: gettext_lazy("This window is for names only: you can list items, but not open them."),
    Level.VIEW: gettext_lazy("This window is for viewing only: you can open items on the page, but not download them."),
    Level.READ: gettext_lazy("This window is for viewing and downloading only: you can’t change anything in it."),
}


@dataclass(frozen=True, kw_only=True)
class ContentAccessFacts:
    """The facts that the rule for content accesses needs: about the engineer, the grant, its ticket and the resource.

    `closes_at` is the planned end of the grant. `is_closed` says whether somebody has closed the grant before that. A
    law-enforcement demand has no `ticket_state`. `lacks_second_factor` is set only for accesses through this product. A
    service that asks the decision point signs in its engineers itself.
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
    granted: str
    needed: str


def require_content_access(look: ContentAccessFacts, *, at: datetime) -> None:
    """Raise NotAllowed, or a subclass, unless this engineer has a live grant for exactly this resource at this instant.

    This rule has no exception. The pages that show content use it, and so does the decision point.
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
    if not covers(look.granted, look.needed):
        raise NotCovered(_TOO_LITTLE.get(look.granted))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The row that an act is about: the facts that the declaration's rules need.

    `log_id` is the tenant's id, or PROVIDER_LOG for a row without a tenant. `holder` is the person to whom the
    row belongs. `parties` has the humans for each relation to the row, for example those who decided on it.
    """

    log_id: UUID
    service_id: UUID | None = None
    holder: UUID | None = None
    parties: Mapping[Party, frozenset[UUID]] = field(default_factory=dict)

    @property
    def is_providers(self) -> bool:
        return self.log_id == PROVIDER_LOG


def require_entitled(actor: Actor, act: Act, subject: Subject) -> None:
    """Raise NotAllowed, or a subclass, unless the act's declaration allows this actor to do it on this row."""
    if act.is_public:
        return
    roles = (subject.is_providers and act.provider_roles) or act.roles
    held = _roles_on(actor, subject)
    is_holder = act.is_holders and actor.machine is None and actor.is_person and actor.person_id == subject.holder
    if not (roles & held or is_holder):
        raise NotAllowed
    if act.humans_only and (actor.machine is not None or not actor.is_person):
        raise NotAllowed
    if act.is_deciding and actor.deciding_human is None:
        raise MachineMayNotDecide


def require_separate(actor: Actor, act: Act, subject: Subject) -> None:
    """Raise NotAllowed, or a subclass, if this human has a part in the row that excludes them from the act."""
    human = actor.deciding_human if act.is_deciding else actor.human_id
    for party in act.separate_from:
        if human in subject.parties[party]:
            raise _EXCLUDED[party]


_EXCLUDED: dict[Party, type[NotAllowed]] = {
    Party.REQUESTER: OwnAccessRequest,
    Party.DECIDER: AlreadyDecidedByYou,
    Party.PROPOSER: SecondPersonNeeded,
    Party.SUBJECT: OwnAccount,
}


class Raised(Protocol):
    """The columns of an access request that the rules read."""

    tenant_id: UUID
    service_id: UUID
    requester_human: UUID


def roles_of(actor: Actor, row: Raised) -> frozenset[Role]:
    """Return the actor's roles on this access request.

    An engineer is also REQUESTER if the same human submitted the access request, with any account.
    """
    return _roles_on(actor, _subject(row))


def _roles_on(actor: Actor, subject: Subject) -> frozenset[Role]:
    held = actor.roles_on(tenant_id=subject.log_id, service_id=subject.service_id)
    if Role.ENGINEER in held and actor.human_id in subject.parties.get(Party.REQUESTER, ()):
        held |= {Role.REQUESTER}
    return held


def _subject(row: Raised, decided_by: frozenset[UUID] = frozenset()) -> Subject:
    parties = {Party.REQUESTER: frozenset({row.requester_human}), Party.DECIDER: decided_by}
    return Subject(log_id=row.tenant_id, service_id=row.service_id, parties=parties)


def is_visible(actor: Actor, row: Raised) -> bool:
    """Return whether `visible_to` would find this row for this actor now.

    Use it for a row that was read earlier, because the actor's roles may have changed since then.
    """
    if actor.is_system or is_staff(actor):
        return True
    if actor.side is Side.CUSTOMER:
        return row.tenant_id in actor.tenant_ids
    return row.service_id in actor.service_ids


def sees_looks(actor: Actor, row: Raised) -> bool:
    """Return whether this actor may see the names of accessed items.

    A member of the tenant sees only how many there are.
    """
    return bool(roles_of(actor, row) & (LOG_READERS | OVERSEERS))


def may(actor: Actor, edge: Transition, row: Raised, *, decided_by: frozenset[UUID] = frozenset()) -> bool:
    """Return whether a page should offer this transition. Whether a step-up is needed is checked later."""
    return bool(offered(actor, [edge], row, decided_by=decided_by))


def offered(
    actor: Actor, edges: Iterable[Transition], row: Raised, *, decided_by: frozenset[UUID] = frozenset()
) -> list[Transition]:
    """Return those of these transitions that a page should offer, as `may` says for each."""
    subject = _subject(row, decided_by)
    return [edge for edge in edges if is_allowed(actor, edge.act, subject)]


def require(actor: Actor, edge: Transition, row: Raised, *, decided_by: frozenset[UUID] = frozenset()) -> None:
    """Raise NotAllowed, or a subclass, unless the actor may make this transition.

    `decided_by` contains the humans who decided on this access request at an earlier stage.
    """
    _require_allowed(actor, edge.act, _subject(row, decided_by))


def is_allowed(actor: Actor, act: Act, subject: Subject) -> bool:
    """Return whether a page should offer the act on this row.

    The state of the row and the step-up are checked later.
    """
    try:
        _require_allowed(actor, act, subject)
    except NotAllowed:
        return False
    return True


def _require_allowed(actor: Actor, act: Act, subject: Subject) -> None:
    require_act(actor, act.name)
    require_entitled(actor, act, subject)
    require_separate(actor, act, subject)


def may_act(actor: Actor, action: str) -> bool:
    """Return whether the actor's token has the scope for the act with this name. Without a token, return True."""
    if actor.scopes is None:
        return True
    act = ACTS.get(action)
    if act is None:
        return False
    is_providers = actor.side is Side.PROVIDER and act.provider_scope in actor.scopes
    return act.any_token or act.scope in actor.scopes or is_providers


def require_act(actor: Actor, action: str) -> None:
    """Raise InsufficientScope if the actor uses a token that does not have the scope for this act."""
    if not may_act(actor, action):
        raise InsufficientScope(SCOPES.get(action, ""))


def require_scope(actor: Actor, scope: Scope) -> None:
    """Raise InsufficientScope if the actor uses a token without this scope.

    Use it for reads, because these are not acts.
    """
    if actor.scopes is not None and scope not in actor.scopes:
        raise InsufficientScope(scope)


def require_step_up(actor: Actor, at: datetime) -> None:
    """Raise StepUpRequired unless this person confirmed their identity within the last five minutes.

    A client needs no step-up, because it has no password. A person allowed the client to decide, and confirmed
    their identity for that. The system needs no step-up either.
    """
    if actor.machine is not None or actor.is_system:
        return
    if not is_fresh(actor, at):
        raise StepUpRequired


def is_fresh(actor: Actor, at: datetime) -> bool:
    """Return whether this person confirmed their identity less than five minutes ago."""
    since = actor.stepped_up_at
    return since is not None and since <= at < since + limits.STEP_UP_FOR


def require_role(actor: Actor, roles: frozenset[Role], *, tenant_id: UUID, service_id: UUID | None = None) -> None:
    if not roles & actor.roles_on(tenant_id=tenant_id, service_id=service_id):
        raise NotAllowed


def require_staff(actor: Actor) -> None:
    if not is_staff(actor):
        raise NotAllowed


def require_asker(actor: Actor) -> None:
    """Raise NotAllowed unless the actor may ask the decision point about other people.

    Staff may ask about everybody. A person or client that may read a tenant's whole log may ask about that tenant.
    """
    if not (is_staff(actor) or tenants_read(actor)):
        raise NotAllowed


def require_service(actor: Actor) -> None:
    """Raise ServiceClientOnly unless a client acts in its own name.

    A service reports what an engineer opened, and the report appears as an act of that engineer. So no person may send
    such a report about another person.
    """
    if actor.machine is None or actor.person_id != actor.machine.account_id:
        raise ServiceClientOnly


def tenants_read(actor: Actor) -> frozenset[UUID]:
    """Return the tenants whose whole log this actor may read, if the actor is a customer's person or client."""
    if actor.side is not Side.CUSTOMER:
        return frozenset()
    return frozenset(tenant_id for tenant_id, roles in actor.tenant_roles.items() if roles & LOG_READERS)


def needs_second_factor(actor: Actor) -> bool:
    """Return whether this person needs a second factor: if they decide, administer, are staff, or are an engineer.

    Engineers need one because they open content. The operator can switch this off for engineers, if another system
    checks their second factor.
    """
    return bool(actor.roles & DECIDING_OR_MANAGING) or (
        settings.ENGINEER_SECOND_FACTOR and Role.ENGINEER in actor.roles
    )


def is_staff(actor: Actor) -> bool:
    return actor.is_staff and actor.side is Side.PROVIDER


def sees_internal_notes(actor: Actor) -> bool:
    return actor.side is not Side.CUSTOMER
