"""What a passkey is asked to answer where nothing is signed: it says by itself for whom, for what and until when.

Random bytes, the end of its time, and a MAC over these, its purpose and whom it is for. So nothing is kept of one that
nobody answers, a page may stand open in two windows, and who is not signed in gets no session by asking.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import struct
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.utils.crypto import salted_hmac

from requests_app.domain import base64url
from requests_app.domain.errors import PasskeyTooLate, PasskeyUnreadable
from requests_app.models import Tries

_SALT = 16
_HEAD = _SALT + struct.calcsize(">q")


class Purpose(StrEnum):
    ENROL = "enrol"
    APPROVAL_PAGE = "approval-page"
    SIGN_IN = "sign-in"
    SECOND_FACTOR = "second-factor"
    STEP_UP = "step-up"


#: Whoever adds a key types a name before, and may be asked for more proof in between.
_GOOD_FOR = {Purpose.ENROL: timedelta(minutes=15)}
GOOD_FOR = timedelta(minutes=5)


def issue(purpose: Purpose, *about: UUID, at: datetime) -> bytes:
    until = at + _GOOD_FOR.get(purpose, GOOD_FOR)
    return _made(purpose, about, secrets.token_bytes(_SALT) + struct.pack(">q", int(until.timestamp())))


def read(response: object, purpose: Purpose, *about: UUID, at: datetime) -> bytes:
    """The challenge in an answer, if it was made here for just this and is still good.

    Raises PasskeyUnreadable, or PasskeyTooLate for one that is not.
    """
    try:
        client = json.loads(base64url.from_text(response["response"]["clientDataJSON"]))  # type: ignore[index]  # what is no mapping raises below
        said = base64url.from_text(client["challenge"])
        [until] = struct.unpack(">q", said[_SALT:_HEAD])
    except (KeyError, TypeError, ValueError, RecursionError, struct.error) as error:
        raise PasskeyUnreadable from error
    if not hmac.compare_digest(said, _made(purpose, about, said[:_HEAD])) or until <= at.timestamp():
        raise PasskeyTooLate
    return said


def spend(challenge: bytes, *, at: datetime) -> None:
    """Let an answer that holds count once. Raises PasskeyTooLate for the second, also of two at once.

    What is noted here is forgotten with old tries, long after the challenge has ended.
    """
    subject = f"challenge:{hashlib.sha256(challenge).hexdigest()[:48]}"
    _row, is_first = Tries.objects.get_or_create(subject=subject, defaults={"since": at, "count": 1})
    if not is_first:
        raise PasskeyTooLate


def _made(purpose: Purpose, about: tuple[UUID, ...], head: bytes) -> bytes:
    text = b"\n".join([purpose.encode(), *(each.bytes for each in about), head])
    return head + salted_hmac("requests_app.challenges", text, algorithm="sha256").digest()
