"""Regular work of the system: ends what is past its deadline, and sends reminders.

A deadline applies even if this work runs late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, QuerySet

from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import CLOSE, EXPIRE
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.states import State
from requests_app.messages.topics import Audience, Note, Topic, post
from requests_app.models import AccessRequest, Grant, OutboxMessage
from requests_app.operations._batches import PLANNED, Ripe, swept
from requests_app.operations._batches import Plan as Plan
from requests_app.operations._change import Move
from requests_app.operations._ending import about, close_grant, tell_ended
from requests_app.platform import bell
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.queries import backups, guards


def expire_overdue(*, actor: Actor, limit: int, passed_over: set[UUID] | None = None, plan: Plan | None = None) -> int:
    """Expire at most `limit` access requests that are past their deadline. Return how many were expired.

    Pass the same plan to all calls of a sweep, so that each continues where the one before has ended.
    """
    return swept(EXPIRE, _OVERDUE, actor=actor, limit=limit, passed_over=passed_over, plan=plan)


def close_elapsed(*, actor: Actor, limit: int, passed_over: set[UUID] | None = None, plan: Plan | None = None) -> int:
    """Close at most `limit` windows whose time is over, as `expire_overdue` does. Return how many were closed."""
    return swept(CLOSE, _ELAPSED, actor=actor, limit=limit, passed_over=passed_over, plan=plan)


def _tell_all_ended(steps: list[Move]) -> None:
    for step in steps:
        tell_ended(step)


def _close_all(steps: list[Move]) -> None:
    for step in steps:
        close_grant(step, Grant.CloseReason.ELAPSED)


_OVERDUE = Ripe(
    rows=lambda at: AccessRequest.objects.overdue(at).order_by("decide_by"),
    due=CompiledQuery(
        lambda at: AccessRequest.objects.overdue(at).order_by("decide_by").values_list("tenant_id", "pk")[:PLANNED],
        at=DateTimeField(),
    ),
    end=_tell_all_ended,
)
_ELAPSED = Ripe(
    rows=lambda at: AccessRequest.objects.elapsed(at).order_by("grant__closes_at"),
    due=CompiledQuery(
        lambda at: (
            Grant.objects.elapsed(at).order_by("closes_at").values_list("tenant_id", "access_request_id")[:PLANNED]
        ),
        at=DateTimeField(),
    ),
    end=_close_all,
    has_grant=True,
)


def announce_closing_soon(*, actor: Actor, limit: int) -> int:
    """Send the message that a window closes soon, once for each window.

    Windows shorter than the notice get no message.
    """
    soon = windows_closing_soon(**closing_soon(clock.now())).select_related("access_request").order_by("closes_at")
    return _tell(
        [
            about(grant.access_request, Topic.CLOSING_SOON, Audience.ENGINEER, Audience.CUSTOMER)
            for grant in soon[:limit]
        ]
    )


def closing_soon(at: datetime) -> dict[str, Any]:
    """Return the arguments of `windows_closing_soon` at this time."""
    notice = timedelta(seconds=settings.CLOSING_SOON_SECONDS)
    return {"at": at, "until": at + notice, "notice": notice}


def windows_closing_soon(at: datetime, until: datetime, notice: timedelta) -> QuerySet[Grant]:
    """Return the windows about which the message that they close soon is due, and not sent yet."""
    soon = Grant.objects.live(at).filter(closes_at__lte=until)
    # Filtered here and not in a loop, because windows without a message must not use up the limit.
    soon = soon.filter(closes_at__gt=ExpressionWrapper(F("opens_at") + notice, DateTimeField()))
    return soon.exclude(Exists(_sent(Topic.CLOSING_SOON, "access_request_id")))


def announce_silent_guards(*, actor: Actor) -> int:
    """Tell staff, and the approvers and administrators of customers with an open window, of a silent application.

    It does not report, or has not reported since the window ended, or nobody asks at its gate. An approver can close
    the window. Each person gets one mail for each window and each silence, and no other one for an hour: somebody who
    has stolen the client's secret could make up guards.
    """
    notes = []
    for found in guards.silent(clock.now()):
        since = found.silence.since
        kind = {"gate": "yes"} if found.silence.is_gate else {"over": "yes"} if found.silence.is_over else {}
        mark = f"{found.service.pk.hex} {since:%Y%m%dT%H%M%S}"
        for number, grant in enumerate(found.windows):
            facts: dict[str, Any] = {"topic": Topic.GUARD_SILENT, "about": grant.access_request_id}
            facts["extra"] = {"since": since.isoformat(), **kind}
            customer = (Audience.CUSTOMER, Audience.ADMINISTRATORS)
            notes.append(Note(**facts, audiences=customer, tenant_id=grant.tenant_id, mark=mark))
            if not number:
                # Without a tenant, the administrators are the provider's staff. One window is enough to tell them.
                notes.append(Note(**facts, audiences=(Audience.ADMINISTRATORS,), tenant_id=None, mark=f"staff {mark}"))
    return _tell(_not_announced(notes))


def _not_announced(notes: Iterable[Note]) -> list[Note]:
    """Return the notes about a silence that were not sent before, and that follow no other one too soon."""
    sent = OutboxMessage.objects.filter(topic=Topic.GUARD_SILENT)
    keys = set(sent.filter(key__in=[note.key() for note in notes]).values_list("key", flat=True))
    last_hour = sent.filter(created_at__gt=clock.now() - limits.SILENCE_MAILED_EVERY)
    # Staff hear of an application, and a customer hears of it for each window.
    known = {
        (tenant and about, mark.rpartition(" ")[0])
        for tenant, about, mark in last_hour.values_list("tenant_id", "about", "mark")
    }
    return [
        note
        for note in notes
        if note.key() not in keys and (note.tenant_id and note.about, note.mark.rpartition(" ")[0]) not in known
    ]


def announce_backup_trouble(*, actor: Actor) -> int:
    """Tell staff that the last backup failed, or is too old: once, and again after a day, while it is so."""
    at, found = clock.now(), backups.trouble(clock.now())
    if found is None:
        return 0
    since = f"{found.last_at:%Y%m%dT%H%M%S}" if found.last_at else "never"
    recent = OutboxMessage.objects.filter(topic=Topic.BACKUP_TROUBLE, created_at__gt=at - limits.BACKUP_MAILED_EVERY)
    if recent.filter(mark__startswith=since).exists():
        return 0
    extra = {"last_at": found.last_at.isoformat() if found.last_at else "", "failed": "yes" if found.has_failed else ""}
    return _tell(
        [
            Note(
                topic=Topic.BACKUP_TROUBLE,
                tenant_id=None,
                about=PROVIDER_LOG,
                audiences=(Audience.ADMINISTRATORS,),
                mark=f"{since} {at:%Y%m%dT%H%M%S}",
                extra=extra,
            )
        ]
    )


def remind_deciders(*, actor: Actor, limit: int) -> int:
    """Remind the customer's approvers at each of the set times. After an outage, only the latest reminder is sent."""
    sent = 0
    for reminder in reminders(clock.now()):
        waiting = to_remind(**reminder).order_by("decide_by")[:limit]
        sent += _tell([_reminder(row, reminder["mark"]) for row in waiting])
    return sent


