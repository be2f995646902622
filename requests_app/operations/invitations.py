"""Invites people to a tenant or to the provider. Each person sets their own password, which nobody else ever knows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from requests_app.domain import clock, limits, policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.acts.invitations import (
    INVITATION_SENT,
    INVITATION_WITHDRAWN,
    INVITE_COLLEAGUE,
    INVITE_PERSON,
    RESEND_INVITATION,
    SEND_INVITATIONS,
    WITHDRAW_INVITATION,
)
from requests_app.domain.acts.proposals import PROPOSAL_WITHDRAWN
from requests_app.domain.errors import NotAllowed, TooMany, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.scopes import Scope
from requests_app.models import Installation, Invitation, Membership, Person, Proposal, QueueAssignment, Service, Tenant
from requests_app.operations._announced import end, proposer_of
from requests_app.operations._change import Step
from requests_app.operations._invitations import (
    Standing,
    forget_named,
    invitation_detail,
    propose_role,
    require_sender,
    send,
    standing_of,
    withdraw,
)
from requests_app.operations._people import ADMINISTRATOR, DECIDING, time_zone_of
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled
from requests_app.operations._sign_on import require_way_in
from requests_app.queries.invitations import digest_of


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
        require_way_in(current.row, current.inputs["email"])
        current.require_proof(needed=is_deciding)

    def holds(current: Step) -> dict[str, Any] | None:
        return {"email": current.inputs["email"], "role": role} if is_deciding else None

    with perform(
        INVITE_PERSON,
        tenant_id,
        actor=actor,
        inputs={"email": email},
        may=lambda current: require_sender(current.actor, current.row, role),
        check=check,
        holds=holds,
    ) as current:
        return _invite(current, current.row, {"email": current.inputs["email"], "role": role})


@controlled(INVITE_PERSON)
def _invite(current: Step, tenant: Tenant, wanted: dict[str, Any]) -> Invitation:
    _require_new(tenant, wanted["email"], current)
    row = _begun(current, Invitation(tenant=tenant, email=wanted["email"], role=wanted["role"]))
    row.was_confirmed = current.confirmed is not None
    send(current, row)
    current.witness(INVITATION_SENT, detail=invitation_detail(row), text=row.email)
    return row


def invite_colleague(
    *, email: str, role: str, services: Iterable[object] = (), time_zone: str = "", actor: Actor
) -> Invitation:
    """Invite an address to be one of the provider's people: an engineer, a provider approver, or staff.

    `services` are the queues of an engineer or a provider approver. Without `time_zone`, the reader gets the time zone
    of the person who invites. If any customer has ever had Lockbox on, the role is an announced change: the invitation
    is sent now, but only its proposal gives the role.

    A client of the provider can invite people to queues, and never staff. The invitation names the client, and the
    person who holds its secret.
    """
    row = Invitation(role=role)
    queues: list[Service] = []

    def find(current: Step, _row_id: object) -> Invitation:
        current.concerns("invitation", row, PROVIDER_LOG)
        return row

    def may(current: Step) -> None:
        if current.actor.machine is not None:
            policy.require_scope(current.actor, Scope.PROVISION)
            if role == Role.STAFF:
                raise NotAllowed(_("Only a person can invite somebody to be a member of the staff."))

    def check(current: Step) -> None:
        row.email = current.inputs["email"]
        queues.extend(_queues(role, services, current.actor))
        by = proposer_of(current.actor)
        row.invited_through = by.client.account if by.client else None
        row.invited_by = by.person
        row.time_zone = time_zone_of(time_zone or by.person.time_zone)
        _require_new(None, row.email, current)

    inputs = {"email": email}
    with perform(INVITE_COLLEAGUE, actor=actor, inputs=inputs, find=find, may=may, check=check) as current:
        row.created_at = current.at
        send(current, row)
        row.services.set(queues)
        current.witness(INVITATION_SENT, detail=invitation_detail(row), text=row.email)
        propose_role(current, row)
    return row


def resend_invitation(invitation_id: object, *, actor: Actor) -> Invitation:
    """Send a mail with a new link, which works for another 7 days. The former link stops working.

    If the role of a provider's invitation can no longer be given, it is proposed again.
    """

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
        if row.beside_id is not None or row.is_prepared:
            raise WrongState(_("This invitation has no link of its own that could be sent again."))
        if row.sends >= limits.INVITATION_SENDS_MAX:
            raise TooMany(
                _(
                    "This invitation was already sent %(max)d times. Withdraw this invitation, and send "
                    "a new invitation."
                )
                % {"max": row.sends}
            )
        current.require_proof(needed=row.tenant_id is None or row.role in DECIDING)

    with perform(RESEND_INVITATION, invitation_id, actor=actor, may=_may_manage, state=state) as current:
        row: Invitation = current.row
        others = list(row.others.unanswered().select_related("proposal"))
        # What a tenant read when it first switched Lockbox on was about the former link.
        forget_named((row, *others))
        # Judged before the mail is sent: it makes every link, and every role that is accepted with it, valid again.
        void = [each for each in (row, *others) if _must_propose(each, current)]
        row.sends += 1
        send(current, row)
        current.witness(INVITATION_SENT, detail=invitation_detail(row), text=row.email)
        for each in void:
            _end_proposal(current, each)
            propose_role(current, each)
    return row


def _must_propose(row: Invitation, current: Step) -> bool:
    """Return whether the role must be proposed again before this invitation of the provider can give it."""
    if row.tenant_id is not None:
        return False
    standing = standing_of(row, current.at)
    if standing is Standing.WAITS and row.proposal is not None and row.proposal.act == IMPORT_ROWS.name:
        # The import's one proposal still waits, and gives this role.
        return False
    is_over = not row.is_prepared and not row.is_open(current.at)
    return is_over or standing is Standing.VOID


def withdraw_invitation(invitation_id: object, *, actor: Actor) -> Invitation:
    """Withdraw an invitation. Its link stops working immediately, and so does the proposal of its role.

    An approver can also withdraw an invitation that was made with the recovery key.
    """
    with perform(
        WITHDRAW_INVITATION, invitation_id, actor=actor, may=_may_manage, state=_require_unanswered
    ) as current:
        row: Invitation = current.row
        row.withdrawn_at = current.at
        row.save(update_fields=["withdrawn_at"])
        current.witness(INVITATION_WITHDRAWN, detail=invitation_detail(row), text=row.email)
        _end_proposal(current, row)
        for other in row.others.unanswered().select_related("proposal"):
            withdraw(current, other)
            _end_proposal(current, other)
    return row


def send_invitations(*, shown: str, actor: Actor) -> list[Invitation]:
    """Send the invitations that a file has prepared. The mails name this member of the staff.

    `shown` is the hash of the list that this person has read (`queries.invitations.prepared`). If the list has changed
    since, nothing is sent.

    An invitation is left out while its role must be announced and is not proposed yet, and for ever if it is too old.
    An invitation is withdrawn if its address has got an account meanwhile.
    """
    found: list[Invitation] = []

    def find(current: Step, _row_id: object) -> Installation:
        row = Installation()
        found.extend(_prepared(clock.now()))
        current.concerns("installation", row, PROVIDER_LOG)
        return row

    def state(current: Step) -> None:
        if not found:
            raise WrongState(_why_none())
        if digest_of(found) != shown:
            raise WrongState(_("The list has changed. Read it again before you send the invitations."))
        if all(_is_blocked(row, current) for row in found):
            raise WrongState(
                _("The roles of these invitations must be proposed first. Open the import, and propose its changes.")
            )

    with perform(SEND_INVITATIONS, actor=actor, find=find, state=state) as current:
        sent = []
        for row in found:
            current.subject_type, current.subject_id = "invitation", str(row.pk)
            if Person.objects.get_queryset().filter(email=row.email).exists():
                for each in (*row.others.unanswered(), row):
                    withdraw(current, each)
            elif not _is_blocked(row, current):
                _send_prepared(current, row)
                sent.append(row)
    return sent


def _prepared(at: datetime) -> list[Invitation]:
    """Lock and return the invitations whose link must be sent, and lock those that are accepted with it."""
    found = list(Invitation.objects.to_send(at).locked())
    list(Invitation.objects.filter(beside__in=[row.pk for row in found]).order_by("pk").locked())
    return found


def _why_none() -> str:
    if not Invitation.objects.prepared().exists():
        return _("No invitation waits to be sent.")
    return _(
        "The prepared invitations can no longer be sent. %(days)d days have passed since the file prepared them, or an "
        "invitation that was sent to the same address has expired. Apply the file again, or invite the people by hand."
    ) % {"days": limits.PREPARED_FOR.days}


def _is_blocked(row: Invitation, current: Step) -> bool:
    return any(standing_of(each, current.at) is Standing.VOID for each in (row, *row.others.unanswered()))


def _send_prepared(current: Step, row: Invitation) -> None:
    row.invited_by_id, row.invited_through = current.actor.person, None
    row.sends += 1
    row.valid_from = current.at
    send(current, row)
    for each in (row, *row.others.unanswered()):
        current.witness(INVITATION_SENT, detail=invitation_detail(each), text=each.email)


def _begun(current: Step, row: Invitation) -> Invitation:
    row.invited_by_id = current.proposer or current.actor.person
    row.created_at = current.at
    return row


def _end_proposal(current: Step, row: Invitation) -> None:
    proposal = row.proposal
    # The proposal of an import is about other changes too. The row of this invitation lapses alone.
    if proposal is not None and proposal.act != IMPORT_ROWS.name and proposal.ended_at is None:
        end(proposal, current, Proposal.Outcome.WITHDRAWN, PROPOSAL_WITHDRAWN, "withdrawn")


def _queues(role: str, wanted: Iterable[object], actor: Actor) -> list[Service]:
    """Return the services of the queues. Raise Unacceptable if they don't fit the role."""
    found = [Service.objects.visible_to(actor).find(each) for each in dict.fromkeys(map(str, wanted))]
    if role == Role.STAFF:
        if found:
            raise Unacceptable(_("Staff have no queue. Choose no service."), field="services")
    elif role not in QueueAssignment.Role.values:
        raise Unacceptable(_("There is no such role."), field="role")
    elif not found:
        raise Unacceptable(_("Choose at least one service."), field="services")
    return found


