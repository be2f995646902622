"""Removes all second factors of a person who has lost them. The person sets up new ones at the next sign-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.domain import policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Party
from requests_app.domain.acts.members import PERSON_SECOND_FACTORS_RESET, RESET_SECOND_FACTORS
from requests_app.domain.acts.own_account import PASSKEY_REMOVED
from requests_app.domain.errors import NotAllowed, NotFound, WrongState
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Passkey, Person, StaffTerm, Tenant, Token
from requests_app.operations._change import PROVIDER_LOG, Step
from requests_app.operations._keys import described as key_described
from requests_app.operations._keys import logs_of, logs_with
from requests_app.operations._people import DECIDING, described, key
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled
from requests_app.operations._subjects import log_for

_Keep = Callable[[Any], object] | None


def reset_second_factors(person_id: object, *, actor: Actor, keep: _Keep = None) -> Person:
    """Remove a person's authenticator app, passkeys and recovery codes, and end the person's sessions.

    This is for a person who has lost their second factors. A tenant's administrator does it for the tenant's people,
    and a superuser among the staff does it for the provider's people. Staff can't do it for a customer's people,
    because they could then sign in as one of them. Nobody can do it for themselves.
    """

    def state(current: Step) -> None:
        _require_any(current.row, _keys(current.row))

    def holds(current: Step) -> dict[str, Any] | None:
        person, tenant = current.row, current.tenant
        if tenant is None or not person.memberships.filter(tenant=tenant, role__in=DECIDING).exists():
            return None
        return {"person": str(person.pk), "name": person.name}

    with perform(
        RESET_SECOND_FACTORS, person_id, actor=actor, find=_found, may=_may_reset, state=state, holds=holds
    ) as current:
        current.keep = keep
        person: Person = current.row
        _reset(current, person, _keys(person))
    return person


def _lock_person(terms: dict[str, Any]) -> None:
    """Lock the person, as `_found` does. This comes before the lock on the tenant."""
    list(Person.objects.get_queryset().select_for_update(no_key=True).filter(pk=key(terms["person"])))


@controlled(RESET_SECOND_FACTORS, lock=_lock_person)
def _reset_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    people = Person.objects.get_queryset().humans()
    person = people.filter(pk=key(terms["person"]), memberships__tenant=tenant).first()
    if person is None:
        raise NotFound
    if person.human_id == current.actor.human_id:
        raise NotAllowed(_("You can’t reset your own second factors. Somebody else has to do this for you."))
    keys = _keys(person)
    _require_any(person, keys)
    _reset(current, person, keys)


def _found(current: Step, person_id: object) -> Person:
    """Lock the person and return them, if the actor is staff or belongs to one of the person's tenants.

    After the person, lock the tenant in which the actor is judged, and then all logs with entries about the
    person. Read the passkeys without a lock. A decision locks its log first, and then the passkey that signed
    it. If this act locked a passkey before the logs, the two acts would wait for each other. An act that adds
    or removes a passkey must also lock the person, so the passkeys do not change meanwhile.
    """
    actor = current.actor
    people = Person.objects.get_queryset().humans().select_for_update(no_key=True)
    person = people.filter(pk=key(person_id)).first()
    if person is None or not (actor.is_staff or actor.tenant_ids):
        raise NotFound
    log = log_for(current, person)
    if not actor.is_staff and log not in actor.tenant_ids:
        raise NotFound
    tenant = Tenant.objects.locked().get(pk=log) if log != PROVIDER_LOG else None
    first, *others = _logs(person, _keys(person))
    current.concerns("person", person, first)
    for other in others:
        recorder.lock(other, is_holding=True)
    # A refusal is an entry in this tenant's log, even if the turn at another log was taken first.
    current.tenant, current.tenant_id = tenant, log
    of_account = {Party.SUBJECT: frozenset({person.human_id})}
    current.subject = policy.Subject(log_id=log, parties=of_account)
    return person


def _may_reset(current: Step) -> None:
    actor = current.actor
    if current.row.side == Person.Side.CUSTOMER:
        if actor.is_staff:
            raise NotAllowed(_("Only the customer's own administrator can do this."))
        return
    if not Person.objects.active().filter(pk=actor.person, is_superuser=True).exists():
        raise NotAllowed(_("Only a superuser among the staff can do this."))


def _require_any(person: Person, keys: list[Passkey]) -> None:
    if person.totp_set_up_at is None and not keys:
        raise WrongState(_("%(name)s has no second factor.") % {"name": person.name})


def _reset(current: Step, person: Person, keys: list[Passkey]) -> None:
    had_app = person.totp_set_up_at is not None
    person.totp_set_up_at = None
    # The person who found the lost device may be signed in on it.
    person.session_epoch += 1
    person.save(update_fields=["totp_set_up_at", "session_epoch"])
    if person.is_staff and person.is_active:
        # Another person may use the account now, so it counts as new among the staff.
        StaffTerm.begin(person, at=current.at)
    live = Token.objects.filter(account=person).personal().live(current.at)
    live.update(revoked_at=current.at, revoked_by=current.actor.person)
    for row in keys:
        row.removed_at, row.removed_by_id = current.at, current.actor.person
        row.save(update_fields=["removed_at", "removed_by"])
    _witness(current, person, keys, had_app=had_app)
    if current.keep is None:
        raise RuntimeError("An interface that resets second factors must name what else has to be deleted.")
    current.keep(person)
    _tell(current, person)


def _witness(current: Step, person: Person, keys: list[Passkey], *, had_app: bool) -> None:
    """Write the entry about the reset.

    For each removed passkey, also write an entry in every log that has an entry about this passkey.
    """
    detail = {**described(person), "app": had_app, "passkeys": [row.name for row in keys]}
    entry = current.entry(PERSON_SECOND_FACTORS_RESET, detail=detail, text=person.name)
    entry = replace(entry, subject_type="person", subject_id=str(person.pk))
    entries = [replace(entry, tenant_id=log) for log in logs_of(person)]
    for row in keys:
        text = f"{person.name} {row.name}"
        entry = current.entry(PASSKEY_REMOVED, detail=key_described(row), text=text)
        entry = replace(entry, subject_type="passkey", subject_id=str(row.pk))
        entries += [replace(entry, tenant_id=log) for log in logs_with(row)]
    recorder.record(entries, at=current.at)


def _tell(current: Step, person: Person) -> None:
    mark = uuid4().hex
    for position, log in enumerate(logs_of(person)):
        holder = (Audience.ACCOUNT_HOLDER,) if position == 0 else ()
        approvers = (Audience.CUSTOMER,) if log != PROVIDER_LOG else ()
        current.tell(
            Note(
                topic=Topic.SECOND_FACTOR_CHANGED,
                tenant_id=log if log != PROVIDER_LOG else None,
                about=person.pk,
                audiences=(*holder, *approvers),
                mark=f"{mark}-{position}" if position else mark,
                extra={"how": "reset", "by": current.actor.name},
            )
        )


def _keys(person: Person) -> list[Passkey]:
    return list(Passkey.objects.filter(person=person).live().select_related("person").order_by("pk"))


def _logs(person: Person, keys: list[Passkey]) -> list[UUID]:
    return sorted({*logs_of(person), *(log for row in keys for log in logs_with(row))})
