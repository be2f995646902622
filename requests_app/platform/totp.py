"""Makes and checks the codes of authenticator apps: TOTP (RFC 6238) with HMAC-SHA-1, 6 digits and steps of 30 seconds.

The functions are pure, except that `new_secret` returns random bits.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

#: All apps support these values. The standard allows other lengths and hashes, but several apps ignore them.
DIGITS, STEP_SECONDS = 6, 30
#: One code before and one code after the present one are accepted: phone clocks are not exact, and typing takes time.
STEPS_EITHER_WAY = 1


def new_secret() -> str:
    """Return 160 random bits (RFC 4226, section 4, R6) in base32, the encoding that apps accept."""
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
    """Return the step to which this code belongs. Return None if the code is wrong or its step is not after `after`.

    `after` is the step of the code that was used last. So nobody can use a code again that they watched somebody type
    (RFC 6238, section 5.2). The code is compared with every step, so that the time of the comparison reveals nothing.
    """
    given = "".join(typed.split())
    now, found = step_at(at), None
    for step in range(now - STEPS_EITHER_WAY, now + STEPS_EITHER_WAY + 1):
        if hmac.compare_digest(code(secret, step).encode(), given.encode()) and step > after:
            found = step
    return found


def seconds_to_next(last: int, *, at: datetime) -> int:
    """Return the seconds until the app shows a newer code than that of the step `last`. Return 0 if it already does."""
    if step_at(at) > last:
        return 0
    return STEP_SECONDS - int(at.timestamp()) % STEP_SECONDS
