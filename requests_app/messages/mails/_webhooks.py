"""Reads the facts for the mails about webhooks and signal streams that fail."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import OutboxMessage, SignalStream, Webhook


@reads(Topic.WEBHOOK_OFF)
def given_up(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a webhook gets no more messages, because it failed.

    They include only the host of the webhook. Its path may be as secret as a password, and mail programs would turn a
    complete address into a link.
    """
    is_gone = message.payload["because"] == Webhook.Because.GONE
    place = words.line(message.payload["place"].partition("://")[2])
    why = (
        _("the receiver answered that its address no longer exists (410)")
        if is_gone
        else _("the receiver failed for several days")
    )
    return {
        "path": _path(message),
        "is_webhook": True,
        "place": place,
        "is_gone": is_gone,
        "facts": [
            Fact(_("Webhook"), [place]),
            Fact(_("Why"), [why]),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }


@reads(Topic.STREAM_FAILING)
def stream_failing(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when the events of a signal stream do not reach its receiver."""
    if "owner" in message.payload:
        return _stream_of_others(message, at)
    place = words.line(message.payload["place"].partition("://")[2])
    client = words.line(message.payload["client"])
    is_paused = message.payload["status"] == SignalStream.Status.PAUSED
    receiver = [Fact(_("Receiver"), [place])] if place else []
    return {
        "path": _clients_path(message),
        "is_stream": True,
        "client": client,
        "is_paused": is_paused,
        "facts": [Fact(_("API client"), [client]), *receiver, Fact(_("When"), [words.when(message.created_at, at)])],
    }


def _stream_of_others(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the side to which the failing stream does not belong."""
    is_staff = message.tenant_id is None
    return {
        "path": _clients_path(message) if is_staff else reverse("web:home"),
        "is_stream": True,
        "is_of_others": True,
        "is_of_customer": not is_staff,
        "owner": words.line(message.payload["owner"]) or _("your provider"),
        "is_paused": message.payload["status"] == SignalStream.Status.PAUSED,
        "facts": [Fact(_("When"), [words.when(message.created_at, at)])],
    }


def _clients_path(message: OutboxMessage) -> str:
    if message.tenant_id is None:
        return reverse("admin:requests_app_signalstream_change", args=[message.about])
    return reverse("web:signal_stream", args=[message.tenant_id, message.about])


def _path(message: OutboxMessage) -> str:
    if message.tenant_id is None:
        return reverse("admin:requests_app_webhook_change", args=[message.about])
    return reverse("web:webhook", args=[message.tenant_id, message.about])
