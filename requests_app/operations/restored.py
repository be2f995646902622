"""What a restored installation may do: closes everything after a restore, and lets people confirm what came back.

A backup knows nothing of what was changed after it: a window that was closed, a role that was taken away, Lockbox that
was switched on. So after a restore nothing is open, and no window opens before people have confirmed the rest.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils.translation import gettext as _

from audit_app import canonical, restored_database
from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.restored import (
    CONFIRM_RESTORED,
    CONFIRM_RESTORED_PEOPLE,
    INSTALLATION_RESTORED,
    RESTORED,
    RESTORED_CONFIRMED,
    RESTORED_PEOPLE_CONFIRMED,
)
from requests_app.domain.errors import FactsChanged, NotAllowed, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import (
    AccessRequest,
    Membership,
    Person,
    Restoration,
    RestoredConfirmation,
    RestoredTenant,
    Tenant,
)
from requests_app.operations import _restored_ends as ends
from requests_app.operations._announced import require_established
from requests_app.operations._change import Step, act
from requests_app.operations._ending import end_access
from requests_app.operations._perform import perform
from requests_app.queries import restored as queries
from requests_app.words import sentences


def restored(*, backup_id: UUID, taken_at: datetime, at: datetime) -> Restoration:
    """Close and withdraw everything that a restored database says is open, and make people confirm the rest.

    The program that restores calls this before anything else can use the database, in its own transaction if it has
    one. A second call for the same backup changes nothing.
    """
    if taken_at > at + limits.CLOCKS_DIFFER:
        raise Unacceptable(_("The backup is from the future. Check the clock of this machine."), field="taken_at")
    operator = replace(Actor.system("restore"), door="command")
    with act(RESTORED, actor=operator, is_inside=connection.in_atomic_block) as current:
        found = Restoration.objects.filter(pk=backup_id).first()
        if found is not None:
            return found
        restored_at = max(at, taken_at)
        if (last := queries.newest()) is not None:
            restored_at = max(restored_at, last.restored_at + timedelta(microseconds=1))
        row = Restoration(pk=backup_id, taken_at=taken_at, restored_at=restored_at)
        row.people_needed = queries.people_needed(None)
        row.save(force_insert=True)
        # First, so that the messages about what ends now are not among those that are not sent again.
        ends.end_everything(at)
        current.concerns("installation", row, PROVIDER_LOG)
        ends.end_token_keys(current)
        _witness(current, INSTALLATION_RESTORED, row)
        _tell(current, Topic.RESTORED, row, None)
        for tenant in list(Tenant.objects.order_by("pk")):
            _close(current, row, tenant)
    return row


def restored_by_hand(*, taken_at: datetime, is_certain: bool = False) -> Restoration:
    """Do what a restore from a backup does, for a database that was set back without the program.

    `taken_at` is when the copy was made, as the operator says. If no head shows that the database was set back, the
    operator must be certain: the heads may have been set back, too. A second call with the same time changes nothing.
    """
    last = queries.newest()
    if not queries.is_set_back():
        if last is not None and last.taken_at == taken_at:
            return last
        if not is_certain:
            raise WrongState(_("No signed head shows that the database was set back. If you are certain, say so."))
    elif last is not None and taken_at > last.restored_at:
        raise Unacceptable(_("The copy can’t be newer than the restore."), field="taken_at")
    with transaction.atomic():
        row = restored(backup_id=uuid4(), taken_at=taken_at, at=clock.now())
        if (before := restored_database.copied_before()) is not None:
            # People used the older database before a process noticed it. Nobody counts who got a role from then on.
            # A date has no parts of a second.
            before += timedelta(seconds=1)
            Restoration.objects.filter(pk=Restoration.SET_BACK, restored_at__gt=before).update(restored_at=before)
    return row


def confirm_restored(tenant_id: object, *, shown: str, actor: Actor) -> RestoredTenant:
    """Confirm Lockbox, people, roles, mutes and the rest of a tenant, as they were restored.

    `shown` is the hash of what the person has read. If anything has changed since, the person must read it again. Two
    humans must confirm the same, if the tenant's people in the backup had two who could, and one of them must be an
    administrator. Without this, an administrator who was removed after the backup could confirm alone.
    """
    waiting: list[RestoredTenant] = []

    def state(current: Step) -> None:
        row = queries.open_at(current.row.pk)
        if row is None:
            raise WrongState(_("Nothing that was restored waits for a confirmation."))
        _require_declared()
        waiting.append(row)
        _require_known(current, row)

    def check(current: Step) -> None:
        _require_shown(queries.facts_of_tenant(current.row, current.at), current.inputs["shown"])

    inputs = {"shown": shown}
    with perform(CONFIRM_RESTORED, tenant_id, actor=actor, inputs=inputs, state=state, check=check) as current:
        [row] = waiting
        tenant: Tenant = current.row
        counted = _confirm(current, row.of, tenant.pk, queries.facts_of_tenant(tenant, current.at))
        humans = queries.humans_of(tenant.pk)
        needed = queries.still_needed(row.people_needed, humans, row.of.restored_at, current.at)
        is_complete = len(counted) >= needed and any(each.is_administrator for each in counted)
        if is_complete:
            row.confirmed_at = current.at
            # An earlier restoration that nobody has confirmed is confirmed with it: this is what there is now.
            RestoredTenant.objects.filter(tenant=tenant, confirmed_at=None).update(confirmed_at=current.at)
        facts = {"lockbox_on": tenant.lockbox_on, "confirmations": len(counted), "needed": needed}
        _witness(current, RESTORED_CONFIRMED, row.of, **facts, digest=shown, complete=is_complete)
        _tell(current, Topic.RESTORED_CONFIRMED, row.of, tenant.pk, complete=is_complete)
    return row


def confirm_restored_people(*, shown: str, actor: Actor) -> Restoration:
    """Confirm the provider's people as they were restored. Two of the staff must, if the restored staff had two."""

    def state(current: Step) -> None:
        if current.row is None:
            raise WrongState(_("Nothing that was restored waits for a confirmation."))
        _require_declared()
        _require_known_staff(current, current.row)

    def check(current: Step) -> None:
        _require_shown(queries.facts_of_provider(), current.inputs["shown"])

    inputs = {"shown": shown}
    with perform(
        CONFIRM_RESTORED_PEOPLE, actor=actor, inputs=inputs, find=_open_restoration, state=state, check=check
    ) as current:
        row: Restoration = current.row
        counted = _confirm(current, row, None, queries.facts_of_provider())
        humans = queries.recent_staff_humans(current.at)
        needed = queries.still_needed(row.people_needed, humans, row.restored_at, current.at)
        is_complete = len(counted) >= needed
        if is_complete:
            row.confirmed_at = current.at
            Restoration.objects.filter(confirmed_at=None).update(confirmed_at=current.at)
        facts = {"confirmations": len(counted), "needed": needed, "digest": shown, "complete": is_complete}
        _witness(current, RESTORED_PEOPLE_CONFIRMED, row, **facts)
        _tell(current, Topic.RESTORED_CONFIRMED, row, None, complete=is_complete)
    return row


