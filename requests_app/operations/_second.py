"""Two-person control: stores a change as a proposal, and makes the change after another human has confirmed it.

An act under this control calls `hold` after it has judged the actor and before it writes. The decorator `controlled`
registers the function that makes the change, and `confirm_proposal` calls that function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.utils.translation import gettext as _

from requests_app.domain import limits
from requests_app.domain.actors import Side
from requests_app.domain.acts.declaration import Act
from requests_app.domain.acts.proposals import PROPOSAL_MADE
from requests_app.domain.errors import ChangeProposed, DomainError, NotAllowed, WrongState
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Proposal, Tenant
from requests_app.operations._change import Held, Step

Body = Callable[[Step, Tenant, dict[str, Any]], Any]


@dataclass(frozen=True)
class Controlled:
    """The functions that belong to one kind of change under two-person control.

    `run` makes the change. `lock` locks the rows that `run` changes, except the tenant, and is called before the tenant
    is locked.
    """

    run: Body
    lock: Callable[[dict[str, Any]], None] | None = None


CONTROLLED: dict[str, Controlled] = {}


def controlled(act: Act, *, lock: Callable[[dict[str, Any]], None] | None = None) -> Callable[[Body], Body]:
    def register(body: Body) -> Body:
        CONTROLLED[act.name] = Controlled(body, lock)
        return body

    return register


def hold(current: Step, tenant: Tenant, **terms: Any) -> None:
    """End the act as a proposal if the tenant is under two-person control. Otherwise do nothing.

    A proposal always needs a fresh proof, even if the act itself needs none. So nobody can propose a change from an
    unattended session.

    `terms` is stored unchanged and shown to people. It contains ids as text, and the names that people read. A key that
    begins with "_" is only for the act and is never shown.
    """
    require_customer(current, tenant)
    if tenant.needs_two and current.confirmed is None:
        current.require_proof()
        raise Held(lambda: _proposed(current, tenant, terms))


def require_customer(current: Step, tenant: Tenant) -> None:
    """Raise NotAllowed under two-person control, unless a person of the customer acts.

    So neither the provider nor a machine can change who decides.
    """
    if not tenant.needs_two or current.confirmed is not None:
        return
    actor = current.actor
    if actor.side is not Side.CUSTOMER or actor.machine is not None or not actor.is_person:
        raise NotAllowed(_("This tenant is under two-person control: two of its own people have to do this."))


def require_two_left(tenant: Tenant) -> None:
    """Raise WrongState if two-person control is on and fewer than two people could take part in it."""
    people = tenant.memberships.filter(role__in=("administrator", "approver"), person__is_active=True)
    if tenant.needs_two and people.values("person__human_id").distinct().count() < 2:
        raise WrongState(
            _(
                "Two-person control needs two people who are administrators or approvers. Switch "
                "two-person control off first."
            )
        )


def tell(current: Step, row: Proposal, what: str) -> None:
    """Send a mail about a step of a proposal to the tenant's approvers and administrators."""
    current.tell(
        Note(
            topic=Topic.PROPOSAL,
            tenant_id=row.tenant_id,
            about=row.pk,
            audiences=(Audience.CUSTOMER, Audience.ADMINISTRATORS),
            mark=uuid4().hex,
            extra={"what": what, "by": current.actor.name},
        )
    )


def tell_yes_rules(current: Step, tenant: Tenant, **rules: str) -> None:
    """Send the old and the new approval requirements to the tenant's approvers and administrators.

    The requirements must never change without a message.
    """
    current.tell(
        Note(
            topic=Topic.YES_RULES_CHANGED,
            tenant_id=tenant.pk,
            about=tenant.pk,
            audiences=(Audience.CUSTOMER, Audience.ADMINISTRATORS),
            mark=uuid4().hex,
            extra={**rules, "by": current.actor.name},
        )
    )


def proposal_detail(row: Proposal) -> dict[str, Any]:
    """Return the fields about the proposal for an entry of the log."""
    return {"proposal": str(row.pk), "act": row.act, "said": row.shown}


def _proposed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> DomainError:
    pending = tenant.proposals.pending(current.at)
    if pending.filter(act=current.action, said=terms).exists():
        raise WrongState(_("This change is already proposed. Another person must confirm it."))
    row = Proposal.objects.create(
        tenant=tenant,
        act=current.action,
        said=terms,
        proposed_by_id=current.actor.person,
        proposed_human=current.actor.human,
        proposed_at=current.at,
        expires_at=current.at + limits.PROPOSAL_FOR,
    )
    current.witness(PROPOSAL_MADE, detail=proposal_detail(row))
    tell(current, row, "made")
    return ChangeProposed(current={"proposal": str(row.pk), "tenant": str(tenant.pk)})
