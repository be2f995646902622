"""Decides which mails that ask for an answer are sent alone, which wait, and which are combined in one mail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from requests_app.domain.limits import GROUPED_FOR, MAILS_AT_ONCE
from requests_app.messages import audiences, outdated, together
from requests_app.messages.mails import email
from requests_app.messages.mails.receipts import NotYet
from requests_app.models import AccessRequest, OutboxMessage
from requests_app.models.outbox import MAIL, OutboxQuerySet

#: Rows older than this, and older than the mail itself, are ignored, so that the index of a tenant's rows is enough.
_READ_BACK = timedelta(days=2)


def render(message: OutboxMessage, at: datetime) -> str:
    """Render a mail, combined with waiting ones if its recipient would get too many.

    Returns a note if another mail included it meanwhile. Raises NotYet if its recipient got enough mails just now. All
    of a recipient's rows are locked in one order, so that two drains can't both find room for one more mail. The mail's
    contents are settled in the same transaction: even if this process is killed then, the rendered mail leaves. One
    that failed before, or that staff sent again, is sent alone and at once.
    """
    with transaction.atomic(durable=True):
        waiting = list(_alike(message, at).filter(state="waiting", rendered__isnull=True).order_by("pk").locked())
        if message not in waiting:
            return _begun_elsewhere(message, at)
        others = [] if message.last_error else _beside(message, waiting, at)
        message.rendered = email.render(message, at, others=others)
        message.save(update_fields=["rendered"])
        together.tell(others, message, at)
    return ""


def take_apart(message: OutboxMessage, at: datetime) -> None:
    """Release the messages of a combined mail if its recipient is no longer concerned with all of them.

    Raises NotYet then. Otherwise somebody who lost a queue would still read what is asked in it.
    """
    if not message.tells:
        return
    rows = list(OutboxMessage.objects.filter(pk__in=message.tells))
    if len(audiences.concerned(rows, AccessRequest.objects.in_bulk({row.about for row in rows}))) == len(rows):
        return
    with transaction.atomic(durable=True):
        locked = OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.WAITING).locked().first()
        if locked is not None and locked.tells:
            together.let_loose(locked, at)
    raise NotYet(at)


def _beside(message: OutboxMessage, waiting: Sequence[OutboxMessage], at: datetime) -> list[OutboxMessage]:
    """Return what is combined in the same mail. Raises NotYet if its recipient got enough mails just now."""
    recent = _recent_mails(message, at)
    full_until = _full_until(recent)
    if full_until is not None and _can_wait(message, full_until):
        raise NotYet(full_until)
    room = MAILS_AT_ONCE - sum(weight for _begun, weight in recent)
    others = _others(message, waiting, at) if len(waiting) > room else []
    return others if len(others) >= room else []


def _alike(message: OutboxMessage, at: datetime) -> OutboxQuerySet:
    """Return everything on the same topic, of the same tenant, for the same recipient."""
    since = min(message.created_at, at - _READ_BACK)
    rows = OutboxMessage.objects.filter(lane=MAIL, topic=message.topic, recipient=message.recipient)
    return rows.filter(tenant=message.tenant_id, created_at__gte=since)


def _others(message: OutboxMessage, waiting: Iterable[OutboxMessage], at: datetime) -> list[OutboxMessage]:
    """Return what can be combined with a mail. A message that failed before stays alone, as it may fail the others."""
    others = [row for row in waiting if row != message and not row.last_error]
    notes = outdated.of_each(others, at)
    return [row for row in others if not notes[row.pk]]


def _recent_mails(message: OutboxMessage, at: datetime) -> list[tuple[datetime, int]]:
    """Return when the mails of the last quarter of an hour left, newest first, and how many messages each had.

    Mails that the server has not accepted yet count as of now: it will get them all at once. Those that are tried again
    only after the next quarter of an hour do not count, as nothing should wait hours because another mail can't leave.
    """
    soon = Q(state="waiting", next_attempt_at__lt=at + GROUPED_FOR)
    left = soon | Q(state="delivered", last_error="", delivered_at__gt=at - GROUPED_FOR)
    rows = _alike(message, at).filter(left, rendered__isnull=False)
    found = rows.values_list("state", "delivered_at", "rendered__tells")
    return sorted(
        ((at if state == "waiting" else delivered_at, len(tells or [state])) for state, delivered_at, tells in found),
        reverse=True,
    )


def _full_until(recent: Iterable[tuple[datetime, int]]) -> datetime | None:
    """Return when there is room for one more mail; None if there is now. `recent` has the newest first."""
    so_far = 0
    for begun, weight in recent:
        so_far += weight
        if so_far >= MAILS_AT_ONCE:
            return begun + GROUPED_FOR
    return None


def _can_wait(message: OutboxMessage, until: datetime) -> bool:
    """Return whether there is time to answer afterwards: deadlines are settings, and can be short."""
    return bool(AccessRequest.objects.get(pk=message.about).decide_by > until + GROUPED_FOR)


def _begun_elsewhere(message: OutboxMessage, at: datetime) -> str:
    """Return what another drain made of it: a note, or the mail to be sent."""
    row = OutboxMessage.objects.get(pk=message.pk)
    if row.state != OutboxMessage.State.WAITING:
        return row.last_error or _("Not sent: another worker sends it.")
    if row.rendered is None:  # let loose again in this very moment
        raise NotYet(at)
    message.rendered = row.rendered
    return ""