def _open_restoration(current: Step, _row_id: object) -> Restoration | None:
    row = queries.open_at_provider()
    current.concerns("installation", row or Restoration(pk=PROVIDER_LOG), PROVIDER_LOG)
    # Read again under the turn at the log, so that two people who confirm at the same time both count.
    return queries.open_at_provider()


def _close(current: Step, row: Restoration, tenant: Tenant) -> None:
    """End all access at a tenant, with an entry for each window, and write the tenant's own entry."""
    RestoredTenant.objects.create(of=row, tenant=tenant, people_needed=queries.people_needed(tenant.pk))
    current.concerns("tenant", tenant, tenant.pk)
    _witness(current, INSTALLATION_RESTORED, row, lockbox_on=tenant.lockbox_on)
    _tell(current, Topic.RESTORED, row, tenant.pk)
    end_access(current, AccessRequest.objects.filter(tenant=tenant), cause="restored", also_over=True)


def _confirm(current: Step, of: Restoration, tenant_id: UUID | None, facts: dict[str, Any]) -> list[Any]:
    """Store this human's confirmation. Return all confirmations that count for the same facts."""
    actor, digest = current.actor, queries.digest(facts)
    if any(each.human_id == actor.human for each in queries.confirmations(of, tenant_id, digest)):
        raise WrongState(_("You have confirmed this already. Another person must confirm it, too."))
    is_administrator = {"tenant": tenant_id, "person": actor.person, "role": Membership.Role.ADMINISTRATOR}
    RestoredConfirmation.objects.create(
        of=of,
        tenant_id=tenant_id,
        person_id=actor.person,
        human_id=actor.human,
        name=actor.name,
        is_administrator=tenant_id is not None and Membership.objects.filter(**is_administrator).exists(),
        digest=digest,
        confirmed=facts,
        at=current.at,
    )
    return queries.confirmations(of, tenant_id, digest)


