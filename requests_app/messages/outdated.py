"""Says why a mail should not leave any more: it is no longer so, or no longer the recipient's business."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.messages import audiences
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, OutboxMessage, Ticket


def why(message: OutboxMessage, at: datetime) -> str:
    """A note for the row, or nothing: then the mail leaves. One that tells of several is moot when all of them are."""
    if not message.tells:
        return _of_one(message, at)
    notes = of_each(list(OutboxMessage.objects.filter(pk__in=message.tells)), at)
    return notes[message.pk] if all(notes.values()) else ""


def of_each(messages: Sequence[OutboxMessage], at: datetime) -> dict[UUID, str]:
    """The same of many about access requests, by their ids, for few queries."""
    rows = AccessRequest.objects.in_bulk({message.about for message in messages})
    concerned = audiences.concerned(messages, rows)
    notes = {}
    for message in messages:
        needed = Topic(message.topic).sending.state
        note = "" if message.pk in concerned else _("Not sent: this is no longer for the recipient.")
        notes[message.pk] = (
            note if rows[message.about].state_at(at) is needed else _("Not sent: the state has changed.")
        )
    return notes


def _of_one(message: OutboxMessage, at: datetime) -> str:
    sending = Topic(message.topic).sending
    if sending.state is not None and AccessRequest.objects.get(pk=message.about).state_at(at) is not sending.state:
        return _("Not sent: the state has changed.")
    if sending.is_of_live_ticket and not Ticket.objects.get(pk=message.about).is_live:
        return _("Not sent: the state has changed.")
    if message.recipient not in {recipient.email for recipient in audiences.resolve(message)}:
        return _("Not sent: this is no longer for the recipient.")
    return ""
