"""The rules of a one-time code that need no database: its lifetime, and its proof key (RFC 7636). Pure."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta

from requests_app.domain import base64url

VALID_FOR = timedelta(seconds=60)
#: How many codes one person can get in a minute. Each is a row, and a page of another site can ask for one.
MOST_A_MINUTE = 20
#: The only method of RFC 7636 that is accepted. With "plain", the challenge in the address would be the proof.
METHOD = "S256"

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def is_challenge(text: str) -> bool:
    """Return whether this text can be the challenge of a verifier: a SHA-256 hash in base64url."""
    return _CHALLENGE.fullmatch(text) is not None


def is_verifier(text: str) -> bool:
    """Return whether this text has the form of a verifier (RFC 7636, section 4.1)."""
    return _VERIFIER.fullmatch(text) is not None


def challenge_of(verifier: str) -> str:
    return base64url.to_text(hashlib.sha256(verifier.encode()).digest())


def is_answered(challenge: str, verifier: str) -> bool:
    """Return whether this verifier belongs to the challenge."""
    return is_verifier(verifier) and secrets.compare_digest(challenge, challenge_of(verifier))
