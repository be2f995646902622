"""Decides which mails that ask for an answer go alone, which wait, and which are told in one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from requests_app.limits import GROUPED_FOR, MAILS_AT_ONCE
from requests_app.models import AccessRequest, OutboxMessage
from requests_app.models.outbox import OutboxQuerySet
from requests_app.notifications import email
from requests_app.notifications.receipts import NotYet
from requests_app.outbox import moot
from requests_app.outbox.topics import MAIL, Topic

#: Each of them asks somebody for an answer, and forty at once ask to be answered unread.
TOPICS = frozenset({Topic.DECIDE_AS_PROVIDER, Topic.DECIDE_AS_CUSTOMER, Topic.REMINDER})
#: Rows that were written longer ago than this, and than the mail itself, are left alone: so the index of a tenant's
#: rows is enough, however many there are.
_LOOKED_BACK = timedelta(days=2)


def render(message: OutboxMessage, at: datetime) -> str:
    """Render a mail, with what waits beside it where that is too much for mails of its own.

    Return a note if another mail has told it meanwhile. Raises NotYet where its recipient was told enough just now.
    All of a recipient's are locked in one order, so that two drains never both think that there is room for one more.
    What is told with it is settled in the same transaction: whatever is killed now, the rendered mail leaves.
    """
    with transaction.atomic(durable=True):
        waiting = list(_alike(message, at).filter(state="waiting", rendered__isnull=True).order_by("pk").locked())
        if message not in waiting:
            return _begun_elsewhere(message, at)
        told = _told(message, at)
        full_until = _full_until(told)
        if full_until is not None and _can_wait(message, full_until):
            raise NotYet(full_until)
        room = MAILS_AT_ONCE - sum(weight for _begun, weight in told)
        others = _others(message, waiting, at) if len(waiting) > room else []
        if len(others) < room:
            others = []
        message.rendered = email.render(message, at, others=others)
        message.save(update_fields=["rendered"])
        _settle(others, message, at)
    return ""


def _alike(message: OutboxMessage, at: datetime) -> OutboxQuerySet:
    """Everything on the same topic, of the same tenant, for the same recipient."""
    since = min(message.created_at, at - _LOOKED_BACK)
    rows = OutboxMessage.objects.filter(lane=MAIL, topic=message.topic, recipient=message.recipient)
    return rows.filter(tenant=message.tenant_id, created_at__gte=since)


def _others(message: OutboxMessage, waiting: Iterable[OutboxMessage], at: datetime) -> list[OutboxMessage]:
    """What can be told with a mail. One that failed before stays alone: it could be why, and would fail the others."""
    return [row for row in waiting if row != message and not row.last_error and not moot.why(row, at)]


def _told(message: OutboxMessage, at: datetime) -> list[tuple[datetime, int]]:
    """When the mails of the last quarter of an hour were made, the newest first, and of how many each tells.

    Those count, too, that the server has not taken yet: it will have them all in one moment.
    """
    since = at - GROUPED_FOR
    left = Q(state="waiting") | Q(state="delivered", last_error="", delivered_at__gt=since)
    rows = _alike(message, at).filter(left, rendered__isnull=False)
    found = [
        (parsedate_to_datetime(made), len(tells or [made]))
        for made, tells in rows.values_list("rendered__headers__Date", "rendered__tells")
    ]
    return sorted((each for each in found if each[0] > since), reverse=True)


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


def _settle(others: Iterable[OutboxMessage], message: OutboxMessage, at: datetime) -> None:
    OutboxMessage.objects.filter(pk__in=[row.pk for row in others]).update(
        state=OutboxMessage.State.DELIVERED,
        delivered_at=at,
        claimed_until=None,
        last_error=_("Told with others in one mail: %(id)s") % {"id": message.pk},
    )


def _begun_elsewhere(message: OutboxMessage, at: datetime) -> str:
    """What another drain has made of it: a note, or the mail that is to be sent."""
    row = OutboxMessage.objects.get(pk=message.pk)
    if row.state != OutboxMessage.State.WAITING:
        return row.last_error or _("Not sent: another drain had it.")
    if row.rendered is None:  # let loose again in this very moment
        raise NotYet(at)
    message.rendered = row.rendered
    return ""
