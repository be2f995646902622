"""Lets a customer who has lost all administrators and approvers recover, with a key that is stored offline."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from uuid import uuid4

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain import recovery
from requests_app.domain.actors import Actor
from requests_app.domain.acts.invitations import (
    MAKE_RECOVERY_KEY,
    RECOVERY_KEY_MADE,
    RECOVERY_KEY_REFUSED,
    RECOVERY_KEY_USED,
    TRY_RECOVERY_KEY,
    USE_RECOVERY_KEY,
)
from requests_app.domain.errors import NotFound, TooMany, Unacceptable
from requests_app.domain.events import PROVIDER_LOG
from requests_app.identity import guesses
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Invitation, Membership, Person, RecoveryKey, Tenant
from requests_app.operations._change import Step, act
from requests_app.operations._invitations import address_of, invitation_detail, send
from requests_app.operations._perform import perform


@dataclass(frozen=True)
class MadeKey:
    """The row of a new recovery key, with the key itself. The key can't be read again later."""

    row: RecoveryKey
    key: str


def make_recovery_key(tenant_id: object, *, actor: Actor) -> MadeKey:
    """Make a recovery key for the tenant. The former key stops working.

    Only an administrator of the tenant can do this, and nobody else sees the key.
    """
    with perform(MAKE_RECOVERY_KEY, tenant_id, actor=actor) as current:
        tenant = current.row
        tenant.recovery_keys.live().update(ended_at=current.at)
        key = recovery.make()
        row = RecoveryKey(tenant=tenant, secret_hash=recovery.hashed(key), made_by_id=current.actor.person)
        row.made_at, row.ending_hash = current.at, recovery.ending_hashed(row.pk, recovery.ending_of(key))
        row.save(force_insert=True)
        current.witness(RECOVERY_KEY_MADE, detail={"key": str(row.pk)})
        _tell(current, tenant, row, what="made")
    return MadeKey(row, key)


def use_recovery_key(key: str, *, email: str, actor: Actor) -> Invitation:
    """Invite a new administrator at the address `email`, with the tenant's recovery key. The key works only once.

    The invitation is mailed immediately, but its link works only after the recovery delay. All people of the tenant get
    a mail immediately. An administrator or approver who is still there can stop the recovery. Raise the same NotFound
    for every invalid key.
    """
    tenant_id = _tenant_of(key, actor=actor)
    with act(USE_RECOVERY_KEY, actor=actor) as current:
        tenant = Tenant.objects.locked().get(pk=tenant_id)
        row = RecoveryKey.objects.live().locked().filter(tenant=tenant, secret_hash=recovery.hashed(key)).first()
        if row is None:
            raise NotFound
        current.concerns("tenant", tenant, tenant.pk)
        email = address_of(email)
        if Person.objects.get_queryset().filter(email=email, memberships__tenant=tenant).exists():
            words = _("This address belongs to a person of the tenant. Enter an address that has no account yet.")
            raise Unacceptable(words, field="email")
        row.used_at = row.ended_at = current.at
        row.save(update_fields=["used_at", "ended_at"])
        opens_at = current.at + dt.timedelta(seconds=settings.RECOVERY_DELAY_SECONDS)
        invitation = Invitation(tenant=tenant, email=email, role=Membership.Role.ADMINISTRATOR, created_at=current.at)
        invitation.valid_from = opens_at
        send(current, invitation)
        current.witness(RECOVERY_KEY_USED, detail={**invitation_detail(invitation), "key": str(row.pk)}, text=email)
        _tell(current, tenant, row, what="used", email=email, invitation=str(invitation.pk))
    return invitation


def _tenant_of(key: str, *, actor: Actor) -> object:
    """Return the id of the tenant to which the key belongs. Record a wrong key.

    After too many wrong keys, raise TooMany. Then the key is not checked and nothing is recorded.
    """
    attempt = guesses.at_recovery(actor.ip)
    if not attempt.count():
        guesses.security_log.warning("recovery_key.too_many", ip=actor.ip)
        raise TooMany(_("Too many wrong recovery keys were entered. Try again in 15 minutes."))
    with act(TRY_RECOVERY_KEY, actor=actor) as current:
        row = RecoveryKey.objects.live().filter(secret_hash=recovery.hashed(key)).first()
        if row is None:
            current.tenant_id, current.subject_type, current.subject_id = PROVIDER_LOG, "address", actor.ip
            current.take_turn(PROVIDER_LOG)
            current.witness(RECOVERY_KEY_REFUSED)
    if row is None:
        raise NotFound
    attempt.give_back()
    return row.tenant_id


def _tell(current: Step, tenant: Tenant, row: RecoveryKey, *, what: str, **extra: str) -> None:
    """Send a mail to all people of the tenant, because any of them may be the only one who can stop the recovery."""
    current.tell(
        Note(
            topic=Topic.RECOVERY_KEY,
            tenant_id=tenant.pk,
            about=row.pk,
            audiences=(Audience.TENANT,),
            mark=uuid4().hex,
            extra={"what": what, "by": current.actor.name, **extra},
        )
    )
