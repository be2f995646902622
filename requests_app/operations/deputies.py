"""Records when an approver is out of the office, and which deputy decides in their place during that time."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.utils.translation import gettext as _

from audit_app import canonical
from requests_app.domain import limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.deputies import (
    END_OUT_OF_OFFICE,
    OUT_OF_OFFICE_ENDED,
    OUT_OF_OFFICE_SET,
    SET_OUT_OF_OFFICE,
)
from requests_app.domain.errors import NotAllowed, Unacceptable, WrongState
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Membership, OutOfOffice, Person, Tenant
from requests_app.operations._change import Step
from requests_app.operations._people import key
from requests_app.operations._perform import perform

#: The roles of the people whom an approver may name: other approvers, and people who have the role for this purpose.
_DEPUTIES = (Membership.Role.APPROVER, Membership.Role.DEPUTY)


def set_out_of_office(
    tenant_id: object, *, deputy_id: object, from_at: datetime, until_at: datetime, actor: Actor
) -> OutOfOffice:
    """Name the deputy who decides in the actor's place from `from_at` up to, but not including, `until_at`.

    The actor must be an approver. During that time, the deputy has the role of an approver, and gets the mails about
    decisions. The role is computed when it is used, so it ends on time even if no worker runs.
    """
    row = OutOfOffice()

    def check(current: Step) -> None:
        tenant = current.row
        row.tenant, row.approver_id, row.set_at = tenant, current.actor.person, current.at
        row.deputy = _deputy(tenant, deputy_id, current)
        row.from_at, row.until_at = max(from_at, current.at), until_at
        _require_time(row, current)
        absences = tenant.absences.to_come_or_live(current.at).filter(approver=current.actor.person)
        if absences.filter(from_at__lt=row.until_at, until_at__gt=row.from_at).exists():
            raise WrongState(_("You already have an absence in this period. End that absence first."))

    with perform(SET_OUT_OF_OFFICE, tenant_id, actor=actor, may=_is_no_deputy, check=check) as current:
        row.save(force_insert=True)
        _witness(current, row, OUT_OF_OFFICE_SET)
    return row


def end_out_of_office(absence_id: object, *, actor: Actor) -> OutOfOffice:
    """End an absence early. The approver or the tenant's administrator can do this.

    From then on, the deputy can't decide for the approver any more.
    """

    def state(current: Step) -> None:
        if current.row.ended_at is not None or current.row.until_at <= current.at:
            raise WrongState(_("This absence has already ended."))

    with perform(END_OUT_OF_OFFICE, absence_id, actor=actor, state=state) as current:
        row: OutOfOffice = current.row
        row.ended_at = current.at
        row.save(update_fields=["ended_at"])
        _witness(current, row, OUT_OF_OFFICE_ENDED)
    return row


def _is_no_deputy(current: Step) -> None:
    if current.tenant_id in current.actor.stands_in_for:
        raise NotAllowed(_("A deputy can’t name another deputy."))


def _deputy(tenant: Tenant, deputy_id: object, current: Step) -> Person:
    people = Person.objects.active().humans().filter(memberships__tenant=tenant, memberships__role__in=_DEPUTIES)
    person = people.filter(pk=key(deputy_id)).exclude(human_id=current.actor.human).first()
    if person is None:
        words = _("Choose another approver, or somebody to whom your administrator gave the role “Deputy”.")
        raise Unacceptable(words, field="deputy")
    return person


def _require_time(row: OutOfOffice, current: Step) -> None:
    if row.until_at <= row.from_at:
        raise Unacceptable(_("Choose an end that is in the future, and after the beginning."), field="until_at")
    if row.until_at > current.at + limits.OUT_OF_OFFICE_MAX:
        days = limits.OUT_OF_OFFICE_MAX.days
        raise Unacceptable(_("Choose an end within %(days)d days.") % {"days": days}, field="until_at")


def _witness(current: Step, row: OutOfOffice, event: Event) -> None:
    detail = {"absence": str(row.pk), "approver": str(row.approver_id), "approver_name": row.approver.name}
    detail |= {"deputy": str(row.deputy_id), "deputy_name": row.deputy.name}
    detail |= {"from_at": canonical.instant(row.from_at), "until_at": canonical.instant(row.until_at)}
    current.witness(event, detail=detail, text=f"{row.approver.name} {row.deputy.name}")
    current.tell(
        Note(
            topic=Topic.OUT_OF_OFFICE,
            tenant_id=row.tenant_id,
            about=row.pk,
            audiences=(Audience.CUSTOMER, Audience.DEPUTY),
            mark=uuid4().hex,
            extra={"ended": "yes" if event is OUT_OF_OFFICE_ENDED else "", "by": current.actor.name},
        )
    )