def reminders(at: datetime) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `to_remind` for each reminder."""
    steps = sorted(settings.REMINDER_SECONDS)
    for since, until in pairwise([*steps, settings.CUSTOMER_DECISION_SECONDS]):
        after, asked_by = (at - timedelta(seconds=seconds) for seconds in (until, since))
        yield {"at": at, "mark": str(since), "asked_after": after, "asked_by": asked_by}


def to_remind(at: datetime, mark: str, asked_after: datetime, asked_by: datetime) -> QuerySet[AccessRequest]:
    """Return the access requests for which the reminder with this mark is due and not sent yet.

    The customer was asked between these two instants.
    """
    waiting = AccessRequest.objects.waiting(at).filter(
        state=State.PENDING_CUSTOMER, state_changed_at__lte=asked_by, state_changed_at__gt=asked_after
    )
    return waiting.exclude(Exists(_sent(Topic.REMINDER, "pk", mark=mark)))


def _reminder(row: AccessRequest, mark: str) -> Note:
    return Note(topic=Topic.REMINDER, tenant_id=row.tenant_id, about=row.pk, audiences=(Audience.CUSTOMER,), mark=mark)


def _sent(topic: Topic, outer: str, mark: str = "") -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(about=OuterRef(outer), topic=topic, mark=mark)


def _tell(notes: list[Note]) -> int:
    if notes:
        with transaction.atomic(durable=True):
            post(notes, at=clock.now())
            bell.ring()
    return len(notes)
