"""Reads facts about this installation itself."""

from __future__ import annotations

from datetime import datetime

from requests_app.domain import link_secrets
from requests_app.models import Installation, Person


def has_staff() -> bool:
    """Return whether there is a staff member. An account that is switched off counts too."""
    return Person.objects.get_queryset().filter(is_staff=True).exists()


def is_mail_tested() -> bool:
    """Return whether a test mail has ever succeeded."""
    return Installation.objects.filter(mail_tested_at__isnull=False).exists()


def is_setup_begun(secret: str, browser: str, *, at: datetime) -> bool:
    """Return whether this link is in use at this time, and this is the secret of the browser that opened it first."""
    if not browser:
        return False
    hashes = {
        "setup_link_hash": link_secrets.hashed(secret),
        "setup_link_owner_hash": link_secrets.hashed(browser),
    }
    return Installation.objects.filter(pk=1, setup_link_expires_at__gt=at, **hashes).exists()


def has_key_copy() -> bool:
    """Return whether an encrypted copy of the log's key was made, and its passphrase was shown."""
    return Installation.objects.exclude(key_copy_hash="").exists()
