"""Reads the facts about this installation itself."""

from __future__ import annotations

from requests_app.models import Installation


def is_mail_tested() -> bool:
    """Return whether a test mail has ever succeeded."""
    return Installation.objects.filter(mail_tested_at__isnull=False).exists()
