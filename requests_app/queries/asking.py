"""Which denied access an engineer can ask for, and what became of an access request that a client raised (AuthZEN).

Nothing here gives access. The decision point judges every question by the windows alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import DateTimeField, UUIDField
from django.utils.translation import gettext as _

from requests_app.domain import levels
from requests_app.domain.access_tasks import (
    DENIAL_COUNTS_FOR,
    TOKEN_MAX,
    TOKEN_TYPE,
    ApprovalReason,
    Denial,
    ExpiredDenial,
    InvalidDenialBinding,
    NotRequestable,
    TaskExpired,
    UnknownTask,
    denial_in,
)
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.errors import FactsChanged, NotCovered, WindowNotOpen
from requests_app.domain.evaluation import Facts, Question, Verdict
from requests_app.domain.ids import as_id
from requests_app.domain.scopes import Scope
from requests_app.models import AccessDraft, AccessRequest, AccessTask, Grant, QueueAssignment, Resource
from requests_app.models.evaluation import ask, require_still
from requests_app.models.evaluations import read_all
from requests_app.models.token_keys import signed, verified
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.queries.evaluation import evaluate

#: The refusals that an approval can change. After the others, nobody can ask.
_REQUESTABLE = frozenset({WindowNotOpen.code, NotCovered.code})


@dataclass(frozen=True, kw_only=True)
class Requestable:
    """A denied access that the engineer can ask for. `level` is the smallest level that allows the action."""

    engineer_id: UUID
    resource: Resource
    level: str


def may_ask(actor: Actor) -> bool:
    """Return whether the actor is a client of the provider that can raise access requests from denials.

    Without the scope `requests:submit`, what it raises is a draft until the engineer confirms it.
    """
    is_client = actor.machine is not None and actor.person_id == actor.machine.account_id
    needed = {Scope.EVALUATE, Scope.REQUESTS_ASK}
    return is_client and actor.side is Side.PROVIDER and actor.scopes is not None and needed <= actor.scopes


def requestable(question: Question, verdict: Verdict, *, actor: Actor) -> Requestable | None:
    """Return what the engineer can ask for after this denial, or None. Writes nothing."""
    if verdict.decision or verdict.reason not in _REQUESTABLE or not may_ask(actor):
        return None
    [found] = read_all([ask(question, actor=actor)])
    require_still(found.facts, actor=actor)
    return _requestable(question, found.facts)


def _requestable(question: Question, facts: Facts) -> Requestable | None:
    needed = levels.NEEDED.get(question.action)
    if needed is None or facts.resource_id is None or facts.person_id is None or not facts.is_active:
        return None
    resource = Resource.objects.select_related("service", "tenant").get(pk=facts.resource_id)
    if resource.is_practice or not resource.service.is_external or not _is_engineer(facts.person_id, resource):
        return None
    offered = [level for level in levels.covering(needed) if level in resource.service.offers]
    allowed = [level for level in offered if resource.tenant.allows(level)]
    return Requestable(engineer_id=facts.person_id, resource=resource, level=allowed[0]) if allowed else None


def _is_engineer(person: UUID, resource: Resource) -> bool:
    hats = QueueAssignment.objects.filter(person=person, service=resource.service_id, role=Role.ENGINEER)
    return hats.filter(person__is_active=True).exists()


# --- The token of a denial -----------------------------------------------------------------------------------


def audience() -> str:
    return f"{settings.BASE_URL}/access/v1/requests"


def asked_in(question: Question) -> dict[str, Any]:
    """Return what a denial binds: the members of the question that have an effect. Properties have none."""
    return {
        "subject": {"type": question.subject_type, "id": question.subject},
        "action": {"name": question.action},
        "resource": {"type": question.service, "id": question.resource},
        "context": {"tenant": question.tenant} if question.tenant else {},
    }


def bound(question: Question, found: Requestable, *, at: datetime, actor: Actor) -> tuple[Denial, str]:
    """Return a new denial, and the token that says it. Nothing is stored, so advice writes nothing."""
    assert actor.machine is not None
    denial = Denial(
        number=uuid4(),
        client_id=actor.machine.client_id,
        asked=asked_in(question),
        engineer_id=found.engineer_id,
        resource_id=found.resource.pk,
        tenant_id=found.resource.tenant_id,
        ends_at=(at + DENIAL_COUNTS_FOR).replace(microsecond=0),
    )
    claims = denial.claims(issuer=settings.BASE_URL, audience=audience(), at=at)
    return denial, signed(claims, typ=TOKEN_TYPE)


def denial_of(token: str, question: Question, *, at: datetime, actor: Actor) -> tuple[Denial, Requestable]:
    """Return the denial that a token says, and what can be asked for now.

    Raise InvalidDenialBinding if the token is not ours, of another client, or of another question; ExpiredDenial if it
    is too old; NotRequestable if the access is no longer denied, or can no longer be asked for.
    """
    claims = verified(token, typ=TOKEN_TYPE) if len(token) <= TOKEN_MAX else None
    if claims is None:
        raise InvalidDenialBinding
    denial = denial_in(claims, issuer=settings.BASE_URL, audience=audience())
    if actor.machine is None or denial.client_id != actor.machine.client_id or denial.asked != asked_in(question):
        raise InvalidDenialBinding
    if at >= denial.ends_at:
        raise ExpiredDenial
    found = requestable(question, evaluate(question, actor=actor), actor=actor)
    if found is None:
        raise NotRequestable
    now = (found.engineer_id, found.resource.pk, found.resource.tenant_id)
    if now != (denial.engineer_id, denial.resource_id, denial.tenant_id):
        # The names in the question mean something else than ten minutes ago.
        raise InvalidDenialBinding
    return denial, found


# --- Tasks ---------------------------------------------------------------------------------------------------


def drafts(actor: Actor, *, at: datetime) -> list[AccessDraft]:
    """Return the drafts that wait for this engineer, oldest first."""
    return _DRAFTS(engineer=actor.person, at=at)


def draft(pk: object, *, actor: Actor, at: datetime) -> AccessDraft:
    """Return a draft that waits for this engineer. Raise FactsChanged if it has ended, and NotFound for any other."""
    found: AccessDraft = AccessDraft.objects.visible_to(actor).select_related(*_OF_DRAFT).find(pk)
    if found.ended_at is not None or found.expires_at <= at:
        raise FactsChanged(
            _(
                "This draft was confirmed or discarded, or it has expired. Your access requests are on the first page. "
                "To ask again, choose “Ask for access” on the page of the ticket."
            )
        )
    return found


def draft_of(pk: object, *, actor: Actor) -> AccessDraft | None:
    """Return the draft of this client with this id, unless the engineer has confirmed it."""
    key = as_id(pk)
    if actor.machine is None or key is None or AccessTask.objects.filter(pk=key).exists():
        return None
    return AccessDraft.objects.filter(pk=key, client=actor.machine.client_id).first()


_OF_DRAFT = ("tenant", "service", "resource", "ticket", "client__account")
#: The home page of every engineer reads them.
_DRAFTS = CompiledQuery(
    lambda engineer, at: AccessDraft.objects.filter(engineer_id=engineer).waiting(at).select_related(*_OF_DRAFT),
    engineer=UUIDField(),
    at=DateTimeField(),
)


def task(pk: object, *, at: datetime, actor: Actor) -> tuple[AccessTask, AccessRequest]:
    """Return a task of this client, with its access request. Raise UnknownTask or TaskExpired."""
    found = None
    if actor.machine is not None and as_id(pk) is not None:
        rows = AccessTask.objects.select_related("access_request__grant", "access_request__requested_by")
        found = rows.filter(pk=as_id(pk), client=actor.machine.client_id).first()
    if found is None:
        raise UnknownTask
    if at >= found.expires_at:
        raise TaskExpired
    return found, found.access_request


def grant_of(row: AccessRequest) -> Grant | None:
    return getattr(row, "grant", None)


def approved_until(grant: Grant) -> datetime:
    return grant.closes_at if grant.closed_at is None else min(grant.closes_at, grant.closed_at)


# --- Asking again with an approval ---------------------------------------------------------------------------


def approval_of(approval_id: str, *, actor: Actor) -> tuple[AccessTask, Grant] | None:
    """Return the approval with this id, if an access request of this client got it."""
    key = as_id(approval_id)
    if key is None or actor.machine is None:
        return None
    rows = Grant.objects.filter(pk=key, access_request__task__client=actor.machine.client_id)
    grant: Grant | None = rows.select_related("access_request__task").first()
    return (grant.access_request.task, grant) if grant is not None else None


def why_not(approval_id: str, question: Question, verdict: Verdict, *, actor: Actor) -> ApprovalReason:
    """Return why the approval does not help: the decision point has denied this question of the same client."""
    found = approval_of(approval_id, actor=actor)
    if found is None:
        return ApprovalReason.UNVERIFIABLE
    raised, grant = found
    if grant.closed_at is not None or verdict.at >= grant.closes_at:
        return ApprovalReason.EXPIRED
    is_same = _without_action(raised.asked) == _without_action(asked_in(question))
    needed = levels.NEEDED.get(question.action)
    if not is_same or needed is None or not levels.covers(grant.level, needed):
        return ApprovalReason.OUT_OF_SCOPE
    return ApprovalReason.POLICY_DENIED


def _without_action(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asked.get(name) for name in ("subject", "resource", "context")}
