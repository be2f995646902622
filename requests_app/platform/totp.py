"""The codes of authenticator apps: TOTP (RFC 6238) over HMAC-SHA-1, six digits, steps of 30 seconds. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

#: What every app supports. Several ignore other lengths and hashes, which the standard allows.
DIGITS, STEP_SECONDS = 6, 30
#: The codes before and after count too, because phone clocks are seldom exact and typing takes a while.
STEPS_EITHER_WAY = 1


def new_secret() -> str:
    """Return 160 random bits, as RFC 4226 recommends (section 4, R6), in base32 as apps take them."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def step_at(at: datetime) -> int:
    return int(at.timestamp()) // STEP_SECONDS


def oldest_step(at: datetime) -> int:
    """Return the oldest step whose code is accepted at this instant."""
    return step_at(at) - STEPS_EITHER_WAY


def code(secret: str, step: int) -> str:
    """Return the code of one step (RFC 4226, section 5.3)."""
    digest = hmac.new(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1).digest()
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_of(secret: str, typed: str, *, at: datetime, after: int = -1) -> int | None:
    """Return the step of this code; None for a wrong code, or one whose step is not after the last used.

    A code that somebody watched can't be used again (RFC 6238, section 5.2). Every step is compared, so that the time
    tells nothing.
    """
    given = "".join(typed.split())
    now, found = step_at(at), None
    for step in range(now - STEPS_EITHER_WAY, now + STEPS_EITHER_WAY + 1):
        if hmac.compare_digest(code(secret, step).encode(), given.encode()) and step > after:
            found = step
    return found


def seconds_to_next(last: int, *, at: datetime) -> int:
    """Return how long until the app shows a newer code than that of step `last`; 0 if it does already."""
    if step_at(at) > last:
        return 0
    return STEP_SECONDS - int(at.timestamp()) % STEP_SECONDS
