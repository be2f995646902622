"""Confirms and withdraws proposals, and applies the proposals of staff when they are due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.proposals import (
    APPLY_PROPOSAL,
    CONFIRM_PROPOSAL,
    PROPOSAL_APPLIED,
    PROPOSAL_CONFIRMED,
    PROPOSAL_LAPSED,
    PROPOSAL_WITHDRAWN,
    SET_TWO_PERSON_CONTROL,
    TWO_PERSON_SWITCHED_OFF,
    TWO_PERSON_SWITCHED_ON,
    WITHDRAW_PROPOSAL,
)
from requests_app.domain.errors import DeadlinePassed, DomainError, NotAllowed, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.messages.topics import Topic, post
from requests_app.models import Membership, OutboxMessage, Person, Proposal, Tenant
from requests_app.operations import _announced
from requests_app.operations._announced import ANNOUNCED, Part, require_established
from requests_app.operations._change import Step, act
from requests_app.operations._import_pace import let_others_write
from requests_app.operations._perform import perform
from requests_app.operations._second import CONTROLLED, controlled, proposal_detail, require_two_left, tell
from requests_app.operations._subjects import proposal as found_proposal
from requests_app.platform import bell
from requests_app.platform.database import bounds
from requests_app.queries import second_person

#: A due change takes the turn at every tenant's log. All tenants wait while it waits for one log, so the wait is short.
LOCK_SECONDS = 0.5


def set_two_person_control(tenant_id: object, *, on: bool, actor: Actor) -> Tenant:
    """Switch two-person control on or off.

    Under it, two people must agree on a change of the tenant's rules, of what is connected to it, or of who
    decides. They must also agree to switch it off.
    """

    def state(current: Step) -> None:
        if current.row.needs_two == on:
            raise WrongState(_("Two-person control is on already.") if on else _("Two-person control is off already."))

    terms = {"on": on}
    with perform(SET_TWO_PERSON_CONTROL, tenant_id, actor=actor, state=state, holds=lambda current: terms) as current:
        tenant: Tenant = current.row
        _switch(current, tenant, terms)
    return tenant


@controlled(SET_TWO_PERSON_CONTROL)
def _switch(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    tenant.needs_two = bool(terms["on"])
    require_two_left(tenant)
    tenant.save(update_fields=["needs_two"])
    current.witness(TWO_PERSON_SWITCHED_ON if tenant.needs_two else TWO_PERSON_SWITCHED_OFF)


def confirm_proposal(proposal_id: object, *, actor: Actor, keep: Callable[[Any], object] | None = None) -> Proposal:
    """Confirm another human's proposal.

    A proposal of a tenant's person is carried out immediately, if the present state still allows it. Its proposer must
    still be an administrator of the tenant. A change by staff takes effect after the waiting time, which begins now.
    `keep` is passed to an act that needs it (reset_second_factors).
    """
    with perform(CONFIRM_PROPOSAL, proposal_id, actor=actor, find=_to_confirm, state=_require_confirmable) as current:
        row: Proposal = current.row
        if row.tenant_id is None:
            return _confirmed_by_staff(row, current)
        tenant, by = current.tenant, row.proposed_by
        row.ended_at, row.confirmed_by_id = current.at, current.actor.person
        row.save(update_fields=["ended_at", "confirmed_by"])
        current.witness(PROPOSAL_CONFIRMED, detail={**proposal_detail(row), "proposed_by": by.name})
        current.confirmed, current.proposer, current.keep = row.pk, by.pk, keep
        CONTROLLED[row.act].run(current, tenant, row.said)
        require_two_left(tenant)
        tell(current, row, "confirmed")
    return row


def withdraw_proposal(proposal_id: object, *, actor: Actor) -> Proposal:
    """Withdraw or refuse a proposal. Its proposer can do this, and the tenant's administrators and approvers.

    Every member of staff can withdraw a proposal of staff until it takes effect.
    """
    with perform(WITHDRAW_PROPOSAL, proposal_id, actor=actor, state=_require_pending) as current:
        row: Proposal = current.row
        if row.tenant_id is None:
            _announced.end(row, current, Proposal.Outcome.WITHDRAWN, PROPOSAL_WITHDRAWN, "withdrawn")
            return row
        row.ended_at = current.at
        row.save(update_fields=["ended_at"])
        current.witness(PROPOSAL_WITHDRAWN, detail={**proposal_detail(row), "proposed_by": row.proposed_by.name})
        tell(current, row, "withdrawn")
    return row


def _to_confirm(current: Step, proposal_id: object) -> Proposal:
    """Return the proposal, locked.

    For a proposal of a tenant, first the rows that its change needs are locked, then the tenant.
    """
    row: Proposal = Proposal.objects.visible_to(current.actor).find(proposal_id)
    lock = CONTROLLED[row.act].lock if row.tenant_id is not None else None
    if lock is not None:
        lock(row.said)
    return found_proposal(current, row.pk)


def _require_pending(current: Step) -> None:
    row: Proposal = current.row
    if row.tenant_id is None:
        _require_not_ended(row)
        return
    if row.ended_at is not None:
        raise WrongState(_("This change was already confirmed or withdrawn."))
    if row.expires_at <= current.at:
        raise DeadlinePassed(_("Nobody confirmed this change within 7 days. Propose the change again."))


def _require_confirmable(current: Step) -> None:
    _require_pending(current)
    if current.row.tenant_id is None:
        _require_second_of_staff(current)
        return
    by = current.row.proposed_by
    administers = {"tenant": current.tenant, "person": by, "person__is_active": True, "role": "administrator"}
    if not Membership.objects.filter(**administers).exists():
        raise WrongState(_("%(name)s no longer administers this tenant.") % {"name": by.name})


# --- Proposals of staff ----------------------------------------------------------------------------------------


def is_held_up(row: Proposal, at: datetime) -> bool:
    """Return whether a change that is due waits for access requests or windows that it affects. Nothing is locked."""
    waits = ANNOUNCED[row.act].waits
    return waits is not None and waits(row.said, at)


def apply_proposal(proposal_id: object, *, actor: Actor) -> Proposal:
    """Make a change on which staff have agreed and that is due now. The change is judged again, by the present state.

    Only the system can call this. Raise WrongState if the time in the row has not come, or while the change would
    affect an access request that has not ended. If the change is no longer possible, it lapses, and nothing is changed.

    If the change affects a tenant that has got no message yet, that tenant gets the message first, and the whole
    waiting time begins again.

    A change of many rows is made in several calls. The last one finds no row, and ends the proposal.
    """
    with act(APPLY_PROPOSAL, actor=actor) as current:
        if not current.actor.is_system:
            raise NotAllowed
        row: Proposal = Proposal.objects.of_staff().find(proposal_id)
        change = ANNOUNCED[row.act]
        if change.lock is not None:
            change.lock(row.said)
        part = change.choose(row.said) if change.choose is not None else Part()
        row = _locked(row, current)
        if row.effective_at is None and row.expires_at <= current.at:
            _lapse(row, current, "unanswered")
            return row
        _require_informed(row)
        # The acts that submit an access request or switch Lockbox on take the same turns. So until this change is made,
        # no access request begins and no other tenant is affected. All tenants are locked, because any of them may
        # switch Lockbox on next. A part that affects only some tenants locks only these.
        affects_all = part.logs is None or bool(_doubt(row))
        last = recorder.lock(*(Tenant.objects.values_list("pk", flat=True) if affects_all else part.logs or ()))
        current.at = max(current.at, last or current.at)
        if affects_all and (late := _announced.uninformed(row)):
            _announced.tell_late(current, row, late)
            return row
        if row.effective_at is None or current.at < row.effective_at:
            raise WrongState(_("The waiting time of this change is not over yet."))
        if is_held_up(row, current.at):
            raise WrongState(
                _(
                    "The change affects an access request or a window that has not ended yet. The change takes "
                    "effect after the access request or the window has ended."
                )
            )
        if why := _doubt(row):
            _lapse(row, current, why)
            return row
        before = len(current.notes)
        try:
            with transaction.atomic():
                current.confirmed, current.proposer, current.part = row.pk, row.proposed_by_id, part.rows
                change.run(current, row.said)
        except (DomainError, IntegrityError):
            del current.notes[before:]
            _lapse(row, current, "no_longer_fits")
            return row
        if part.rows:
            return row
        _announced.end(row, current, Proposal.Outcome.APPLIED, PROPOSAL_APPLIED, "applied")
    return row


def apply_due(*, actor: Actor, limit: int, is_over: Callable[[], bool] = lambda: False) -> int:
    """Apply the proposals of staff that are due, and end those that nobody confirmed in time.

    Return how many proposals ended. If a proposal that is not due yet affects more tenants by now, these
    tenants get a message about it. If one proposal fails, the others are still applied. The first failure is
    raised at the end. When `is_over` returns True, the rest is left to the next call.
    """
    at, done = clock.now(), 0
    failures: list[Exception] = []
    ripe = Proposal.objects.of_staff().filter(ended_at=None).order_by("effective_at", "expires_at")
    over, early = [*ripe.due(at), *ripe.unanswered(at)][:limit], [*ripe.pending(at).exclude(effective_at__lte=at)]
    for row in [*over, *early]:
        if is_over():
            break
        try:
            if row in over or _announced.uninformed(row):
                with bounds.within(replace(bounds.current(), lock_on_server=LOCK_SECONDS)):
                    done += _apply_to_end(row, actor=actor, is_over=is_over).ended_at is not None
        except WrongState:
            # It waits for an access request that has not ended, or another worker was faster.
            continue
        except Exception as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return done


def remind_second(*, actor: Actor, limit: int) -> int:
    """Send one more mail to the staff who can confirm, if a proposal of staff soon ends without a confirmation."""
    at = clock.now()
    sent = OutboxMessage.objects.filter(about=OuterRef("pk"), topic=Topic.SECOND_PERSON, mark="ends")
    soon = Proposal.objects.unconfirmed(at).filter(expires_at__lte=at + limits.PROPOSAL_ENDS_SOON)
    rows = list(soon.exclude(Exists(sent)).order_by("expires_at")[:limit])
    if rows:
        with transaction.atomic(durable=True):
            post([_announced.ask_second(row, "ends") for row in rows], at=at)
            bell.ring()
    return len(rows)


def _apply_to_end(row: Proposal, *, actor: Actor, is_over: Callable[[], bool]) -> Proposal:
    """Apply a proposal. If its change has several steps, make one after the other, so that others can act meanwhile."""
    row = apply_proposal(row.pk, actor=actor)
    while row.ended_at is None and ANNOUNCED[row.act].choose is not None and not is_over():
        let_others_write()
        # If the next step has to wait, for an access request or for the waiting time, this raises WrongState.
        row = apply_proposal(row.pk, actor=actor)
    return row


def _require_second_of_staff(current: Step) -> None:
    row: Proposal = current.row
    if row.effective_at is not None:
        raise WrongState(_("This change was already confirmed, or needs no confirmation."))
    if row.expires_at <= current.at:
        raise DeadlinePassed(_("Nobody confirmed this change within 7 days. Propose the change again."))
    _require_informed(row)
    second = Person.objects.get(pk=current.actor.person)
    if second_person.is_about(row, second):
        # Otherwise a member of staff could help to make two humans out of their own accounts.
        raise NotAllowed(_("This change is about your own account. Another member of the staff must confirm it."))
    for person in (*row.answerable, second):
        require_established(person, current.at)


def _require_informed(row: Proposal) -> None:
    if not _announced.all_informed(row):
        raise WrongState(_("This change is still being announced to the customers. Try again in a few minutes."))


def _confirmed_by_staff(row: Proposal, current: Step) -> Proposal:
    second = Person.objects.get(pk=current.actor.person)
    row.confirmed_by, row.confirmed_human = second, second.human_id
    row.confirmed_at, row.effective_at = current.at, current.at + limits.staff_change_wait()
    row.save(update_fields=["confirmed_by", "confirmed_human", "confirmed_at", "effective_at"])
    _announced.witness(current, row, PROPOSAL_CONFIRMED)
    _announced.tell(current, row, "confirmed")
    return row


def _locked(row: Proposal, current: Step) -> Proposal:
    related = ("proposed_by", "confirmed_by", "proposed_through__client__created_by")
    row = Proposal.objects.locked().select_related(*related).get(pk=row.pk)
    current.concerns("proposal", row, PROVIDER_LOG)
    _require_not_ended(row)
    return row


def _require_not_ended(row: Proposal) -> None:
    if row.ended_at is not None:
        raise WrongState(
            _("This change is no longer open. Its state is: %(how)s.") % {"how": row.get_outcome_display()}
        )


def _doubt(row: Proposal) -> str:
    """Return why the people who agreed no longer count as two members of staff. Return "" if they still do."""
    for person in filter(None, (*row.answerable, row.confirmed_by)):
        if not (person.is_active and person.is_staff):
            return "no_longer_staff"
    if row.proposed_through is not None and not row.proposed_through.is_active:
        return "client_removed"
    second = row.confirmed_by
    if second is not None and second.human_id in row.humans:
        return "one_human"
    return ""


def _lapse(row: Proposal, current: Step, why: str) -> None:
    _announced.end(row, current, Proposal.Outcome.LAPSED, PROPOSAL_LAPSED, "lapsed", reason=why)
    if (lapses := ANNOUNCED[row.act].lapses) is not None:
        lapses(row.said)
