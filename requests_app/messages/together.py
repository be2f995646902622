"""Keeps the messages of a combined mail in the same state as the mail."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils.translation import gettext as _

from requests_app.models import OutboxMessage
from requests_app.models.outbox import OutboxQuerySet


def bundled_in(message: OutboxMessage) -> OutboxQuerySet:
    """Return the messages that are sent only as a part of this mail.

    Their own rows have no rendered mail, but a note that names this mail.
    """
    rows = OutboxMessage.objects.filter(pk__in=message.tells, rendered__isnull=True)
    return rows.filter(last_error__contains=str(message.pk))


def tell(rows: Iterable[OutboxMessage], message: OutboxMessage, at: datetime) -> None:
    """Record that these messages are sent as a part of the mail of `message`."""
    OutboxMessage.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=OutboxMessage.State.DELIVERED,
        delivered_at=at,
        claimed_until=None,
        last_error=_("Sent with other messages in one mail: %(id)s") % {"id": message.pk},
    )


def tell_again(message: OutboxMessage, at: datetime) -> None:
    """Put all messages of a combined mail back into the mail. Call this when staff send the mail again.

    This includes messages that had been taken out of the mail and were not sent.
    """
    tell(bundled_in(message).order_by("pk").locked(), message, at)


def end(message: OutboxMessage, state: str, note: str) -> None:
    """Give the mail's own state to all messages of a combined mail that was not sent.

    Messages that staff took out of the mail are left as they are.
    """
    note_words = _("%(note)s (sent with other messages in one mail: %(id)s)") % {
        "note": note[:400],
        "id": message.pk,
    }
    bundled_in(message).exclude(state=OutboxMessage.State.WAITING).update(state=state, last_error=note_words[:500])


def let_loose(message: OutboxMessage, at: datetime) -> None:
    """Undo the combining of a mail that must not be sent in this form. Each message then waits to be sent."""
    others = bundled_in(message).exclude(state=OutboxMessage.State.WAITING)
    others.update(state=OutboxMessage.State.WAITING, delivered_at=None, next_attempt_at=at, last_error="")
    OutboxMessage.objects.filter(pk=message.pk).update(rendered=None, last_error="")


def waits_in_another(message: OutboxMessage) -> bool:
    """Return whether this message is a part of another mail that is not sent yet."""
    if message.rendered is not None or not message.last_error:
        return False
    alike = OutboxMessage.objects.filter(tenant=message.tenant_id, topic=message.topic, recipient=message.recipient)
    others = alike.filter(lane=message.lane, state=OutboxMessage.State.WAITING, rendered__isnull=False)
    return any(str(other) in message.last_error for other in others.values_list("pk", flat=True))
