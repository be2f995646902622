"""Adds and removes the passkeys with which people sign. The entries in the log prove which passkeys were valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

from django.conf import settings
from django.utils.translation import gettext as _

from audit_app import recorder
from audit_app.models import AuditEntry
from requests_app.domain import policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.own_account import ENROL_PASSKEY, PASSKEY_ENROLLED, PASSKEY_REMOVED, REMOVE_PASSKEY
from requests_app.domain.errors import LastPasskey, LastSecondFactor, NotAllowed, Unacceptable, WrongState
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Membership, Passkey, Person, Tenant
from requests_app.models.people import actor_of
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._keys import described, logs_of, logs_with
from requests_app.operations._perform import perform
from requests_app.platform import webauthn

#: The most passkeys of one person. With more, a person would lose track of them.
MOST = 10
#: A function that stores what the interface needs, in the same transaction. It may be None.
_Keep = Callable[[Passkey], object] | None


def enrol_passkey(
    *,
    actor: Actor,
    response: object,
    challenge: bytes,
    name: str,
    party: webauthn.Party | None = None,
    keep: _Keep = None,
) -> Passkey:
    """Add a passkey to the actor's own account. `response` is the device's answer to `challenge`.

    The passkey will sign approvals in this person's name, so this needs a fresh proof. The log of each of the person's
    tenants must get an entry with the public key; otherwise the passkey is not added. The person and the approvers of
    these tenants get a mail.
    """
    made: list[webauthn.Registered] = []

    def check(current: Step) -> None:
        new = webauthn.verify_registration(response, challenge=challenge, party=party or webauthn.own_party())
        if Passkey.objects.filter(credential_id=new.credential_id).exists():
            raise WrongState(_("This passkey was already added."))
        made.append(new)

    with perform(
        ENROL_PASSKEY,
        actor=actor,
        inputs={"name": name},
        find=_own_account,
        may=_is_active_human,
        state=_require_room,
        check=check,
    ) as current:
        person, [new] = current.row, made
        logs = logs_of(person)
        row = Passkey(
            person=person,
            tenant_id=logs[0] if logs[0] != PROVIDER_LOG else None,
            name=current.inputs["name"],
            credential_id=new.credential_id,
            public_key=new.public_key,
            algorithm=new.algorithm,
            rp_id=new.rp_id,
            origin=new.origin,
            aaguid=new.aaguid,
            is_backup_eligible=new.is_backup_eligible,
            is_backed_up=new.is_backed_up,
            sign_count=new.sign_count,
            created_at=current.at,
        )
        written = _witnessed(current, PASSKEY_ENROLLED, row, logs)
        row.enrolled = {str(entry.tenant_id): {"seq": entry.seq, "leaf": entry.leaf_hash.hex()} for entry in written}
        row.save(force_insert=True)
        if keep is not None:
            keep(row)
        _tell(current, row, logs, change="added")
    return row


def remove_passkey(passkey_id: object, *, actor: Actor, keep: _Keep = None) -> Passkey:
    """Remove one of the actor's passkeys permanently. It can't sign any more, but its earlier signatures stay valid.

    Raise LastSecondFactor or LastPasskey if the holder still needs this passkey. A person who has lost the device asks
    somebody else to remove all their second factors (reset_second_factors).
    """

    def state(current: Step) -> None:
        if not current.row.is_live:
            raise WrongState(_("This passkey was already removed."))
        _require_not_last(current.row)

    with perform(REMOVE_PASSKEY, passkey_id, actor=actor, state=state) as current:
        row: Passkey = current.row
        logs = logs_with(row)
        row.removed_at, row.removed_by_id = current.at, current.actor.person
        _witnessed(current, PASSKEY_REMOVED, row, logs)
        row.save(update_fields=["removed_at", "removed_by"])
        if keep is not None:
            keep(row)
        _tell(current, row, logs, change="removed")
    return row


def _own_account(current: Step, _row_id: object) -> Person:
    person = Person.objects.get_queryset().select_for_update(no_key=True).get(pk=current.actor.person)
    # In the recorder's order. The turns at the other logs are taken when their entries are written.
    current.concerns("person", person, logs_of(person)[0], holder=person.pk)
    return person


def _is_active_human(current: Step) -> None:
    if not current.row.is_active or current.row.kind != Person.Kind.HUMAN:
        raise NotAllowed


def _require_room(current: Step) -> None:
    if Passkey.objects.filter(person=current.row).live().count() >= MOST:
        raise Unacceptable(
            _("You can have at most %(max)d passkeys. Remove a passkey first.") % {"max": MOST}, field="name"
        )


def _require_not_last(row: Passkey) -> None:
    person = row.person
    others = Passkey.objects.filter(person=person).live().exclude(pk=row.pk)
    if (
        person.totp_set_up_at is None
        and policy.needs_second_factor(actor_of(person, door=""))
        and row.rp_id == settings.PASSKEY_RP_ID
        and not others.of_this_site().exists()
    ):
        raise LastSecondFactor
    for tenant in Tenant.objects.filter(memberships__person=person, memberships__role=Membership.Role.APPROVER):
        signing = Passkey.objects.filter(person=person).may_sign_for(tenant)
        if tenant.wants_signature and list(signing.values_list("pk", flat=True)) == [row.pk]:
            raise LastPasskey


def _witnessed(current: Step, event: Event, row: Passkey, logs: list[UUID]) -> list[AuditEntry]:
    """Write an entry in each log, with everything that is needed to verify a signature of this passkey."""
    current.subject_type, current.subject_id = "passkey", str(row.pk)
    entry = current.entry(event, detail=described(row), text=f"{row.person.name} {row.name}")
    return recorder.record([replace(entry, tenant_id=log) for log in logs], at=current.at)


def _tell(current: Step, row: Passkey, logs: list[UUID], *, change: str) -> None:
    mark = uuid4().hex
    for position, log in enumerate(logs):
        holder = (Audience.ACCOUNT_HOLDER,) if position == 0 else ()
        approvers = (Audience.CUSTOMER,) if log != PROVIDER_LOG else ()
        current.tell(
            Note(
                topic=Topic.PASSKEYS_CHANGED,
                tenant_id=log if log != PROVIDER_LOG else None,
                about=row.person_id,
                audiences=(*holder, *approvers),
                mark=f"{mark}-{position}" if position else mark,
                extra={"change": change, "passkey": row.name, "by": current.actor.name},
            )
        )
