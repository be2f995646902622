"""Names certificates for people."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(certificate: str) -> str:
    """Return the SHA-256 hash of a certificate (DER in base64), in hex, as identity providers show it."""
    return hashlib.sha256(base64.b64decode(certificate)).hexdigest().upper()
