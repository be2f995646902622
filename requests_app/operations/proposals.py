"""Two-person control of a tenant: switched, and what was proposed under it confirmed or withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from requests_app import policy
from requests_app.actors import Actor, Role
from requests_app.errors import DeadlinePassed, NotAllowed, SecondPersonNeeded, WrongState
from requests_app.events import Event
from requests_app.models import Membership, Proposal, Tenant
from requests_app.operations._change import Act, act
from requests_app.operations._people import administered
from requests_app.operations._second import CONTROLLED, controlled, hold, require_two_left, tell, told

#: Who may be the second: whoever administers or decides.
_SECONDS = frozenset({Role.ADMINISTRATOR, Role.APPROVER})


def set_two_person_control(tenant_id: object, *, on: bool, actor: Actor) -> Tenant:
    """Put changes of who decides, and of the tenant's rules, under two-person control, or take that away.

    Taking it away is itself under it.
    """
    with act("set_two_person_control", actor=actor) as current:
        tenant = administered(tenant_id, current)
        if current.actor.machine is not None:
            raise NotAllowed
        if tenant.needs_two == on:
            raise WrongState(_("Two-person control is on already.") if on else _("Two-person control is off already."))
        policy.require_step_up(current.actor, current.at)
        hold(current, tenant, on=on)
        _switch(current, tenant, {"on": on})
    return tenant


@controlled("set_two_person_control")
def _switch(current: Act, tenant: Tenant, said: dict[str, Any]) -> None:
    tenant.needs_two = bool(said["on"])
    require_two_left(tenant)
    tenant.save(update_fields=["needs_two"])
    current.witness(Event.TWO_PERSON_SWITCHED_ON if tenant.needs_two else Event.TWO_PERSON_SWITCHED_OFF)


def confirm_proposal(proposal_id: object, *, actor: Actor, keep: Callable[[Any], object] | None = None) -> Proposal:
    """Confirm what another human proposed: it is done now, and judged as it is now.

    Whoever proposed it must still administer the tenant. `keep` is for an act that takes one (reset_second_factors).
    """
    with act("confirm_proposal", actor=actor) as current:
        row: Proposal = Proposal.objects.visible_to(current.actor).find(proposal_id)
        change = CONTROLLED[row.act]
        if change.lock is not None:
            change.lock(row.said)
        row, tenant = _taken(row, current)
        human, by = current.actor.human, row.proposed_by
        if human in (row.proposed_human, by.human_id):
            raise SecondPersonNeeded
        if not Membership.objects.filter(
            tenant=tenant, person=by, person__is_active=True, role="administrator"
        ).exists():
            raise WrongState(_("%(name)s no longer administers this tenant.") % {"name": by.name})
        policy.require_step_up(current.actor, current.at)
        row.ended_at, row.confirmed_by_id = current.at, current.actor.person
        row.save(update_fields=["ended_at", "confirmed_by"])
        current.witness(Event.PROPOSAL_CONFIRMED, detail={**told(row), "proposed_by": by.name})
        current.confirmed, current.proposer, current.keep = row.pk, by.pk, keep
        change.run(current, tenant, row.said)
        require_two_left(tenant)
        tell(current, row, "confirmed")
    return row


def withdraw_proposal(proposal_id: object, *, actor: Actor) -> Proposal:
    """Take a proposal back, or turn it down: whoever administers or decides may, the proposer among them."""
    with act("withdraw_proposal", actor=actor) as current:
        row: Proposal = Proposal.objects.visible_to(current.actor).find(proposal_id)
        row, _tenant = _taken(row, current)
        row.ended_at = current.at
        row.save(update_fields=["ended_at"])
        current.witness(Event.PROPOSAL_WITHDRAWN, detail={**told(row), "proposed_by": row.proposed_by.name})
        tell(current, row, "withdrawn")
    return row


def _taken(row: Proposal, current: Act) -> tuple[Proposal, Tenant]:
    """The proposal and its tenant, locked; for one of the people who may be the second."""
    tenant = Tenant.objects.locked().select_related("plan").get(pk=row.tenant_id)
    row = Proposal.objects.locked().select_related("proposed_by").get(pk=row.pk)
    current.concerns("proposal", row, tenant.pk)
    policy.require_role(current.actor, _SECONDS, tenant_id=tenant.pk)
    if current.actor.machine is not None:
        raise NotAllowed
    if row.ended_at is not None:
        raise WrongState(_("This was confirmed or withdrawn already."))
    if row.expires_at <= current.at:
        raise DeadlinePassed(_("Nobody confirmed this within 7 days. Propose it again."))
    return row, tenant
