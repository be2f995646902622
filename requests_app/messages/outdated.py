"""Decides whether a mail must not be sent any more: it is no longer true, or no longer concerns its recipient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.messages import audiences
from requests_app.messages.topics import topic_of
from requests_app.models import AccessRequest, OutboxMessage, Ticket


def why(message: OutboxMessage, at: datetime) -> str:
    """Return why this mail should not be sent. Return "" if it should be sent.

    A combined mail should be sent if at least one of its messages should be sent.
    """
    if not message.tells:
        return _of_one(message, at)
    notes = of_each(list(OutboxMessage.objects.filter(pk__in=message.tells)), at)
    return notes[message.pk] if all(notes.values()) else ""


def of_each(messages: Sequence[OutboxMessage], at: datetime) -> dict[UUID, str]:
    """Return the reasons for many messages about access requests, by message id. The number of queries is small."""
    rows = AccessRequest.objects.in_bulk({message.about for message in messages})
    concerned = audiences.concerned(messages, rows)
    notes = {}
    for message in messages:
        during = topic_of(message.topic).sending.during
        note = "" if message.pk in concerned else _("Not sent: the message no longer concerns the recipient.")
        notes[message.pk] = (
            note if rows[message.about].state_at(at) in during else _("Not sent: the state has changed.")
        )
    return notes


def _of_one(message: OutboxMessage, at: datetime) -> str:
    sending = topic_of(message.topic).sending
    if sending.during and AccessRequest.objects.get(pk=message.about).state_at(at) not in sending.during:
        return _("Not sent: the state has changed.")
    if sending.is_of_live_ticket and not Ticket.objects.get(pk=message.about).is_live:
        return _("Not sent: the state has changed.")
    if message.recipient not in {recipient.email for recipient in audiences.resolve(message)}:
        return _("Not sent: the message no longer concerns the recipient.")
    return ""
