"""Mutes, with which a tenant stops an engineer who asks too often.

A mute denies the engineer's access requests that wait for the customer, and refuses new ones for some
hours.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit_app import canonical
from requests_app.domain import limits, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import DENY_AS_CUSTOMER
from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.mutes import DENY_ALL_AND_MUTE, LIFT_MUTE, MUTE_LIFTED, MUTE_SET
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.domain.ids import as_id
from requests_app.domain.lifecycle import TRANSITIONS
from requests_app.domain.states import PENDING, State
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import AccessRequest, Decision, Mute, Person, Tenant
from requests_app.operations._change import Step, apply, begin
from requests_app.operations._deciding import decide
from requests_app.operations._ending import about
from requests_app.operations._perform import perform

_DENY = TRANSITIONS[DENY_AS_CUSTOMER.name]


def deny_all_and_mute(tenant_id: object, *, engineer_id: object, hours: int, note: str = "", actor: Actor) -> Mute:
    """Deny an engineer's access requests that wait for the customer, and mute the engineer.

    Without an `engineer_id`, do this for all engineers. Each access request is denied with a decision of its own.
    Access requests on which this human may not decide are left for a colleague. Until the mute ends, new access
    requests to the tenant are refused, and those that wait for the provider can't be passed on to the customer. An
    earlier mute of the same human ends now. If it would have lasted longer than the new mute, this shortens it, and so
    needs the same proof as `lift_mute`.
    """
    row, locked = Mute(), set[UUID]()

    def find(current: Step, row_id: object) -> Tenant:
        seen = Tenant.objects.visible_to(current.actor).find(row_id)
        # Locked in the same order as in each decision: access requests, tenant, log. Access requests that wait at the
        # provider are locked too: one that is being passed on is either denied here, or its act finds the mute. So are
        # those of all engineers, because their humans may still change.
        locked.update(_pending(seen).locked().values_list("pk", flat=True))
        tenant: Tenant = Tenant.objects.locked().get(pk=seen.pk)
        current.concerns("tenant", tenant, tenant.pk)
        return tenant

    def check(current: Step) -> None:
        row.tenant, row.set_at, row.set_by_id = current.row, current.at, current.actor.decider
        row.engineer, row.note = _engineer(current.row, engineer_id), current.note
        row.until_at = current.at + _length(hours)
        current.require_proof(needed=_same(row).filter(until_at__gt=row.until_at).exists())

    with perform(DENY_ALL_AND_MUTE, tenant_id, actor=actor, note=note, find=find, check=check) as current:
        engineer, same = row.engineer, _same(row)
        waiting = (
            _pending(current.row)
            .filter(state=State.PENDING_CUSTOMER)
            .select_related("tenant", "service", "requested_by")
        )
        if engineer is not None:
            waiting = waiting.filter(requester_human=engineer.human_id)
        denied, left = _deny(current, waiting, locked, row)
        row.denied = len(denied)
        replaced = _end(current, same)
        row.save(force_insert=True)
        detail = {"n": row.denied, "denied": denied, "left": left, "replaces": replaced, "comment": row.note}
        _witness(current, row, MUTE_SET, detail)
    return row


def lift_mute(mute_id: object, *, actor: Actor) -> Mute:
    """End a mute early, so that access requests are accepted again. Other mutes of the same human stay."""

    def state(current: Step) -> None:
        if current.row.lifted_at is not None or current.row.until_at <= current.at:
            raise WrongState(_("This mute has already ended."))

    with perform(LIFT_MUTE, mute_id, actor=actor, state=state) as current:
        row: Mute = current.row
        _end(current, Mute.objects.filter(pk=row.pk))
        row.lifted_at = current.at
        _witness(current, row, MUTE_LIFTED, {})
    return row


def _pending(tenant: Tenant) -> Any:
    return AccessRequest.objects.filter(tenant=tenant, state__in=PENDING).order_by("pk")


def _same(row: Mute) -> QuerySet[Mute]:
    """Return the current mutes of the same human. They end when the mute `row` begins."""
    return Mute.objects.filter(tenant=row.tenant).live(row.set_at).of_same(row.engineer)


def _engineer(tenant: Tenant, engineer_id: object) -> Person | None:
    """Return an engineer who has asked this tenant for access before. Raise Unacceptable for everybody else.

    So a customer can't find out who else works for the provider.
    """
    if engineer_id is None:
        return None
    asked = AccessRequest.objects.filter(tenant=tenant).values("requested_by")
    pk = as_id(engineer_id)
    person = Person.objects.get_queryset().filter(pk=pk, pk__in=asked).first() if pk else None
    if person is None:
        raise Unacceptable(
            _("Choose everybody, or choose an engineer who has asked your tenant for access before."), field="engineer"
        )
    return person


def _length(hours: int) -> timedelta:
    if isinstance(hours, bool) or hours not in limits.MUTE_HOURS:
        allowed = ", ".join(str(choice) for choice in limits.MUTE_HOURS)
        raise Unacceptable(_("Choose one of these lengths: %(allowed)s hours.") % {"allowed": allowed}, field="hours")
    return timedelta(hours=hours)


def _deny(current: Step, rows: QuerySet[AccessRequest], locked: set[UUID], mute: Mute) -> tuple[list[str], list[str]]:
    """Deny each access request with a decision of its own. Leave out those that are past their deadline.

    Return the references of those that were denied, and of those on which this human may not decide.
    """
    denied, left = [], []
    for row in rows:
        if row.state_at(current.at) is not State.PENDING_CUSTOMER:
            continue
        if row.pk not in locked:
            # It was submitted and passed on while this act waited for its turn. To lock it now would break the order of
            # locks.
            raise WrongState(_("Another access request arrived at this moment. Try again."))
        if not policy.may(current.actor, _DENY, row, decided_by=row.deciders):
            left.append(row.reference)
            continue
        step = begin(current.actor, row, None, DENY_AS_CUSTOMER, current.at)
        step.note, step.detail = mute.note, {"mute": str(mute.pk)}
        decide(step, Decision.Stage.CUSTOMER, Decision.Verdict.DENY)
        # The customer's people get one mail about all of them.
        step.tell(about(row, Topic.ACCESS_REQUEST_ENDED, Audience.ENGINEER, Audience.PROVIDER_APPROVERS))
        apply(step)
        current.notes.extend(step.notes)
        denied.append(row.reference)
    return denied, left


def _end(current: Step, which: QuerySet[Mute]) -> list[str]:
    ended = [str(pk) for pk in which.values_list("pk", flat=True)]
    Mute.objects.filter(pk__in=ended).update(lifted_at=current.at)
    return ended


def _witness(current: Step, row: Mute, event: Event, detail: dict[str, Any]) -> None:
    engineer = row.engineer
    who = {"engineer": str(engineer.pk) if engineer else None, "engineer_name": engineer.name if engineer else ""}
    until = {"until_at": canonical.instant(row.until_at)}
    current.witness(event, detail={"mute": str(row.pk), **who, **until, **detail}, text=who["engineer_name"] or "")
    current.tell(
        Note(
            topic=Topic.MUTE,
            tenant_id=row.tenant_id,
            about=row.pk,
            audiences=(Audience.CUSTOMER,),
            mark=uuid4().hex,
            extra={"lifted": "yes" if event is MUTE_LIFTED else "", "by": current.actor.name},
        )
    )
