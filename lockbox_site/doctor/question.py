"""The doctor's question to a web server of its own installation: what arrives of this call?"""

from __future__ import annotations

from django.core import signing

#: For how many seconds a question is answered, and the purpose of its signature.
_COUNTS_FOR, _SALT = 60, "doctor.seen"


def question() -> str:
    """Return a signed text. Only a process with the same SECRET_KEY answers it."""
    return signing.TimestampSigner(salt=_SALT).sign("seen")


def is_question(text: str) -> bool:
    """Return whether somebody who knows SECRET_KEY has asked this within the last minute."""
    try:
        signing.TimestampSigner(salt=_SALT).unsign(text, max_age=_COUNTS_FOR)
    except signing.BadSignature:
        return False
    return True
