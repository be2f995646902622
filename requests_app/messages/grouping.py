"""Decides which mails that ask for an answer go alone, which wait, and which are told in one."""

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

#: Rows that were written longer ago than this, and than the mail itself, are left alone: so the index of a tenant's
#: rows is enough, however many there are.
_LOOKED_BACK = timedelta(days=2)


def render(message: OutboxMessage, at: datetime) -> str:
    """Render a mail, with what waits beside it where that is too much for mails of its own.

    Return a note if another mail has told it meanwhile. Raises NotYet where its recipient was told enough just now.
    All of a recipient's are locked in one order, so that two drains never both think that there is room for one more.
    What is told with it is settled in the same transaction: whatever is killed now, the rendered mail leaves.
    One that failed before, or that staff sent again, goes alone and at once.
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
    """Where its recipient is no longer concerned with all that a mail tells, let each go, to be looked at anew.

    Raises NotYet then. Else who lost a queue would still read what is asked for in it.
    """
    if not message.tells:
        return
    rows = list(OutboxMessage.objects.filter(pk__in=message.tells))
    if len(audiences.concerned(rows, AccessRequest.objects.in_bulk({row.about for row in rows}))) == len(rows):
        return
    with transaction.atomic(durable=True):
        held = OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.WAITING).locked().first()
        if held is not None and held.tells:
            together.let_loose(held, at)
    raise NotYet(at)


def _beside(message: OutboxMessage, waiting: Sequence[OutboxMessage], at: datetime) -> list[OutboxMessage]:
    """What is told in the same mail. Raises NotYet where its recipient was told enough just now."""
    told = _told(message, at)
    full_until = _full_until(told)
    if full_until is not None and _can_wait(message, full_until):
        raise NotYet(full_until)
    room = MAILS_AT_ONCE - sum(weight for _begun, weight in told)
    others = _others(message, waiting, at) if len(waiting) > room else []
    return others if len(others) >= room else []


def _alike(message: OutboxMessage, at: datetime) -> OutboxQuerySet:
    """Everything on the same topic, of the same tenant, for the same recipient."""
    since = min(message.created_at, at - _LOOKED_BACK)
    rows = OutboxMessage.objects.filter(lane=MAIL, topic=message.topic, recipient=message.recipient)
    return rows.filter(tenant=message.tenant_id, created_at__gte=since)


def _others(message: OutboxMessage, waiting: Iterable[OutboxMessage], at: datetime) -> list[OutboxMessage]:
    """What can be told with a mail. One that failed before stays alone: it could be why, and would fail the others."""
    others = [row for row in waiting if row != message and not row.last_error]
    notes = outdated.of_each(others, at)
    return [row for row in others if not notes[row.pk]]


def _told(message: OutboxMessage, at: datetime) -> list[tuple[datetime, int]]:
    """When the mails of the last quarter of an hour left, the newest first, and of how many each tells.

    Those count as of now that the server has not taken yet: it will have them all in one moment. Not those that are
    tried again only after the next quarter of an hour: nothing is to wait for hours because another cannot leave.
    """
    soon = Q(state="waiting", next_attempt_at__lt=at + GROUPED_FOR)
    left = soon | Q(state="delivered", last_error="", delivered_at__gt=at - GROUPED_FOR)
    rows = _alike(message, at).filter(left, rendered__isnull=False)
    found = rows.values_list("state", "delivered_at", "rendered__tells")
    return sorted(
        ((at if state == "waiting" else delivered_at, len(tells or [state])) for state, delivered_at, tells in found),
        reverse=True,
    )


def _full_until(told: Iterable[tuple[datetime, int]]) -> datetime | None:
    """When there is room for one more; None where there is some now. `told` has the newest first."""
    so_far = 0
    for begun, weight in told:
        so_far += weight
        if so_far >= MAILS_AT_ONCE:
            return begun + GROUPED_FOR
    return None


def _can_wait(message: OutboxMessage, until: datetime) -> bool:
    """Whether there is time to answer afterwards: deadlines are settings, and can be short."""
    return bool(AccessRequest.objects.get(pk=message.about).decide_by > until + GROUPED_FOR)


def _begun_elsewhere(message: OutboxMessage, at: datetime) -> str:
    """What another drain has made of it: a note, or the mail that is to be sent."""
    row = OutboxMessage.objects.get(pk=message.pk)
    if row.state != OutboxMessage.State.WAITING:
        return row.last_error or _("Not sent: another worker sends it.")
    if row.rendered is None:  # let loose again in this very moment
        raise NotYet(at)
    message.rendered = row.rendered
    return ""
