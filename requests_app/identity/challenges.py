"""Challenges that passkeys sign, except those of signed decisions.

A challenge expires, and is valid for one purpose. It has random bytes, the time at which it expires, and a
MAC. The MAC covers the bytes, the time, the purpose and the person. Because the MAC proves that the
challenge is genuine, nothing is stored when it is issued. So a page can be open in two windows, and a
visitor who is not signed in needs no session.
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


#: To add a key takes longer: the person enters a name, and may have to confirm their identity in between.
_GOOD_FOR = {Purpose.ENROL: timedelta(minutes=15)}
GOOD_FOR = timedelta(minutes=5)


def issue(purpose: Purpose, *about: UUID, at: datetime) -> bytes:
    until = at + _GOOD_FOR.get(purpose, GOOD_FOR)
    return _made(purpose, about, secrets.token_bytes(_SALT) + struct.pack(">q", int(until.timestamp())))


def read(response: object, purpose: Purpose, *about: UUID, at: datetime) -> bytes:
    """Return the challenge in a passkey's answer. Raise PasskeyUnreadable for a malformed answer.

    Raise PasskeyTooLate if the challenge has expired, or was not issued for this purpose and these ids.
    """
    try:
        client = json.loads(base64url.from_text(response["response"]["clientDataJSON"]))  # type: ignore[index]  # what is no mapping raises below
        sent = base64url.from_text(client["challenge"])
        [until] = struct.unpack(">q", sent[_SALT:_HEAD])
    except (KeyError, TypeError, ValueError, RecursionError, struct.error) as error:
        raise PasskeyUnreadable from error
    if not hmac.compare_digest(sent, _made(purpose, about, sent[:_HEAD])) or until <= at.timestamp():
        raise PasskeyTooLate
    return sent


def spend(challenge: bytes, *, at: datetime) -> None:
    """Mark a challenge as used. Raise PasskeyTooLate if it was used before.

    If two answers arrive at the same time, only one of them is accepted. The mark is a row of Tries. It is
    deleted long after the challenge has expired, as all old rows of this table are.
    """
    subject = f"challenge:{hashlib.sha256(challenge).hexdigest()[:48]}"
    _row, is_first = Tries.objects.get_or_create(subject=subject, defaults={"since": at, "count": 1})
    if not is_first:
        raise PasskeyTooLate


def _made(purpose: Purpose, about: tuple[UUID, ...], head: bytes) -> bytes:
    text = b"\n".join([purpose.encode(), *(each.bytes for each in about), head])
    return head + salted_hmac("requests_app.challenges", text, algorithm="sha256").digest()
