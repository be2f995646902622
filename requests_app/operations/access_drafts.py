"""Operations on drafts: a client drafts an access request for an engineer, and the engineer or the client discards it.

The engineer confirms a draft by submitting it (`access_requests.submit`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog
from django.utils.translation import gettext as _

from audit_app import canonical
from requests_app.domain import clock, limits
from requests_app.domain.access_tasks import DRAFT_LIVES_FOR, Callback, Denial, InvalidDenialBinding
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_drafts import (
    ACCESS_DRAFT_DISCARDED,
    ACCESS_DRAFT_EXPIRED,
    ACCESS_DRAFTED,
    DISCARD_DRAFT,
    DRAFT_ACCESS,
    EXPIRE_DRAFT,
)
from requests_app.domain.errors import DomainError, FactsChanged, NotAllowed, TooMany, WrongState
from requests_app.messages.topics import note_of
from requests_app.models import AccessDraft, AccessTask, Resource, Ticket
from requests_app.operations._callbacks import callback_columns
from requests_app.operations._change import Step
from requests_app.operations._elsewhere import source_url
from requests_app.operations._perform import perform

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a client wants to ask for in the name of the engineer who acts."""

    ticket_id: Any
    resource_id: Any
    level: str
    window_for: int
    tried: str
    justification: str
    denial: Denial
    until_at: dt.datetime | None = None
    is_emergency: bool = False
    callback: Callback | None = None
    source_url: str = ""


def draft_access(draft: Draft, *, actor: Actor) -> AccessDraft:
    """Make a draft, and inform the engineer. Nobody else is asked before the engineer confirms it."""

    def find(current: Step, ticket_id: object) -> AccessDraft:
        ticket = Ticket.objects.visible_to(current.actor).select_related("tenant", "service").locked().find(ticket_id)
        resource = Resource.objects.visible_to(current.actor).filter(tenant=ticket.tenant, service=ticket.service)
        row = AccessDraft(tenant=ticket.tenant, service=ticket.service, ticket=ticket, engineer_id=current.actor.person)
        row.resource = resource.find(draft.resource_id)
        current.concerns("ticket", ticket, ticket.tenant_id, service_id=ticket.service_id)
        return row

    with perform(
        DRAFT_ACCESS, draft.ticket_id, actor=actor, find=find, check=lambda step: _fill(step, draft)
    ) as current:
        row: AccessDraft = current.row
        row.save(force_insert=True)
        current.witness(ACCESS_DRAFTED, detail=_described(row), text=row.resource.name)
        current.tell(note_of(DRAFT_ACCESS.tells[0], row, mark=uuid4().hex))
    return row


def discard_draft(draft_id: object, *, actor: Actor, note: str = "") -> AccessDraft:
    """Discard a draft that nobody has confirmed."""

    def state(current: Step) -> None:
        if current.row.ended_at is not None or current.at >= current.row.expires_at:
            raise WrongState(_("This draft has ended."))

    with perform(DISCARD_DRAFT, draft_id, actor=actor, note=note, state=state) as current:
        row: AccessDraft = current.row
        row.ended_at = current.at
        row.save(update_fields=["ended_at"])
        current.witness(ACCESS_DRAFT_DISCARDED, detail=_described(row), text=row.resource.name)
    return row


def expire_draft(draft_id: object, *, actor: Actor) -> AccessDraft:
    """Write that a draft has ended because nobody confirmed it in time. It ended at that instant, without this act."""

    def state(current: Step) -> None:
        if current.row.ended_at is not None or current.at < current.row.expires_at:
            raise WrongState(_("This draft has ended, or has time left."))

    with perform(EXPIRE_DRAFT, draft_id, actor=actor, state=state) as current:
        row: AccessDraft = current.row
        row.ended_at = current.at
        row.save(update_fields=["ended_at"])
        current.witness(ACCESS_DRAFT_EXPIRED, detail=_described(row), text=row.resource.name)
    return row


def expire_drafts(*, actor: Actor, limit: int) -> int:
    """Expire at most `limit` drafts that nobody confirmed in time. Return how many were expired."""
    done = 0
    rows = AccessDraft.objects.visible_to(actor).overdue(clock.now()).order_by("expires_at", "pk")
    for pk in list(rows.values_list("pk", flat=True)[:limit]):
        try:
            expire_draft(pk, actor=actor)
            done += 1
        except DomainError as refusal:
            # It ended in the meantime, or its log is busy. The next sweep finds it again.
            log.debug("draft_not_expired", draft=str(pk), code=refusal.code)
    return done


def _fill(current: Step, draft: Draft) -> None:
    row, machine = current.row, current.actor.machine
    if machine is None or machine.client_id != draft.denial.client_id:
        raise NotAllowed
    used = {"denial": draft.denial.number}
    if AccessDraft.objects.filter(**used).exists() or AccessTask.objects.filter(**used).exists():
        raise InvalidDenialBinding
    if not row.ticket.is_live:
        raise FactsChanged(_("The ticket is %(state)s.") % {"state": row.ticket.get_state_display()})
    if draft.until_at is not None and draft.until_at <= current.at:
        raise FactsChanged(_("The time until which access was asked for is over."))
    _require_room(row, current.at)
    row.client_id, row.denial, row.asked = machine.client_id, draft.denial.number, dict(draft.denial.asked)
    row.level, row.window_for = draft.level, limits.require_window(draft.window_for, cap=row.tenant.window_cap)
    most = limits.JUSTIFICATION_MAX
    row.tried = limits.require_text(draft.tried, field="tried", at_most=most)
    row.justification = limits.require_text(
        draft.justification, field="justification", at_least=limits.JUSTIFICATION_MIN, at_most=most
    )
    row.until_at, row.is_emergency = draft.until_at, draft.is_emergency
    row.source_url = source_url(draft.source_url)
    for name, value in callback_columns(draft.callback, machine.client_id).items():
        setattr(row, name, value)
    row.made_at, row.expires_at = current.at, current.at + DRAFT_LIVES_FOR


def _require_room(row: AccessDraft, at: dt.datetime) -> None:
    """Raise TooMany if this engineer has got too many drafts about this tenant. Each is a mail."""
    most = limits.hourly_max(is_practice=False)
    drafts = AccessDraft.objects.filter(engineer=row.engineer_id, tenant=row.tenant)
    if drafts.filter(made_at__gt=at - dt.timedelta(hours=1)).count() >= most:
        words = _("This engineer got %(max)d drafts for this tenant within an hour. Try again later.")
        raise TooMany(words % {"max": most})


def _described(row: AccessDraft) -> dict[str, object]:
    until = {"until": canonical.instant(row.until_at)} if row.until_at is not None else {}
    return {
        "draft": str(row.pk),
        "engineer": row.engineer.name,
        "engineer_id": str(row.engineer_id),
        "ticket": row.ticket.reference,
        "resources": [row.resource.described],
        "level": str(row.level),
        "window_for": row.window_for,
        "tried": row.tried,
        "justification": row.justification,
        **until,
        **({"emergency": True} if row.is_emergency else {}),
        **({"source_url": row.source_url} if row.source_url else {}),
    }
