"""Lets people prove that a mailbox is theirs. Only opening a link that was sent to the mailbox proves it."""

from __future__ import annotations

from uuid import uuid4

from django.utils.translation import gettext as _

from requests_app.domain import clock, limits, link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.acts.own_account import (
    ASK_FOR_RESET,
    CONFIRM_ADDRESS,
    PERSON_ADDRESS_CHANGED,
    PERSON_ADDRESS_REQUESTED,
    REQUEST_ADDRESS,
)
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import AddressChange, Person
from requests_app.operations._change import Step, act
from requests_app.operations._humans import join_verified, others_of_mailbox
from requests_app.operations._invitations import address_of
from requests_app.operations._own import own_act


def ask_for_reset(*, email: str, actor: Actor) -> None:
    """Send a mail with a link to set a new password, if a person has this address.

    A worker looks up the address when it sends the mail. So for an unknown address, the answer and its duration are the
    same. No entry is written, because nothing changes, and because it is not known yet to which log the entry would
    belong.
    """
    with act(ASK_FOR_RESET, actor=actor) as current:
        email = address_of(email)
        current.at = clock.now()
        current.tell(
            Note(
                topic=Topic.PASSWORD_RESET,
                tenant_id=None,
                about=uuid4(),
                audiences=(Audience.ADDRESS,),
                extra={"email": email},
            )
        )


def request_address(*, email: str, actor: Actor) -> AddressChange:
    """Request a change of the address of the actor's own account.

    Nothing changes until the person opens a link that is sent to the new address. An earlier request for this account
    ends. Only the reader of the new address learns whether another account already has it.
    """

    def check(current: Step) -> None:
        if current.inputs["email"] == current.row.email:
            raise Unacceptable(_("This is your address already."), field="email")

    with own_act(
        REQUEST_ADDRESS, actor=actor, inputs={"email": email}, may=_may_change_address, check=check
    ) as account:
        person, at, email = account.person, account.act.at, account.act.inputs["email"]
        person.address_changes.open(at).update(ended_at=at)
        row = AddressChange(person=person, email_before=person.email, email=email, requested_at=at)
        row.secret_hash = link_secrets.hashed(link_secrets.of(row.pk, 1))
        row.expires_at = at + limits.ADDRESS_CHANGE_FOR
        row.save(force_insert=True)
        account.witness(PERSON_ADDRESS_REQUESTED, detail={"new_email": email})
        for topic, audience in (
            (Topic.ADDRESS_LINK, Audience.NEW_ADDRESS),
            (Topic.ADDRESS_CHANGED, Audience.FORMER_ADDRESS),
        ):
            account.tell_of(topic, row.pk, audience, how="requested")
    return row


def confirm_address(secret: str, *, actor: Actor) -> Person:
    """Change the address of the actor's own account, with the secret from the link in the mail to the new address.

    Only the person who requested the change can use the link. So if the new address was mistyped, its reader gets
    nothing. Raise the same NotFound for every invalid link.
    """
    known = AddressChange.objects.filter(secret_hash=link_secrets.hashed(secret), person=actor.person).first()
    if known is None:
        raise NotFound
    others = others_of_mailbox(known.email, but=known.person_id)
    row: AddressChange = AddressChange()

    def may(current: Step) -> None:
        nonlocal row
        row = AddressChange.objects.locked().get(pk=known.pk)
        if row.ended_at is not None or row.expires_at <= current.at or row.email_before != current.row.email:
            raise NotFound
        _may_change_address(current)

    def check(_current: Step) -> None:
        if Person.objects.get_queryset().filter(email=row.email).exists():
            raise Unacceptable(_("This address has an account already."), field="email")

    with own_act(CONFIRM_ADDRESS, actor=actor, humans=others, may=may, check=check) as account:
        person, at = account.person, account.act.at
        person.email, person.email_verified_at = row.email, at
        person.save(update_fields=["email", "email_verified_at"])
        row.ended_at = row.confirmed_at = at
        row.save(update_fields=["ended_at", "confirmed_at"])
        account.witness(PERSON_ADDRESS_CHANGED, detail={"email_before": row.email_before})
        account.tell_of(Topic.ADDRESS_CHANGED, row.pk, Audience.FORMER_ADDRESS, how="changed")
        join_verified(account.act, person)
    return person


def _may_change_address(current: Step) -> None:
    """Raise NotAllowed if a directory manages the address, or if the person signs in only with single sign-on."""
    if not current.row.may_change_address():
        raise NotAllowed(
            _(
                "Your organisation’s directory manages your address. Ask the administrator of the directory to change "
                "your address."
            )
        )
