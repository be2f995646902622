"""Makes the secret of a link in a mail from the row that the link opens. Pure.

The secret is never stored and never shown in the outbox: staff can read a mail that waits there, and the link of an
invitation makes its reader one of a customer's people. So a stored mail has a mark in place of the secret. The secret
replaces the mark when the mail is sent.
"""

from __future__ import annotations

import base64
import hashlib
from uuid import UUID

from django.utils.crypto import salted_hmac

#: Replaces the secret in everything that is stored. HTML and addresses contain it without escaping.
MARK = "THE-SECRET-IS-IN-THE-MAIL-ALONE"


def of(row_id: UUID, sends: int) -> str:
    """Return the secret for one mail. Each mail about the same row has another secret."""
    digest = salted_hmac("lockbox.link", f"{row_id}:{sends}", algorithm="sha256").digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def hashed(secret: str) -> str:
    """Return the SHA-256 hash (hex). Only this hash is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()
