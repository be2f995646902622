"""The secret of a link in a mail: made from the row it opens, never stored, never shown in the outbox. Pure.

A mail waits in the outbox, where staff can read it. The link of an invitation makes its reader one of a customer's
people. So the mail holds a mark in place of the secret until the moment when it leaves.
"""

from __future__ import annotations

import base64
import hashlib
from uuid import UUID

from django.utils.crypto import salted_hmac

#: Replaces the secret in everything that is stored. No character of it is escaped in HTML or in an address.
MARK = "THE-SECRET-IS-IN-THE-MAIL-ALONE"


def of(row_id: UUID, sends: int) -> str:
    """Return the secret of this mail; an earlier mail about the same row has another secret."""
    digest = salted_hmac("lockbox.link", f"{row_id}:{sends}", algorithm="sha256").digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def hashed(secret: str) -> str:
    """Return SHA-256 (hex). Only this is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()
