"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the same call again gets the same answer.

The key's row is claimed before the act begins. The act itself notes there, in its own transaction, that it was done;
so a call that is repeated because nobody heard the answer, even one whose process was killed in between, is done once.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from requests_app import clock, operations
from requests_app.actors import Actor
from requests_app.api.errors import AnswerGone, KeyReused, StillUnderWay
from requests_app.errors import Malformed
from requests_app.models import IdempotencyKey, Person

#: RFC 8941 calls it a string; what most callers send is a bare UUID. Both are taken.
_KEY = re.compile(r'"?[\x21\x23-\x5b\x5d-\x7e]{1,255}"?')
#: Of what is kept about a call, so much says what was asked; the rest says how the caller stood.
CALL = 32
#: Whoever holds the key longer than this is taken for dead.
CLAIM = timedelta(seconds=60)
#: How long the same call waits for the first one, and how often it looks.
WAIT_SECONDS, LOOK_SECONDS = 10.0, 0.05
#: What of an answer is kept beside its body.
_HEADERS = ("Content-Type", "ETag", "Location", "WWW-Authenticate")


@dataclass(frozen=True)
class Claimed:
    """This call does it."""

    row: IdempotencyKey


@dataclass(frozen=True)
class DoneBefore:
    """It was done, and the answer was not kept: the caller's process died. `subject_id` is what it was done to."""

    row: IdempotencyKey


def key_of(header: str | None) -> str | None:
    if header is None:
        return None
    key = header.strip()
    if not _KEY.fullmatch(key):
        raise Malformed(_("An Idempotency-Key has 1 to 255 visible characters."))
    return key.strip('"') or None


def digest(method: str, path: str, body: bytes, *, actor: Actor) -> str:
    """What was asked, and by somebody who stood how: two halves of 128 bits.

    Keyed, for a body may hold somebody's first password, and a bare hash of one can be guessed at leisure.
    """
    return _half(method.encode(), path.encode(), body) + _half(_standing(actor).encode())


def _half(*parts: bytes) -> str:
    return salted_hmac("lockbox.idempotency", b"\0".join(parts), algorithm="sha256").hexdigest()[:CALL]


def _standing(actor: Actor) -> str:
    """The side and every role, as one text."""
    held = [(str(place), sorted(roles)) for place, roles in (actor.tenant_roles | actor.queue_roles).items()]
    return json.dumps([actor.side, actor.is_staff, sorted(held)])


def claim(account: Person, key: str, asked: str) -> Claimed | DoneBefore | HttpResponse:
    """Take the key, or return the answer that it got before. Raises KeyReused, StillUnderWay, AnswerGone."""
    until = clock.monotonic() + WAIT_SECONDS
    while True:
        row = operations.claim_key(account, key=key, asked=asked, call=asked[:CALL], claim_for=CLAIM)
        if row is not None:
            return Claimed(row)
        found = IdempotencyKey.objects.filter(account=account, key=key).first()
        if found is None:
            continue  # let go meanwhile
        if found.asked[:CALL] != asked[:CALL]:
            raise KeyReused(field="Idempotency-Key")
        is_done = found.status is not None or found.done_at is not None
        if found.asked != asked and is_done:
            # What was answered then may be more than this caller may know now.
            raise AnswerGone(_("This was done before, when you held other roles."))
        if found.status is not None:
            return _kept(found)
        if found.done_at is not None and found.claimed_until <= clock.now():
            return DoneBefore(found)
        if clock.monotonic() >= until:
            raise StillUnderWay
        time.sleep(LOOK_SECONDS)


def keep(row: IdempotencyKey, response: Any) -> None:
    """Keep the answer. A failure is nobody's answer, and lets the key go for the next try; so does a wait."""
    if response.status_code >= 500 or response.status_code == 429:
        operations.release_key(row)
        return
    is_secret = getattr(response, "is_secret", False)
    headers = {name: response[name] for name in _HEADERS if response.has_header(name)}
    operations.keep_answer(
        row, status=response.status_code, headers=headers, body=None if is_secret else bytes(response.content)
    )


def _kept(row: IdempotencyKey) -> HttpResponse:
    if row.body is None:
        raise AnswerGone(
            _("This was done before. Its answer held a secret, which is given once."),
            current={"subject_type": row.subject_type, "subject_id": row.subject_id},
        )
    assert row.status is not None
    response = HttpResponse(bytes(row.body), status=row.status, headers=row.headers)
    response["Idempotency-Replayed"] = "true"
    return response


def gone(row: IdempotencyKey) -> AnswerGone:
    return AnswerGone(current={"subject_type": row.subject_type, "subject_id": row.subject_id})


def release(row: IdempotencyKey) -> None:
    operations.release_key(row)
