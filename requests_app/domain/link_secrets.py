"""Computes the secret in a mail's link. It is computed from the row that the link opens. Pure.

The secret is never stored and never shown in the outbox. Staff can read a mail that waits in the outbox,
and with the link of an invitation anybody can become one of a customer's people. So a stored mail contains
a mark in place of the secret. When the mail is sent, the secret replaces the mark.
"""

from __future__ import annotations

import base64
import hashlib
from uuid import UUID

from django.utils.crypto import salted_hmac

#: Replaces the secret in everything that is stored. HTML and addresses contain it without escaping.
MARK = "THE-SECRET-IS-IN-THE-MAIL-ALONE"


def of(row_id: UUID, sends: int) -> str:
    """Return the secret for one mail. If several mails are sent about one row, each has another secret."""
    digest = salted_hmac("lockbox.link", f"{row_id}:{sends}", algorithm="sha256").digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def hashed(secret: str) -> str:
    """Return the SHA-256 hash of a secret, in hex. Only this hash is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()
