"""Mails that fail, in words."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils.translation import ngettext

from requests_app.words import times


def failing(n: int, *, since: datetime, reason: str, at: datetime) -> str:
    """Return how many mails fail, why, and for how long. `reason` is the outbox's own text about the last failure."""
    words = ngettext(
        "%(n)d mail was not accepted by %(server)s, and is tried again: %(reason)s. It was written %(since)s.",
        "%(n)d mails were not accepted by %(server)s, and are tried again: %(reason)s. The oldest was written "
        "%(since)s.",
        n,
    )
    is_server = settings.EMAIL_BACKEND.endswith("smtp.EmailBackend")
    server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}" if is_server else settings.EMAIL_FILE_PATH
    return words % {
        "n": n,
        "server": server,
        "reason": reason.rstrip("."),
        "since": times.relative_words(since, at),
    }
