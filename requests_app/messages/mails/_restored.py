"""Reads the facts for mails about a restore from a backup, and about its confirmations."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import OutboxMessage


@reads(Topic.RESTORED)
def restored(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent after a restore: to a tenant's people, or to the provider's staff."""
    taken_at, restored_at = _times(message)
    return {
        "path": _path(message),
        "is_customer": message.tenant_id is not None,
        "lockbox_on": bool(message.tenant and message.tenant.lockbox_on),
        "taken": words.when(taken_at, at),
        "facts": [
            *_tenant(message),
            Fact(_("Backup taken"), [words.when(taken_at, at)]),
            Fact(_("Restored"), [words.when(restored_at, at)]),
        ],
    }


@reads(Topic.RESTORED_CONFIRMED)
def confirmed(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when somebody has confirmed what was restored."""
    taken_at, _restored_at = _times(message)
    return {
        "path": _path(message),
        "by": words.line(message.payload["by"]),
        "of_tenant": message.tenant_id is not None,
        "complete": bool(message.payload["complete"]),
        "taken": words.when(taken_at, at),
        "lockbox_on": bool(message.tenant and message.tenant.lockbox_on),
        "facts": [
            *_tenant(message),
            Fact(_("Confirmed by"), [words.line(message.payload["by"]), words.when(message.created_at, at)]),
            Fact(_("Backup taken"), [words.when(taken_at, at)]),
        ],
    }


def _path(message: OutboxMessage) -> str:
    if message.tenant_id is None:
        return reverse("admin:restored")
    return reverse("web:restored", args=[message.tenant_id])


def _tenant(message: OutboxMessage) -> list[Fact]:
    return [Fact(_("Tenant"), [words.line(message.tenant.name)])] if message.tenant is not None else []


def _times(message: OutboxMessage) -> tuple[datetime, datetime]:
    taken_at, restored_at = (datetime.fromisoformat(message.payload[name]) for name in ("taken_at", "restored_at"))
    return taken_at, restored_at
