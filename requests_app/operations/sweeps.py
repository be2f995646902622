"""What the system writes down and tells by itself. Nothing here is needed for a deadline or a window to hold."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, QuerySet

from requests_app import bell, clock
from requests_app.actors import Actor
from requests_app.lifecycle import State
from requests_app.models import AccessRequest, Grant, OutboxMessage
from requests_app.operations._change import Step, act, apply_all, begin
from requests_app.operations._ending import about, close_grants, tell_ended
from requests_app.outbox.topics import Audience, Note, Topic, post

#: What an end writes down of an access request; its long texts are not fetched for it.
_NEEDED = ("id", "reference", "tenant_id", "state", "decide_by")


def expire_overdue(*, actor: Actor, limit: int) -> int:
    """Expire up to `limit` access requests whose deadline has passed; return how many."""
    with act("expire", actor=actor) as current:
        current.at = clock.now()
        rows = AccessRequest.objects.overdue(current.at).only(*_NEEDED).order_by("decide_by")[:limit]
        steps = [begin(actor, row, None, "expire", current.at) for row in rows.claimed()]
        for step in steps:
            tell_ended(step)
        apply_all(steps, at=current.at)
        current.notes.extend(_notes(steps))
    return len(steps)


def close_elapsed(*, actor: Actor, limit: int) -> int:
    """Close up to `limit` windows that have run out; return how many."""
    with act("close", actor=actor) as current:
        current.at = clock.now()
        ripe = Grant.objects.elapsed(current.at).order_by("closes_at").values_list("access_request_id", flat=True)
        elapsed = AccessRequest.objects.filter(state=State.OPEN, pk__in=list(ripe[:limit])).only(*_NEEDED)
        rows = list(elapsed.order_by("pk").claimed())
        grants = Grant.objects.filter(access_request__in=[row.pk for row in rows]).order_by("pk").locked()
        by_request = {grant.access_request_id: grant for grant in grants}
        steps = [begin(actor, row, by_request[row.pk], "close", current.at) for row in rows]
        close_grants(steps, Grant.CloseReason.ELAPSED)
        apply_all(steps, at=current.at)
        current.notes.extend(_notes(steps))
    return len(steps)


def announce_closing_soon(*, actor: Actor, limit: int) -> int:
    """Tell once that a window closes soon, if it is long enough for "soon" to mean something."""
    at, notice = clock.now(), timedelta(seconds=settings.CLOSING_SOON_SECONDS)
    soon = Grant.objects.live(at).filter(closes_at__lte=at + notice).select_related("access_request")
    # Here and not in the loop: windows that are never announced must not use up the limit.
    soon = soon.filter(closes_at__gt=ExpressionWrapper(F("opens_at") + notice, DateTimeField()))
    soon = soon.exclude(Exists(_told(Topic.CLOSING_SOON, "access_request_id"))).order_by("closes_at")[:limit]
    return _tell(
        [about(grant.access_request, Topic.CLOSING_SOON, Audience.ENGINEER, Audience.CUSTOMER) for grant in soon]
    )


def remind_deciders(*, actor: Actor, limit: int) -> int:
    """Remind the customer's approvers at each of the set times, and after an outage of the latest one only."""
    at, told = clock.now(), 0
    steps = sorted(settings.REMINDER_SECONDS)
    for since, until in pairwise([*steps, settings.CUSTOMER_DECISION_SECONDS]):
        waiting = AccessRequest.objects.waiting(at).filter(
            state=State.PENDING_CUSTOMER,
            state_changed_at__lte=at - timedelta(seconds=since),
            state_changed_at__gt=at - timedelta(seconds=until),
        )
        waiting = waiting.exclude(Exists(_told(Topic.REMINDER, "pk", mark=str(since)))).order_by("decide_by")
        told += _tell([_reminder(row, str(since)) for row in waiting[:limit]])
    return told


def _reminder(row: AccessRequest, mark: str) -> Note:
    return Note(topic=Topic.REMINDER, tenant_id=row.tenant_id, about=row.pk, audiences=(Audience.CUSTOMER,), mark=mark)


def _told(topic: Topic, outer: str, mark: str = "") -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(about=OuterRef(outer), topic=topic, mark=mark)


def _tell(notes: list[Note]) -> int:
    if notes:
        with transaction.atomic(durable=True):
            post(notes, at=clock.now())
            bell.ring()
    return len(notes)


def _notes(steps: list[Step]) -> list[Note]:
    return [note for step in steps for note in step.notes]
