"""Accepts invitations: the reader of the mail gets an account, with a password or through single sign-on."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime

from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.domain import link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.acts.invitations import ACCEPT_INVITATION, INVITATION_ACCEPTED
from requests_app.domain.acts.proposals import TWO_PERSON_SWITCHED_OFF
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable
from requests_app.domain.events import PROVIDER_LOG
from requests_app.identity.sso.asserted import AssertedIdentity
from requests_app.models import Identity, Invitation, Person, Tenant
from requests_app.models.people import actor_of
from requests_app.operations._change import Step, act
from requests_app.operations._humans import join_same_mailbox
from requests_app.operations._invitations import (
    Standing,
    give_unannounced,
    invitation_detail,
    is_good,
    may_send,
    standing_of,
    withdraw,
)
from requests_app.operations._people import can_be_set_up_again, described, give, new_person, set_up_again
from requests_app.operations._sign_on import let_in, open_connection, require_way_in
from requests_app.platform import hashing
from requests_app.queries import invitations, single_sign_on


def invitation_to_accept(secret: str, *, actor: Actor, at: datetime) -> Invitation:
    """Return the invitation behind a link, for the page that offers to accept it.

    Raise the error with which `accept_invitation` would refuse every form, so that nobody fills in one for nothing.
    """
    row = invitations.invitation_behind(secret, at=at)
    _require_acceptable(row, at=at, door=actor.door)
    there = Person.objects.get_queryset().filter(email=row.email).first()
    if there is not None:
        _require_free(row, there)
    return row


def accept_invitation(
    secret: str,
    *,
    name: str,
    password: str | None = None,
    came: AssertedIdentity | None = None,
    via: str = "",
    actor: Actor,
) -> Person:
    """Make the reader of an invitation's mail one of the tenant's or the provider's people.

    `secret` comes from the link in that mail. A person whose organisation has single sign-on brings an identity
    (`came`) in place of a password: then nobody can sign in to the account with a password. `via` is the name of the
    connection through which they came. Raise the same NotFound for
    every invalid link, and NotAllowed if the role must be announced to customers first. `actor` has no account
    yet (`Actor.stranger`).
    """
    is_known = Invitation.objects.filter(secret_hash=link_secrets.hashed(secret)).exists()
    ahead = hashing.ahead(password) if is_known and password is not None else nullcontext()
    with ahead, act(ACCEPT_INVITATION, actor=actor) as current:
        row = _found(current, secret)
        tenant: Tenant | None = row.tenant
        _require_acceptable(row, at=current.at, door=actor.door)
        _require_way(row, password, came, via)
        person = _account(row, name=name, password=password, came=came, current=current)
        # The link is the proof. The person who sent the invitation gave their own proof.
        current.actor = actor_of(
            person, door=actor.door, stepped_up_at=current.at, request_id=actor.request_id, ip=actor.ip
        )
        sender = row.invited_through or row.invited_by
        by = sender.name if sender else ""
        current.witness(
            INVITATION_ACCEPTED, detail={**invitation_detail(row), **described(person), "invited_by": by}, text=by
        )
        row.accepted_at, row.accepted_by = current.at, person
        row.save(update_fields=["accepted_at", "accepted_by"])
        # The person does not give the role to themselves: the sender did.
        current.detail = {"invited_by": by}
        if tenant is not None:
            _give_in_tenant(current, row, tenant, person)
        else:
            _give_of_provider(current, row, person)
    return person


def _found(current: Step, secret: str) -> Invitation:
    """Lock the invitation with this secret, and its tenant before it. Raise NotFound for an unknown secret."""
    known = Invitation.objects.filter(secret_hash=link_secrets.hashed(secret)).first()
    if known is None:
        raise NotFound
    tenant = Tenant.objects.locked().get(pk=known.tenant_id) if known.tenant_id is not None else None
    if tenant is not None:
        current.concerns("tenant", tenant, tenant.pk)
    row: Invitation = Invitation.objects.locked().select_related("invited_by", "invited_through").get(pk=known.pk)
    if tenant is None:
        current.concerns("invitation", row, PROVIDER_LOG)
        # The act that switches Lockbox on takes the same turn. So it describes either the invitation or the person.
        last = recorder.lock(*Tenant.objects.values_list("pk", flat=True), is_holding=True)
        current.at = max(current.at, last or current.at)
    row.tenant = tenant
    if row.secret_hash != known.secret_hash:
        raise NotFound
    return row


def _require_acceptable(row: Invitation, *, at: datetime, door: str) -> None:
    """Raise an error if nobody can accept the invitation now, with any form."""
    if not is_good(row, at=at, door=door):
        sender = row.invited_by
        if sender is not None and invitations.is_overtaken(row, at) and may_send(row, sender, door=door):
            words = _(
                "A customer has switched Lockbox on since. Your role must be announced to customers first. Ask "
                "%(name)s to send the invitation again."
            )
            raise NotAllowed(words % {"name": sender.name})
        raise NotFound
    if row.tenant is not None:
        if not row.is_recovery:
            require_way_in(row.tenant, row.email)
    elif not _is_proof(row) and standing_of(row, at) is Standing.GIVEN and Tenant.objects.ever_on().exists():
        raise NotAllowed(_("The link of this invitation was copied. Ask for the invitation to be sent again by mail."))


def _require_free(row: Invitation, there: Person) -> None:
    """Raise Unacceptable unless the reader of the link may get this account, which has the address already.

    Only the reader sees this refusal, so nobody else learns that the account exists.
    """
    if row.tenant is None or not _is_proof(row) or not can_be_set_up_again(there):
        words = _("Another account already uses this address. Ask for an invitation to a different address.")
        raise Unacceptable(words, field="name")


def _is_proof(row: Invitation) -> bool:
    """Return whether the reader proves that the address is theirs.

    A link that staff have copied proves no mailbox, but an identity provider does.
    """
    return not row.is_copied or bool(single_sign_on.name_for_invited(row))


def _give_of_provider(current: Step, row: Invitation, person: Person) -> None:
    """Give the roles of this invitation, and of those beside it that were sent. A proposed role is given later.

    What a file has prepared after the mail was sent is withdrawn: the same file gives the role to the account.
    """
    for other in row.others.unanswered().select_related("proposal").locked():
        if other.is_prepared:
            withdraw(current, other)
            continue
        other.accepted_at, other.accepted_by = current.at, person
        other.save(update_fields=["accepted_at", "accepted_by"])
        if standing_of(other, current.at) is Standing.GIVEN:
            give_unannounced(current, other, person)
    if standing_of(row, current.at) is Standing.GIVEN:
        give_unannounced(current, row, person)


def _give_in_tenant(current: Step, row: Invitation, tenant: Tenant, person: Person) -> None:
    if tenant.needs_two and (row.is_recovery or row.was_confirmed):
        current.confirmed = row.pk
    give(current, tenant, person, row.role)
    current.detail = {}
    if row.is_recovery and tenant.needs_two:
        # The second person has lost access, or would have stopped the recovery.
        tenant.needs_two = False
        tenant.save(update_fields=["needs_two"])
        current.witness(TWO_PERSON_SWITCHED_OFF)
    if row.is_recovery:
        let_in(current, tenant, person)


def _require_way(row: Invitation, password: str | None, came: AssertedIdentity | None, via: str) -> None:
    """Raise NotAllowed unless the person proves who they are in the way that their organisation demands."""
    place = single_sign_on.name_for_invited(row)
    if came is None:
        if place or password is None:
            raise NotAllowed(_("Your organisation has single sign-on. Sign in there to accept this invitation."))
        return
    is_exact = came.email_is_verified and came.email.strip().lower() == row.email
    if password is not None or not place or via != place:
        raise NotAllowed(_("Single sign-on is not set up."))
    open_connection(row.tenant_id, came)
    if not is_exact:
        words = _(
            "This invitation is for %(email)s, but you signed in at your organisation with another address. Sign in "
            "there with the invited address."
        )
        raise NotAllowed(words % {"email": row.email})
    if Identity.objects.filter(tenant=row.tenant_id, issuer=came.issuer, subject=came.subject).exists():
        raise NotAllowed(_("You already have an account here. Sign in with single sign-on instead."))


def _account(
    row: Invitation, *, name: str, password: str | None, came: AssertedIdentity | None, current: Step
) -> Person:
    """Return a new account for the address of the invitation, or the account that has this address but no role yet."""
    side = Person.Side.PROVIDER if row.tenant is None else Person.Side.CUSTOMER
    near = row.tenant.name if row.tenant is not None else ""
    there = Person.objects.get_queryset().select_for_update(no_key=True).filter(email=row.email).first()
    if there is not None:
        _require_free(row, there)
        return set_up_again(there, name=name, password=password, near=near, at=current.at)
    person = new_person(email=row.email, name=name, side=side, time_zone=row.zone, password=password, near=near)
    person.created_at = current.at
    person.email_verified_at = current.at if _is_proof(row) else None
    join_same_mailbox(current, person)
    person.save(force_insert=True)
    return person
