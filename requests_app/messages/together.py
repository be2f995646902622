"""What a mail of several and those that it tells have in common: what becomes of the one becomes of all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils.translation import gettext as _

from requests_app.models import OutboxMessage
from requests_app.models.outbox import OutboxQuerySet


def told_in(message: OutboxMessage) -> OutboxQuerySet:
    """What another's mail tells and has no mail of its own: each names that other in its note."""
    rows = OutboxMessage.objects.filter(pk__in=message.tells, rendered__isnull=True)
    return rows.filter(last_error__contains=str(message.pk))


def tell(rows: Iterable[OutboxMessage], message: OutboxMessage, at: datetime) -> None:
    """Count these as told in another's mail."""
    OutboxMessage.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=OutboxMessage.State.DELIVERED,
        delivered_at=at,
        claimed_until=None,
        last_error=_("Sent with others in one mail: %(id)s") % {"id": message.pk},
    )


def tell_again(message: OutboxMessage, at: datetime) -> None:
    """A mail is sent once more, and tells all again, those that were to go by themselves and have not left, too."""
    tell(told_in(message).order_by("pk").locked(), message, at)


def end(message: OutboxMessage, state: str, note: str) -> None:
    """A mail was not sent: give what it tells the same end. What staff have taken out of it is left."""
    said = _("%(note)s (sent with others in one mail: %(id)s)") % {"note": note[:400], "id": message.pk}
    told_in(message).exclude(state=OutboxMessage.State.WAITING).update(state=state, last_error=said[:500])


def let_loose(message: OutboxMessage, at: datetime) -> None:
    """A mail is not to leave as it is: it and what it tells wait anew."""
    others = told_in(message).exclude(state=OutboxMessage.State.WAITING)
    others.update(state=OutboxMessage.State.WAITING, delivered_at=None, next_attempt_at=at, last_error="")
    OutboxMessage.objects.filter(pk=message.pk).update(rendered=None, last_error="")


def waits_in_another(message: OutboxMessage) -> bool:
    """Whether a mail that tells this one as well is still to leave."""
    if message.rendered is not None or not message.last_error:
        return False
    alike = OutboxMessage.objects.filter(tenant=message.tenant_id, topic=message.topic, recipient=message.recipient)
    others = alike.filter(lane=message.lane, state=OutboxMessage.State.WAITING, rendered__isnull=False)
    return any(str(other) in message.last_error for other in others.values_list("pk", flat=True))
