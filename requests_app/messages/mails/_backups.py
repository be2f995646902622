"""Reads the facts for the mail about a backup that failed or is too old."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import OutboxMessage


@reads(Topic.BACKUP_TROUBLE)
def trouble(message: OutboxMessage, at: datetime) -> Facts:
    last_at = message.payload["last_at"]
    last = words.when(datetime.fromisoformat(last_at), at) if last_at else ""
    return {
        "path": reverse("admin:requests_app_heartbeat_changelist"),
        "has_failed": bool(message.payload["failed"]),
        "last": last,
        "facts": [Fact(_("Last good backup"), [last or _("none")])],
    }
