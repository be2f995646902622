"""Gives a question that a caller sends again, because an answer was lost, the number of the entry that is there."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import astuple
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError

from requests_app.domain import clock
from requests_app.models import IdempotencyKey
from requests_app.operations._waiting_questions import OpenQuestion

_log = structlog.get_logger(__name__)

#: How long a repeated question of the same call gets the number of the same entry.
REPEATS_FOR = timedelta(seconds=60)
#: After how many of such numbers the old ones are deleted.
FORGET_EACH = 200


class Repeats:
    """The entries about the same questions of the same calls, which a caller may send again when an answer is lost.

    The question is always judged again. If the answer is the same, it has the number of the first entry. A caller's own
    Idempotency-Key never has a space, so no caller can write or read these keys.
    """

    def __init__(self, group: list[OpenQuestion]) -> None:
        self._key_of = {id(each): self._key(each) for each in group if each.asked.repeat_id}
        self._stored: dict[tuple[UUID, str], IdempotencyKey] | None = None
        self._new: dict[tuple[UUID, str], tuple[str, OpenQuestion]] = {}

    @staticmethod
    def _key(each: OpenQuestion) -> tuple[UUID, str]:
        text = json.dumps([each.asked.repeat_id, *astuple(each.question)])
        return each.query.asker, f"access {hashlib.sha256(text.encode()).hexdigest()}"

    def knows(self, each: OpenQuestion) -> bool:
        """Return whether there is an entry with the same answer. Then give its number to the question.

        Call it when the head of the log is locked, so that no other transaction writes such an entry meanwhile.
        """
        key = self._key_of.get(id(each))
        if key is None:
            return False
        assert each.verdict is not None
        answer = _answer_of(each)
        if key in self._new:
            before, first = self._new[key]
            each.entry = first.entry if before == answer else None
            return before == answer
        row = self._rows().get(key)
        if row is None or row.asked != answer or each.verdict.at - row.begun_at >= REPEATS_FOR:
            return False
        each.earlier = int(row.subject_id)
        return True

    def _rows(self) -> dict[tuple[UUID, str], IdempotencyKey]:
        if self._stored is None:
            accounts, keys = zip(*self._key_of.values(), strict=True)
            rows = IdempotencyKey.objects.filter(account__in=set(accounts), key__in=set(keys))
            self._stored = {(row.account_id, row.key): row for row in rows}
        return self._stored

    def note(self, each: OpenQuestion) -> None:
        key = self._key_of.get(id(each))
        if key is not None:
            self._new[key] = _answer_of(each), each

    def keep(self) -> None:
        """Store the numbers of the new entries, in the transaction that writes them."""
        if not self._new:
            return
        rows = [
            _stored_row(*key, answer, each) for key, (answer, each) in sorted(self._new.items(), key=lambda new: new[0])
        ]
        IdempotencyKey.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["account", "key"], update_fields=_RENEWED
        )
        FORGETTING.note(len(rows))


_RENEWED = ["asked", "begun_at", "claimed_until", "done_at", "subject_id"]
_OF_ENTRIES = "entry"


def _stored_row(account_id: UUID, key: str, answer: str, each: OpenQuestion) -> IdempotencyKey:
    assert each.verdict is not None
    at = each.verdict.at
    return IdempotencyKey(
        account_id=account_id,
        key=key,
        asked=answer,
        begun_at=at,
        claimed_until=at,
        done_at=at,
        subject_type=_OF_ENTRIES,
        subject_id=str(each.verdict.entry),
    )


def _answer_of(each: OpenQuestion) -> str:
    """Return a digest of what the entry says about the answer."""
    assert each.verdict is not None
    verdict, ended = each.verdict, each.verdict.ended
    parts = [verdict.decision, verdict.reason, *each.about, str(verdict.closes_at), ended and str(ended.grant_id)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class _Forgetting:
    """Deletes the numbers of entries that are too old for a repeated call, a part after each portion."""

    def __init__(self) -> None:
        self._lock, self._written = threading.Lock(), 0

    def note(self, number: int) -> None:
        with self._lock:
            self._written += number

    def forget(self) -> None:
        """Delete up to twice as many as were written since the last time. So they never become more.

        The database's clock decides, which has also written `begun_at`. The clock of this host may be wrong.
        """
        with self._lock:
            if self._written < FORGET_EACH:
                return
            written, self._written = self._written, 0
        try:
            before = clock.now() - REPEATS_FOR
            old = IdempotencyKey.objects.filter(subject_type=_OF_ENTRIES, begun_at__lt=before)
            IdempotencyKey.objects.filter(pk__in=list(old.values_list("pk", flat=True)[: 2 * written])).delete()
        except (DatabaseError, InterfaceError) as error:
            # All callers have their answers. The next portion deletes these too.
            self.note(written)
            _log.warning("old_numbers_not_deleted", error=type(error).__name__)


FORGETTING = _Forgetting()
