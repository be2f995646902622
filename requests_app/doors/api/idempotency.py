"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a repeated call gets the first call's answer.

A call claims the key's row before its act begins. The act records on this row, in its own transaction, that it was
done. So if the answer is lost, even because the process was killed, a repeated call does not do the act again. If the
process that holds a claim is known to be gone, a repeated call takes the claim over immediately. Otherwise the repeated
call waits for a moment.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpResponse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import Malformed, StoreUnavailable
from requests_app.doors.api.errors import AnswerGone, KeyReused, StillUnderWay
from requests_app.models import IdempotencyKey, Person
from requests_app.platform import holders, outcome
from requests_app.platform.database import bounds
from requests_app.platform.secret_answers import is_secret

#: RFC 8941 defines the key as a quoted string, but most callers send a bare UUID. Both are accepted.
_KEY = re.compile(r'("?)([\x21\x23-\x5b\x5d-\x7e]{1,255})\1')
#: The length of the digest's first part, which identifies the call. The rest identifies the caller's rights.
CALL = 32
#: A claim that is older is taken over, even if its holder may still exist. Behind a connection pooler, nobody can know.
CLAIM = timedelta(seconds=60)
#: For how many seconds a repeated call waits for the first call, and its first and longest pause between two checks.
#: Each pause is twice as long as the one before.
WAIT_SECONDS, FIRST_PAUSE, LONGEST_PAUSE = 2.0, 0.02, 0.25
#: For how many seconds this process tries to release a claim, and the first and longest pause between two tries.
RELEASE_SECONDS, FIRST_RELEASE_PAUSE, LONGEST_RELEASE_PAUSE = 60.0, 0.1, 2.0
#: The longest wait for the turn to write before the caller gets its answer. The call has already waited for one turn.
RELEASE_WAIT_SECONDS = 0.2
#: The headers that are stored with an answer's body.
_HEADERS = ("Content-Type", "ETag", "Location", "WWW-Authenticate")


log = structlog.get_logger(__name__)

_lock = threading.Lock()
_waiting = 0


@dataclass(frozen=True)
class Claimed:
    """The claim of a call that must now do its act."""

    row: IdempotencyKey


@dataclass(frozen=True)
class DoneBefore:
    """The act was done, but its answer was not stored. `row.subject_id` is the row that the act changed."""

    row: IdempotencyKey


def key_of(header: str | None) -> str | None:
    if header is None:
        return None
    found = _KEY.fullmatch(header.strip())
    if found is None:
        raise Malformed(_("An Idempotency-Key must have 1 to 255 visible characters."))
    return found[2]


def digest(method: str, path: str, body: bytes, *, actor: Actor) -> str:
    """Return a digest of the call, followed by a digest of the caller's rights. Each part has 128 bits.

    The digests are keyed, because a body can contain a first password. With a plain hash, anybody could test guesses
    without limit.
    """
    return _half(method.encode(), path.encode(), body) + _half(_standing(actor).encode())


def _half(*parts: bytes) -> str:
    return salted_hmac("lockbox.idempotency", b"\0".join(parts), algorithm="sha256").hexdigest()[:CALL]


def _standing(actor: Actor) -> str:
    """Return the actor's side and all roles as one text."""
    held = [(str(place), sorted(roles)) for place, roles in (actor.tenant_roles | actor.queue_roles).items()]
    return json.dumps([actor.side, actor.is_staff, sorted(held)])


def claim(account: Person, key: str, asked: str) -> Claimed | DoneBefore | HttpResponse:
    """Claim the key for this call. If an earlier call with this key was done, return its answer or its record.

    Raise KeyReused, StillUnderWay or AnswerGone.
    """
    mine = uuid4()
    holders.began(mine)
    try:
        with _patience() as patience:
            found = _claimed(account, key, asked, mine, patience)
    except (DatabaseError, InterfaceError) as error:
        # This act has not begun. Nobody knows what happened to an earlier call with the same key.
        _give_back(mine)
        raise StoreUnavailable(outcome.UNREACHABLE) from error
    except BaseException:
        holders.ended(mine)
        raise
    if not isinstance(found, Claimed):
        holders.ended(mine)
    return found


def _claimed(
    account: Person, key: str, asked: str, mine: UUID, patience: Iterator[None]
) -> Claimed | DoneBefore | HttpResponse:
    until = clock.monotonic() + WAIT_SECONDS
    take = partial(operations.claim_key, account, key=key, asked=asked, claim=mine, claim_for=CLAIM)
    while True:
        row = IdempotencyKey.objects.filter(account=account, key=key).first()
        if row is None:
            take(holder=holders.current())
            continue
        if row.claim == mine:
            return Claimed(row)
        if row.asked[:CALL] != asked[:CALL]:
            raise KeyReused(field="Idempotency-Key")
        is_done = row.status is not None or row.done_at is not None
        if row.asked != asked and is_done:
            if row.done_at is None and row.status is not None and row.status >= 400:
                words = _(
                    "Your call with this Idempotency-Key was refused, and your roles have changed since. "
                    "Send another key."
                )
                raise KeyReused(words, field="Idempotency-Key")
            # The earlier answer may contain more than this caller is allowed to read now.
            raise AnswerGone(
                _("This call was already done. Its answer is not sent again, because your roles have changed since.")
            )
        if row.status is not None:
            return _stored_answer(row)
        is_left = row.claimed_until <= clock.now() or holders.is_gone(row.holder, row.claim)
        if is_left and is_done:
            if IdempotencyKey.objects.filter(pk=row.pk, claim=row.claim, status=None).exists():
                return DoneBefore(row)
            # The call has stored its answer and ended since the row was read.
            continue
        if is_left:
            take(holder=holders.current(), left=row)
            continue
        if clock.monotonic() >= until:
            raise StillUnderWay
        next(patience)


