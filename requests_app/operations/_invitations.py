"""Helpers for the acts on invitations: mails, working links, and the roles that the provider's invitations give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, cast
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from requests_app.domain import limits, link_secrets, policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.imports import IMPORT_ROWS
from requests_app.domain.acts.invitations import (
    INVITATION_PREPARED,
    INVITATION_WITHDRAWN,
    INVITE_STAFF_ANNOUNCED,
    INVITE_TO_QUEUES_ANNOUNCED,
    PROVIDER_JOINED,
)
from requests_app.domain.acts.members import ROLE_TAKEN
from requests_app.domain.errors import DomainError, Unacceptable, WrongState
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import HeldRow, Invitation, Person, Proposal, Service, Tenant
from requests_app.models.people import actor_of
from requests_app.operations._announced import (
    Terms,
    actor_of_client,
    announced,
    everybody,
    is_announced,
    propose,
    proposer_of,
    require_proven,
    uninformed,
)
from requests_app.operations._change import Step
from requests_app.operations._held_rows import uninformed_of
from requests_app.operations._humans import witness_in
from requests_app.operations._people import (
    ADMINISTRATOR,
    DECIDING,
    assign_to_queue,
    begin_staff,
    described,
    require_first,
)
from requests_app.queries import invitations


def send(current: Step, row: Invitation) -> None:
    """Make a new secret for the invitation, and send a mail with a link that contains this secret."""
    row.secret_hash = link_secrets.hashed(link_secrets.of(row.pk, row.sends))
    row.valid_from = row.valid_from or current.at
    row.expires_at = max(row.valid_from, current.at) + limits.INVITATION_FOR
    row.save()
    if row.tenant_id is None:
        # These are accepted with the same link.
        times = {"valid_from": row.valid_from, "expires_at": row.expires_at, "sends": row.sends}
        by = {"invited_by": row.invited_by, "invited_through": row.invited_through}
        row.others.unanswered().update(**times, **by)
    current.tell(
        Note(
            topic=Topic.INVITATION,
            tenant_id=row.tenant_id,
            about=row.pk,
            audiences=(Audience.INVITED,),
            mark=uuid4().hex,
        )
    )


def prepare(current: Step, row: Invitation, services: Iterable[Service]) -> None:
    """Save an invitation that nobody has sent yet. No link leads to it, so no secret is drawn for one."""
    row.sends, row.secret_hash = 0, link_secrets.hashed(uuid4().hex)
    row.created_at = row.valid_from = row.expires_at = current.at
    row.save(force_insert=True)
    row.services.set(services)
    _record(current, row, INVITATION_PREPARED)


def withdraw(current: Step, row: Invitation) -> None:
    """Withdraw an invitation. If others are accepted with its link, one of them must be sent instead."""
    row.withdrawn_at = current.at
    row.save(update_fields=["withdrawn_at"])
    _record(current, row, INVITATION_WITHDRAWN)
    others = list(row.others.unanswered().order_by("created_at", "pk"))
    if others:
        first, *rest = others
        Invitation.objects.filter(pk=first.pk).update(beside=None)
        Invitation.objects.filter(pk__in=[each.pk for each in rest]).update(beside=first)
        forget_named(others)
        unsent = {"sends": 0, "invited_by": None, "invited_through": None, "expires_at": current.at}
        Invitation.objects.filter(pk__in=[each.pk for each in others]).update(**unsent)


def forget_named(rows: Iterable[Invitation]) -> None:
    """Make the roles of these invitations need an announcement: what tenants have read about them is over."""
    Invitation.named_to.through.objects.filter(invitation_id__in=[row.pk for row in rows]).delete()


def drop_queue(current: Step, row: Invitation, service: Service | None) -> None:
    """Take one queue out of an invitation. Withdraw the invitation if nothing is left of it."""
    if service is not None and row.services.exclude(pk=service.pk).exists():
        row.services.remove(service)
        _record(current, row, ROLE_TAKEN, name=row.email, service=service.key)
    else:
        withdraw(current, row)


def _record(current: Step, row: Invitation, event: Event, **more: str) -> None:
    before = current.subject_type, current.subject_id
    current.subject_type, current.subject_id = "invitation", str(row.pk)
    current.witness(event, detail={**invitation_detail(row), **more}, text=row.email)
    current.subject_type, current.subject_id = before


def invitation_detail(row: Invitation) -> dict[str, Any]:
    found = {"invitation": str(row.pk), "email": row.email, "role": row.role}
    if row.invited_through is not None and row.invited_by is not None:
        found["holder"] = row.invited_by.name
    return found if row.tenant_id is not None else {**found, "queues": queues_of(row)}


def queues_of(row: Invitation) -> str:
    """Return the names of the queues in which the provider's invitation gives its role, for people to read."""
    return ", ".join(row.services.order_by("name").values_list("name", flat=True))


