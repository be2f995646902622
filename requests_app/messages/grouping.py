"""Limits the mails that ask for a decision: some are sent alone, some wait, and some are combined in one mail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, Q
from django.utils.translation import gettext as _

from requests_app.domain.limits import GROUPED_FOR, MAILS_AT_ONCE
from requests_app.messages import audiences, outdated, together
from requests_app.messages.mails import email
from requests_app.messages.mails.receipts import NotYet
from requests_app.models import AccessRequest, OutboxMessage
from requests_app.models.outbox import MAIL, OutboxQuerySet

#: Older rows are ignored, unless the mail itself is older. So the index of a tenant's rows is enough.
_READ_BACK = timedelta(days=2)


def render(message: OutboxMessage, at: datetime) -> str:
    """Render a mail. If its recipient would otherwise get too many mails, combine it with other mails that wait.

    Return a note if another mail has included this message meanwhile. Raise NotYet if the recipient has
    recently got enough mails. A mail that failed before, or that staff sent again, is sent alone and
    immediately.

    One transaction locks the mails that wait for the recipient, in one order, and stores the rendered mail. So
    two workers can't both find room for one more mail. And the rendered mail is sent even if this process is
    killed.
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
    """Release the messages of a combined mail if one of them no longer concerns its recipient. Then raise NotYet.

    So a person who no longer works in a queue does not read about the queue's access requests.
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
    """Return the messages to combine with this one. Raise NotYet if the recipient has recently got enough mails."""
    recent = _recent_mails(message, at)
    full_until = _full_until(recent)
    if full_until is not None and _can_wait(message, full_until):
        raise NotYet(full_until)
    room = MAILS_AT_ONCE - sum(weight for _begun, weight in recent)
    others = _others(message, waiting, at) if len(waiting) > room else []
    return others if len(others) >= room else []


def _alike(message: OutboxMessage, at: datetime) -> OutboxQuerySet:
    """Return all messages that have the same topic, tenant and recipient as this message.

    For a message about a practice request, return only those about practice requests, and for a real one only those
    about real ones. So a practice request never delays a real one, and no mail is about both.
    """
    since = min(message.created_at, at - _READ_BACK)
    rows = OutboxMessage.objects.filter(lane=MAIL, topic=message.topic, recipient=message.recipient)
    rows = rows.filter(tenant=message.tenant_id, created_at__gte=since)
    practice = AccessRequest.objects.filter(tenant=message.tenant_id, is_practice=True)
    is_practice, this_is = Q(about__in=practice.values("pk")), Exists(practice.filter(pk=message.about))
    return rows.filter((Q(this_is) & is_practice) | (~Q(this_is) & ~is_practice))


def _others(message: OutboxMessage, waiting: Iterable[OutboxMessage], at: datetime) -> list[OutboxMessage]:
    """Return the waiting messages that can be combined with this message.

    A message that failed before is left out, because it could make the whole mail fail again.
    """
    others = [row for row in waiting if row != message and not row.last_error]
    notes = outdated.of_each(others, at)
    return [row for row in others if not notes[row.pk]]


def _recent_mails(message: OutboxMessage, at: datetime) -> list[tuple[datetime, int]]:
    """Return when each recent mail to this recipient was sent, newest first, and how many messages it had.

    Recent means within the last 15 minutes. A mail that the mail server has not accepted yet counts as sent now,
    because the server will get all these mails at the same time. A mail whose next attempt is more than 15 minutes away
    does not count, because other mails should not wait for hours because of it.
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
    """Return when the recipient can get one more mail, or None if that is now.

    In `recent`, the newest mail is first.
    """
    so_far = 0
    for begun, weight in recent:
        so_far += weight
        if so_far >= MAILS_AT_ONCE:
            return begun + GROUPED_FOR
    return None


def _can_wait(message: OutboxMessage, until: datetime) -> bool:
    """Return whether the recipient still has enough time to answer after this wait.

    A deadline is a setting and can be short.
    """
    return bool(AccessRequest.objects.get(pk=message.about).decide_by > until + GROUPED_FOR)


def _begun_elsewhere(message: OutboxMessage, at: datetime) -> str:
    """Return a note if another worker has sent or combined this mail.

    If another worker has only rendered it, copy the rendered mail to `message` and return "".
    """
    row = OutboxMessage.objects.get(pk=message.pk)
    if row.state != OutboxMessage.State.WAITING:
        return row.last_error or _("Not sent here: another worker sends this message.")
    if row.rendered is None:  # released again at this moment
        raise NotYet(at)
    message.rendered = row.rendered
    return ""