@contextmanager
def _patience() -> Iterator[Iterator[None]]:
    """Yield an iterator that waits for a moment at each step.

    At most a quarter of the web threads can wait, so that other calls are not delayed. If too many threads already
    wait, the first step raises StillUnderWay.
    """
    pauses = _pauses()
    try:
        yield pauses
    finally:
        pauses.close()  # type: ignore[attr-defined]  # a generator


def _pauses() -> Iterator[None]:
    global _waiting
    with _lock:
        if _waiting >= max(1, settings.WEB_THREADS // 4):
            raise StillUnderWay
        _waiting += 1
    try:
        pause = FIRST_PAUSE
        while True:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            yield
    finally:
        with _lock:
            _waiting -= 1


def keep(row: IdempotencyKey, response: Any) -> None:
    """Store the answer for repeated calls. After a server error or a 429, release the key for the next try instead.

    If the answer can't be stored, the caller still gets it, because the act was done. A repeated call then gets the row
    that the act changed, as it is at that time.
    """
    if response.status_code >= 500 or response.status_code == 429:
        release(row)
        return
    headers = {name: response[name] for name in _HEADERS if response.has_header(name)}
    try:
        operations.keep_answer(
            row.claim,
            status=response.status_code,
            headers=headers,
            body=None if is_secret(response) else bytes(response.content),
        )
    except (DatabaseError, InterfaceError) as error:
        log.warning("idempotency.answer_not_kept", error=type(error).__name__)
        release(row)
    else:
        holders.ended(row.claim)


def _stored_answer(row: IdempotencyKey) -> HttpResponse:
    if row.body is None:
        raise AnswerGone(
            _(
                "This call was already done. Its answer contained a secret, which is shown only once. If you don’t "
                "have the secret, make a new one."
            ),
            current={"subject_type": row.subject_type, "subject_id": row.subject_id},
        )
    assert row.status is not None
    response = HttpResponse(bytes(row.body), status=row.status, headers=row.headers)
    response["Idempotency-Replayed"] = "true"
    return response


def gone(row: IdempotencyKey) -> AnswerGone:
    return AnswerGone(current={"subject_type": row.subject_type, "subject_id": row.subject_id})


def release(row: IdempotencyKey) -> None:
    """Give up this call's claim, so that the next try can claim the key. Do nothing if the answer is stored.

    If the act was done, the record of this stays.
    """
    _give_back(row.claim)


def _give_back(claim: UUID) -> None:
    if not holders.ended(claim):
        return
    try:
        with bounds.within(replace(bounds.current(), write=RELEASE_WAIT_SECONDS)):
            operations.release_key(claim)
    except (DatabaseError, InterfaceError) as error:
        log.warning("idempotency.release_failed", error=type(error).__name__)
        _left.add(claim)


class _Left:
    """Claims that could not be released. While there are such claims, one thread tries to release them.

    Without this, other processes can't know that this process has finished with the keys. All claims share the
    thread: if a database can be read but not written, there may be thousands of claims, and each thread has its
    own connection.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[UUID, float] = {}
        self._is_running = False

    def add(self, claim: UUID) -> None:
        with self._lock:
            self._until[claim] = clock.monotonic() + RELEASE_SECONDS
            if not self._is_running:
                threading.Thread(target=self._run, name="release", daemon=True).start()
                self._is_running = True

    def _run(self) -> None:
        pause = FIRST_RELEASE_PAUSE
        try:
            while claims := self._still_left():
                time.sleep(pause)
                pause = FIRST_RELEASE_PAUSE if self._released(claims) else min(2 * pause, LONGEST_RELEASE_PAUSE)
        except BaseException:
            # This is a bug. The next claim starts another thread.
            with self._lock:
                self._is_running = False
            raise

    def _still_left(self) -> list[UUID]:
        """Forget the claims that are too old, and return the others. If there are no others, the thread ends."""
        with self._lock:
            self._until = {claim: until for claim, until in self._until.items() if clock.monotonic() < until}
            self._is_running = bool(self._until)
            return list(self._until)

    def _released(self, claims: list[UUID]) -> bool:
        """Release the claims one by one. Return False as soon as the database fails."""
        try:
            for claim in claims:
                operations.release_key(claim)
                with self._lock:
                    self._until.pop(claim, None)
        except (DatabaseError, InterfaceError):
            return False
        finally:
            connection.close()
        return True


_left = _Left()