def _may_manage(current: Step) -> None:
    """Raise NotAllowed unless the actor may manage this invitation.

    An approver may manage an invitation that was made with the recovery key.
    """
    if current.row.is_recovery:
        policy.require_role(current.actor, ADMINISTRATOR | {Role.APPROVER}, tenant_id=current.tenant.pk)
    else:
        require_sender(current.actor, current.row.tenant, current.row.role)


def _require_unanswered(current: Step) -> None:
    row = current.row
    if row.accepted_at is not None or row.withdrawn_at is not None:
        raise WrongState(_("This invitation was accepted or withdrawn already."))


def _require_new(tenant: Tenant | None, email: str, current: Step) -> None:
    """Raise Unacceptable if the address belongs to somebody of this tenant, or of the provider, or is invited already.

    The words reveal nothing about other tenants.
    """
    people = Person.objects.get_queryset().filter(email=email)
    if tenant is None and people.filter(side=Person.Side.PROVIDER).exists():
        words = _("This address belongs to one of the provider’s people. Give this person the role instead.")
        raise Unacceptable(words, field="email")
    if tenant is not None and people.filter(memberships__tenant=tenant).exists():
        raise Unacceptable(
            _("This address belongs to a person of your tenant. Give this person the role instead."), field="email"
        )
    waiting = Invitation.objects.filter(tenant=tenant).expected(current.at)
    if waiting.filter(email=email).exists():
        raise Unacceptable(_("This address is invited already. Send the invitation again instead."), field="email")
    if waiting.exclude(sends=0).count() >= limits.INVITATIONS_MAX:
        raise TooMany(
            _("%(max)d invitations have not been accepted yet. Withdraw some of them first.")
            % {"max": limits.INVITATIONS_MAX}
        )