def address_of(value: object) -> str:
    email = value.strip().lower() if isinstance(value, str) else ""
    try:
        validate_email(email)
    except ValidationError:
        raise Unacceptable(_("Enter an email address."), field="email") from None
    if len(email) > limits.EMAIL_MAX:
        raise Unacceptable(_("Enter an email address."), field="email")
    return email


def require_sender(actor: Actor, tenant: Tenant | None, role: str) -> None:
    """Raise NotAllowed unless this actor may invite people to this role now."""
    if tenant is None or actor.is_staff:
        policy.require_staff(actor)
        if tenant is not None:
            require_first(tenant, role)
    else:
        policy.require_role(actor, ADMINISTRATOR, tenant_id=tenant.pk)


def is_good(row: Invitation, *, at: datetime, door: str) -> bool:
    """Return whether the link of an invitation works: it is open, and the person who sent it may still invite people.

    The link of a provider's invitation also needs a role that can be given, or that is proposed (`standing_of`).
    """
    if not row.is_open(at):
        return False
    if row.invited_by is None:
        return True
    tenant: Tenant | None = row.tenant
    if tenant is None and standing_of(row, at) is Standing.VOID:
        return False
    if tenant is not None and tenant.needs_two and row.role in DECIDING and not row.was_confirmed:
        return False
    return may_send(row, row.invited_by, door=door)


def may_send(row: Invitation, sender: Person, *, door: str) -> bool:
    """Return whether the person who sent the invitation, and the client through which they did, may still invite."""
    try:
        require_sender(actor_of(sender, door=door), row.tenant, row.role)
        if row.invited_through is not None:
            proposer_of(actor_of_client(row.invited_through, door=door))
    except DomainError:
        return False
    return True


# --- The roles of the provider's people ----------------------------------------------------------------------


class Standing(Enum):
    """What happens to the role of a provider's invitation when somebody accepts it.

    GIVEN: the person gets it at once. WAITS: it is proposed, and the proposal gives it when it takes effect. VOID: it
    can't be given: it must be announced and no proposal is there, or nobody sent its invitation in time. Then the link
    doesn't work.

    An invitation without a proposal gives its role while each tenant that has ever had Lockbox on has read about it
    when it first switched Lockbox on (`Invitation.named_to`).
    """

    GIVEN = "given"
    WAITS = "waits"
    VOID = "void"


def standing_of(row: Invitation, at: datetime) -> Standing:
    """Judge the role of a provider's invitation by the present state.

    To act on the result, call this with the turn at the provider's log: the acts on proposals take this turn, too.
    """
    if row.is_too_old(at):
        return Standing.VOID
    proposal: Proposal | None = row.proposal
    if proposal is None:
        return Standing.VOID if invitations.unaware(row.pk).exists() else Standing.GIVEN
    held = _held_in(proposal, row)
    if held is not None and held.outcome:
        is_agreed = held.outcome == HeldRow.Outcome.APPLIED and not uninformed_of(held)
        return Standing.GIVEN if is_agreed else Standing.VOID
    if proposal.ended_at is None:
        is_late = proposal.effective_at is None and proposal.expires_at <= at
        return Standing.VOID if is_late else Standing.WAITS
    is_agreed = held is None and proposal.outcome == Proposal.Outcome.APPLIED and not uninformed(proposal)
    return Standing.GIVEN if is_agreed else Standing.VOID