def _require_declared() -> None:
    """Raise WrongState if the database was set back, and no operator has said when the copy was made."""
    if queries.is_set_back():
        raise WrongState(sentences.set_back())


def _require_known(current: Step, row: RestoredTenant) -> None:
    """Raise NotAllowed for somebody who got their role after the restore, and for an approver's deputy.

    Otherwise, one person could invite a second one and confirm with both. Nobody counts either who came between this
    restore and an earlier one that is not confirmed.
    """
    tenant_id, since = row.tenant_id, row.of.restored_at
    may = queries.humans_of(tenant_id)
    if current.at < since + limits.staff_change_wait():
        # Also if nobody had a role in the backup: it may have been made before the customer's people came.
        may = queries.humans_of(tenant_id, before=_first(tenant_id, since))
    if current.actor.human not in may:
        raise NotAllowed(_late(since))


def _require_known_staff(current: Step, row: Restoration) -> None:
    """Raise NotAllowed for a newcomer on the staff, also for one who came shortly before the backup."""
    may = queries.staff_humans()
    if row.people_needed and current.at < row.restored_at + limits.staff_change_wait():
        may = queries.staff_humans(before=_first(None, row.restored_at))
    if current.actor.human not in may:
        raise NotAllowed(_late(row.restored_at))
    if row.people_needed:
        require_established(Person.objects.get(pk=current.actor.person), current.at)


def _first(tenant_id: UUID | None, since: datetime) -> datetime:
    """Return when the earliest restore was that is not confirmed."""
    found = queries.unconfirmed(tenant_id)
    return found.restored_at if found is not None else since


def _late(since: datetime) -> str:
    words = _("Until %(when)s, only people who had their role before the restore can confirm what was restored.")
    until = since + limits.staff_change_wait()
    return words % {"when": f"{until:%Y-%m-%d %H:%M} UTC"}


def _require_shown(facts: dict[str, Any], shown: str) -> None:
    if queries.digest(facts) != shown:
        raise FactsChanged(_("Something has changed since you opened the page. Read everything again."))


def _witness(current: Step, event: str, row: Restoration, **more: Any) -> None:
    times = {"taken_at": canonical.instant(row.taken_at), "restored_at": canonical.instant(row.restored_at)}
    current.witness(event, detail={"backup": str(row.pk), **times, **more}, text=str(row.pk))


def _tell(current: Step, topic: Topic, row: Restoration, tenant_id: UUID | None, *, complete: bool = False) -> None:
    """Tell a tenant's approvers and administrators, or the provider's staff without a tenant."""
    audiences = (Audience.CUSTOMER, Audience.ADMINISTRATORS) if tenant_id else (Audience.ADMINISTRATORS,)
    # Of several restorations that wait, the earliest backup says what is lost.
    found = queries.unconfirmed(tenant_id)
    taken_at = min(row.taken_at, found.taken_at) if found is not None else row.taken_at
    mark = row.pk.hex if topic is Topic.RESTORED else f"{row.pk.hex} {current.at:%Y%m%dT%H%M%S%f}"
    current.tell(
        Note(
            topic=topic,
            tenant_id=tenant_id,
            about=tenant_id or row.pk,
            audiences=audiences,
            mark=mark,
            extra={
                "taken_at": canonical.instant(taken_at),
                "restored_at": canonical.instant(row.restored_at),
                "by": current.actor.name,
                "complete": "yes" if complete else "",
            },
        )
    )
