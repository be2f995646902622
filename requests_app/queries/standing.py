"""Judges whether a transition of an access request is still possible, and describes the state if it is not.

The kernel calls these functions under the lock. A page or a route calls them before it offers the transition, so it
gets the same answer.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext as _

from audit_app.models import AuditEntry
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DeadlinePassed, WrongState
from requests_app.domain.lifecycle import Transition
from requests_app.domain.states import State, Timing
from requests_app.models import AccessRequest, Decision, Grant


def is_repeated(row: AccessRequest, edge: Transition, actor: Actor) -> bool:
    """Return whether this human has already made exactly this transition, with any of their accounts.

    Raise WrongState if they have made the opposite decision.
    """
    if edge.moves.is_decision:
        decision = row.decision_of(actor.deciding_human, edge.stage)
        if decision is None or decision.verdict == edge.verdict:
            return decision is not None
        message = _("You have approved this access request already.")
        if decision.verdict == Decision.Verdict.DENY:
            message = _("You have denied this access request already.")
        raise WrongState(message, current={"state": str(row.state), "decided_by": decision.who})
    if not actor.is_person or row.state not in edge.moves.targets:
        return False
    if edge.act.name == "withdraw":
        # The system also withdraws access requests, for example if the ticket is closed. Only an entry of a person
        # shows that the engineer withdrew it.
        entries = AuditEntry.objects.filter(tenant_id=row.tenant_id, correlation_id=row.pk, event=edge.event)
        return entries.filter(actor_kind="person").exists()
    grant = row.grant
    if not edge.moves.closes or grant.close_reason != edge.moves.closes or grant.closed_by is None:
        return False
    return bool(grant.closed_by.human_id == actor.human_id)


def require_move(row: AccessRequest, edge: Transition, *, at: datetime) -> None:
    """Raise WrongState or DeadlinePassed unless the row's state and deadline allow this transition at this instant."""
    if row.state not in edge.moves.sources:
        last: Decision | None = row.decisions.select_related("decider", "client__account").order_by("-at").first()
        current = {"state": str(row.state_at(at)), "decided_by": last.who if last else ""}
        raise WrongState(words(row, edge, at=at), current=current)
    until = row.grant.closes_at if row.state == State.OPEN else row.decide_by
    if edge.moves.timing is Timing.BEFORE and at >= until:
        raise DeadlinePassed(words(row, edge, at=at), current={"state": str(row.state_at(at))})
    if edge.moves.timing is Timing.AFTER and at < until:
        raise WrongState(_("The deadline has not passed yet."), current={"state": str(row.state)})


def words(row: AccessRequest, edge: Transition, *, at: datetime) -> str:
    """Return why the transition can't be made. Another person is named only if their act is the reason."""
    state = row.state_at(at)
    decisions = {decision.stage: decision for decision in row.decisions.select_related("decider", "client__account")}
    if edge.moves.is_decision and (decision := decisions.get(edge.stage)) is not None:
        return _faster(decision, state)
    if state is State.CLOSED:
        return _closed(row.grant)
    if state is State.DENIED:
        denied = next(each for each in decisions.values() if each.verdict == Decision.Verdict.DENY)
        return _("%(name)s denied this access request. Nothing was opened.") % {"name": denied.who}
    values = {"provider": settings.PROVIDER_NAME, "tenant": row.tenant.name}
    return _OF_STATE[state](values)


def _faster(decision: Decision, state: State) -> str:
    values = {"name": decision.who}
    if decision.verdict == Decision.Verdict.DENY:
        return _("%(name)s was faster and denied this access request.") % values
    if state is State.OPEN:
        return _("%(name)s was faster and approved this access request. The window is open.") % values
    if state is State.CLOSED:
        return _("%(name)s was faster and approved this access request. The window is closed by now.") % values
    return _("%(name)s was faster and approved this access request.") % values


def _closed(grant: Grant) -> str:
    name = grant.closed_by.name if grant.closed_by else ""
    if grant.close_reason == Grant.CloseReason.RELEASED:
        return _("%(name)s closed the window early.") % {"name": name}
    if grant.close_reason == Grant.CloseReason.REVOKED and name:
        return _("%(name)s was faster and closed the window.") % {"name": name}
    if grant.close_reason == Grant.CloseReason.REVOKED:
        return _("The window is closed already.")
    return _("The window has closed as planned.")


_OF_STATE = {
    State.PENDING_PROVIDER: lambda values: (
        _("This access request still waits for %(provider)s. You can answer after %(provider)s has confirmed it.")
        % values
    ),
    State.PENDING_CUSTOMER: lambda values: _("This access request waits for %(tenant)s now.") % values,
    State.OPEN: lambda values: _("The window is open."),
    State.EXPIRED: lambda values: _("The deadline has passed. Nobody answered in time, so nothing was opened."),
    State.WITHDRAWN: lambda values: _("This access request was withdrawn. Nothing was opened."),
}