def _held_in(proposal: Proposal, row: Invitation) -> HeldRow | None:
    """Return the row of an import that gives the role, if the proposal is about an import."""
    if proposal.act != IMPORT_ROWS.name:
        return None
    rows = HeldRow.objects.filter(of=proposal.said["import"], terms__invitation=str(row.pk))
    return cast(HeldRow | None, rows.order_by("-pk").first())


def waiting_change(row: Invitation) -> tuple[Change, Terms]:
    """Return the announced change of a role that waits (`Standing.WAITS`), with the terms that customers read."""
    change, terms = announcement_of(row)
    proposal: Proposal | None = row.proposal
    if proposal is None:
        return change, terms
    held = _held_in(proposal, row)
    return change, cast(Terms, proposal.said if held is None else held.terms)


def announcement_of(row: Invitation) -> tuple[Change, Terms]:
    """Return the announced change that gives the role of a provider's invitation, with its terms."""
    terms = {"invitation": str(row.pk), "email": row.email, "role": row.role, "queues": queues_of(row)}
    return (INVITE_STAFF_ANNOUNCED if row.role == Role.STAFF else INVITE_TO_QUEUES_ANNOUNCED), terms


def propose_role(current: Step, row: Invitation) -> None:
    """If customers must get notice of the role, propose it. The invitation itself is sent in any case."""
    change, terms = announcement_of(row)
    if is_announced(change, terms):
        row.proposal = propose(current, change, terms)
        row.save(update_fields=["proposal"])


def give_unannounced(current: Step, row: Invitation, person: Person) -> None:
    """Give the role of an invitation that was accepted. If no proposal has announced it, tell the tenants now."""
    give_provider_role(current, row, person)
    tenants = everybody() if row.proposal_id is None else []
    if not tenants:
        return
    detail = {**invitation_detail(row), **described(person)}
    witness_in(current, PROVIDER_JOINED, sorted(tenants), detail=detail, text=person.name)
    deciders = (Audience.CUSTOMER, Audience.ADMINISTRATORS)
    for tenant in tenants:
        note = Note(topic=Topic.PROVIDER_JOINED, tenant_id=tenant, about=row.pk, audiences=deciders)
        current.tell(replace(note, mark=str(tenant)))


def give_provider_role(current: Step, row: Invitation, person: Person) -> None:
    """Give the role of a provider's invitation, in all its queues. What the person has already stays as it is."""
    require_proven(person)
    if row.role == Role.STAFF:
        if not person.is_staff:
            begin_staff(current, person)
        return
    for service in row.services.order_by("name"):
        if not person.queue_assignments.filter(service=service, role=row.role).exists():
            assign_to_queue(current, service, person, row.role)


def _lock(terms: Terms) -> None:
    row = Invitation.objects.locked().filter(pk=terms["invitation"]).first()
    if row is not None and row.accepted_by_id is not None:
        list(Person.objects.get_queryset().select_for_update(no_key=True).filter(pk=row.accepted_by_id))


@announced(INVITE_STAFF_ANNOUNCED, lock=_lock)
@announced(INVITE_TO_QUEUES_ANNOUNCED, lock=_lock)
def _role_agreed(current: Step, terms: Terms) -> None:
    """Give the role to the person who accepted the invitation. If nobody has yet, the role is given at the acceptance.

    Raise WrongState if the invitation was withdrawn or has expired, or if its account is switched off.
    """
    row: Invitation = Invitation.objects.select_related("accepted_by").get(pk=terms["invitation"])
    person = row.accepted_by
    if person is None and not Invitation.objects.expected(current.at).filter(pk=row.pk).exists():
        raise WrongState(_("This invitation was withdrawn or has expired."))
    if person is not None and not person.is_active:
        raise WrongState(_("This account is switched off."))
    if str(row.proposal_id) != str(current.confirmed):
        # The invitation was sent again with another proposal.
        raise WrongState(_("This change is no longer open."))
    if person is not None:
        current.subject_type, current.subject_id = "person", str(person.pk)
        give_provider_role(current, row, person)
