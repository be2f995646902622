"""A question to the decision point with its asker: whom it is about, and what the asker may ask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from requests_app.domain import policy
from requests_app.domain.actors import Actor
from requests_app.domain.errors import InsufficientScope, NotAllowed
from requests_app.domain.evaluation import Facts, Question
from requests_app.domain.ids import as_id
from requests_app.domain.scopes import Scope
from requests_app.models.services import is_under


@dataclass(frozen=True)
class EvaluationQuery:
    """A question to the decision point, with its asker.

    `within` has the tenants that the asker can see; None means all tenants. If only one window counts, `sole` names it.
    `log` names the tenant in whose log the answer is recorded, whether a resource is found or not.
    """

    question: Question
    asker: UUID
    within: frozenset[UUID] | None
    token: UUID | None = None
    sole: UUID | None = None
    log: UUID | None = None

    @cached_property
    def subject(self) -> tuple[UUID | None, str | None]:
        """The id of the person whom the question is about. If no id was given, the second value is the address."""
        key = as_id(self.question.subject)
        return key, None if key else self.question.subject.lower()

    @cached_property
    def resource(self) -> tuple[UUID | None, str]:
        """The id of the resource that the question is about, and the same text as a name.

        The text can have the form of an id, and yet be the id of the resource in another application. Without a tenant,
        the text is empty, because only our own id then names a resource. Otherwise an object that staff registered for
        a wrong tenant would be opened with the approval of that tenant, and nobody would ask its owner.
        """
        return as_id(self.question.resource), self.question.resource if self.names_tenant else ""

    @cached_property
    def names_tenant(self) -> bool:
        """Whether the question names a tenant, or the asker can see only one tenant."""
        return self.tenant != (None, None)

    @cached_property
    def needs_tenant(self) -> bool:
        """Whether no resource can be found, because the question has neither a tenant nor our id of the resource."""
        return not self.names_tenant and self.resource[0] is None

    @cached_property
    def tenant(self) -> tuple[UUID | None, str | None]:
        """The id of the tenant that the question names. Without an id, the second value is the tenant's short name.

        If the question names no tenant, this is the only tenant that the asker can see. If the asker can see several,
        both values are empty.
        """
        if not self.question.tenant:
            return next(iter(self.within)) if self.within and len(self.within) == 1 else None, None
        key = as_id(self.question.tenant)
        return key, None if key else self.question.tenant


def ask(question: Question, *, actor: Actor) -> EvaluationQuery:
    """Return the query for a question of this actor. Raise NotAllowed if the actor can't ask about other people."""
    policy.require_asker(actor)
    within = None if policy.is_staff(actor) else policy.tenants_read(actor)
    return EvaluationQuery(question, actor.person, within, actor.token_id)


def require_still(facts: Facts, *, actor: Actor) -> None:
    """Raise NotAllowed or InsufficientScope unless the asker can still ask this question.

    The asker may have lost the account, the token, the scope or the role after the HTTP request began.
    """
    if not facts.asker_is_active or (policy.is_staff(actor) and not facts.asker_is_staff):
        raise NotAllowed
    if not facts.asker_has_scope:
        raise InsufficientScope(Scope.EVALUATE)
    if facts.tenant_id is not None and not policy.is_staff(actor) and not facts.asker_roles & policy.LOG_READERS:
        raise NotAllowed


def is_own_place(slug: str | None, locator: str | None) -> bool:
    """Return whether the resource belongs to its tenant.

    A resource of an external service has no locator that could lead to another tenant's content. Its application knows
    only its id.
    """
    return locator == "" or is_under(slug or "", locator or "")
