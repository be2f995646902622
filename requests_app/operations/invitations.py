"""Invites people to a tenant. Each person sets their own password, which nobody else ever knows."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.utils.translation import gettext as _

from requests_app.domain import limits, link_secrets, policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.invitations import (
    ACCEPT_INVITATION,
    INVITATION_ACCEPTED,
    INVITATION_SENT,
    INVITATION_WITHDRAWN,
    INVITE_PERSON,
    RESEND_INVITATION,
    WITHDRAW_INVITATION,
)
from requests_app.domain.acts.proposals import TWO_PERSON_SWITCHED_OFF
from requests_app.domain.errors import DomainError, NotFound, TooMany, Unacceptable, WrongState
from requests_app.models import Invitation, Membership, Person, Tenant
from requests_app.models.people import actor_of
from requests_app.operations._change import Step, act
from requests_app.operations._humans import join_same_mailbox
from requests_app.operations._invitations import invitation_detail, send
from requests_app.operations._people import (
    ADMINISTRATOR,
    DECIDING,
    described,
    give,
    new_person,
    require_first,
    set_up_again,
)
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled
from requests_app.operations._sign_on import let_in
from requests_app.platform import hashing


def invite_person(tenant_id: object, *, email: str, role: str, actor: Actor) -> Invitation:
    """Invite an address to one role. The tenant's administrator can do this, or staff while the tenant has no decider.

    The answer does not depend on whether the address has an account elsewhere. No account is made here: the reader of
    the mail chooses the name and the password (`accept_invitation`).
    """
    is_deciding = role in DECIDING

    def check(current: Step) -> None:
        if role not in Membership.Role.values:
            raise Unacceptable(_("There is no such role."), field="role")
        _require_new(current.row, current.inputs["email"], current)
        current.require_proof(needed=is_deciding)

    def holds(current: Step) -> dict[str, Any] | None:
        return {"email": current.inputs["email"], "role": role} if is_deciding else None

    with perform(
        INVITE_PERSON,
        tenant_id,
        actor=actor,
        inputs={"email": email},
        may=lambda current: _require_sender(current.actor, current.row, role),
        check=check,
        holds=holds,
    ) as current:
        return _invite(current, current.row, {"email": current.inputs["email"], "role": role})


@controlled(INVITE_PERSON)
def _invite(current: Step, tenant: Tenant, wanted: dict[str, Any]) -> Invitation:
    _require_new(tenant, wanted["email"], current)
    row = Invitation(tenant=tenant, email=wanted["email"], role=wanted["role"])
    row.invited_by_id = current.proposer or current.actor.person
    row.created_at, row.was_confirmed = current.at, current.confirmed is not None
    send(current, row)
    current.witness(INVITATION_SENT, detail=invitation_detail(row), text=row.email)
    return row


def resend_invitation(invitation_id: object, *, actor: Actor) -> Invitation:
    """Send a mail with a new link, which works for another 7 days. The former link stops working."""

    def state(current: Step) -> None:
        _require_unanswered(current)
        row = current.row
        if row.is_recovery:
            raise WrongState(
                _(
                    "This invitation was sent because the recovery key was used. It can be withdrawn, but it can’t be "
                    "sent again."
                )
            )
        if row.sends >= limits.INVITATION_SENDS_MAX:
            raise TooMany(
                _(
                    "This invitation was already sent %(max)d times. Withdraw this invitation, and send "
                    "a new invitation."
                )
                % {"max": row.sends}
            )
        current.require_proof(needed=row.role in DECIDING)

    with perform(RESEND_INVITATION, invitation_id, actor=actor, may=_may_manage, state=state) as current:
        row: Invitation = current.row
        row.sends += 1
        send(current, row)
        current.witness(INVITATION_SENT, detail=invitation_detail(row), text=row.email)
    return row


def withdraw_invitation(invitation_id: object, *, actor: Actor) -> Invitation:
    """Withdraw an invitation. Its link stops working immediately.

    An approver can also withdraw an invitation that was made with the recovery key.
    """
    with perform(
        WITHDRAW_INVITATION, invitation_id, actor=actor, may=_may_manage, state=_require_unanswered
    ) as current:
        row: Invitation = current.row
        row.withdrawn_at = current.at
        row.save(update_fields=["withdrawn_at"])
        current.witness(INVITATION_WITHDRAWN, detail=invitation_detail(row), text=row.email)
    return row


def accept_invitation(secret: str, *, name: str, password: str, actor: Actor) -> Person:
    """Make the reader of an invitation's mail one of the tenant's people. `secret` comes from the link in that mail.

    Raise the same NotFound for every invalid link. `actor` has no account yet (`Actor.stranger`).
    """
    is_known = Invitation.objects.filter(secret_hash=link_secrets.hashed(secret)).exists()
    with hashing.ahead(password) if is_known else nullcontext(), act(ACCEPT_INVITATION, actor=actor) as current:
        known = Invitation.objects.filter(secret_hash=link_secrets.hashed(secret)).first()
        if known is None:
            raise NotFound
        tenant = Tenant.objects.locked().get(pk=known.tenant_id)
        current.concerns("tenant", tenant, tenant.pk)
        row = Invitation.objects.locked().select_related("invited_by").get(pk=known.pk)
        if row.secret_hash != known.secret_hash or not is_good(row, tenant, current):
            raise NotFound
        person = _account(row, tenant, name=name, password=password, current=current)
        # The link is the proof. The person who sent the invitation gave their own proof.
        current.actor = actor_of(
            person, door=actor.door, stepped_up_at=current.at, request_id=actor.request_id, ip=actor.ip
        )
        by = row.invited_by.name if row.invited_by else ""
        current.witness(
            INVITATION_ACCEPTED, detail={**invitation_detail(row), **described(person), "invited_by": by}, text=by
        )
        if tenant.needs_two and (row.is_recovery or row.was_confirmed):
            current.confirmed = row.pk
        give(current, tenant, person, row.role)
        if row.is_recovery and tenant.needs_two:
            # The second person has lost access, or would have stopped the recovery.
            tenant.needs_two = False
            tenant.save(update_fields=["needs_two"])
            current.witness(TWO_PERSON_SWITCHED_OFF)
        if row.is_recovery:
            let_in(current, tenant, person)
        row.accepted_at, row.accepted_by = current.at, person
        row.save(update_fields=["accepted_at", "accepted_by"])
    return person


def is_good(row: Invitation, tenant: Tenant, current: Step) -> bool:
    """Return whether the link of an invitation still works.

    The invitation must be open, and the person who sent it must still be allowed to invite people to the tenant.
    """
    if not row.is_open(current.at):
        return False
    if row.invited_by is None:
        return True
    if tenant.needs_two and row.role in DECIDING and not row.was_confirmed:
        return False
    try:
        _require_sender(actor_of(row.invited_by, door=current.actor.door), tenant, row.role)
    except DomainError:
        return False
    return True


def _account(row: Invitation, tenant: Tenant, *, name: str, password: str, current: Step) -> Person:
    """Return a new account for the address of the invitation, or the account that has this address but no role yet."""
    there = Person.objects.get_queryset().select_for_update(no_key=True).filter(email=row.email).first()
    if there is not None:
        return set_up_again(there, name=name, password=password, near=tenant.name, at=current.at)
    zone = tenant.time_zone
    person = new_person(
        email=row.email, name=name, side=Person.Side.CUSTOMER, time_zone=zone, password=password, near=tenant.name
    )
    person.created_at = person.email_verified_at = current.at
    join_same_mailbox(current, person)
    person.save(force_insert=True)
    return person


def _require_sender(actor: Actor, tenant: Tenant, role: str) -> None:
    if actor.is_staff:
        policy.require_staff(actor)
        require_first(tenant, role)
    else:
        policy.require_role(actor, ADMINISTRATOR, tenant_id=tenant.pk)


def _may_manage(current: Step) -> None:
    """Raise NotAllowed unless the actor may manage this invitation.

    An approver may manage an invitation that was made with the recovery key.
    """
    if current.row.is_recovery:
        policy.require_role(current.actor, ADMINISTRATOR | {Role.APPROVER}, tenant_id=current.tenant.pk)
    else:
        _require_sender(current.actor, current.tenant, current.row.role)


def _require_unanswered(current: Step) -> None:
    row = current.row
    if row.accepted_at is not None or row.withdrawn_at is not None:
        raise WrongState(_("This invitation was accepted or withdrawn already."))


def _require_new(tenant: Tenant, email: str, current: Step) -> None:
    """Raise Unacceptable if the address belongs to one of this tenant's people, or is already invited to this tenant.

    The words reveal nothing about other tenants.
    """
    if Person.objects.get_queryset().filter(email=email, memberships__tenant=tenant).exists():
        raise Unacceptable(
            _("This address belongs to a person of your tenant. Give this person the role instead."), field="email"
        )
    waiting = tenant.invitations.open(current.at)
    if waiting.filter(email=email).exists():
        raise Unacceptable(_("This address is invited already. Send the invitation again instead."), field="email")
    if waiting.count() >= limits.INVITATIONS_MAX:
        raise TooMany(
            _("%(max)d invitations have not been accepted yet. Withdraw some of them first.")
            % {"max": limits.INVITATIONS_MAX}
        )
