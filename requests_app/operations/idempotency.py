"""Stores idempotency keys: each belongs to one call, and the answer of the call is stored with it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from requests_app.domain import clock
from requests_app.models import IdempotencyKey, Person


def claim_key(
    account: Person,
    *,
    key: str,
    asked: str,
    claim: UUID,
    holder: str,
    claim_for: timedelta,
    left: IdempotencyKey | None = None,
) -> None:
    """Claim an idempotency key for one call. With `left`, take it over from a call that gave up and did nothing.

    If another call was faster, no error is raised. Read the row to learn which call has the key now.
    """
    at = clock.now()
    mine = {"claim": claim, "holder": holder, "asked": asked, "claimed_until": at + claim_for}
    if left is not None:
        # If the former call is still running, this statement waits for it, and then changes nothing, because its act is
        # done.
        IdempotencyKey.objects.filter(claim=left.claim, status=None, done_at=None).update(**mine)
        return
    row = IdempotencyKey(account=account, key=key, begun_at=at, **mine)
    # If the row exists, no error is raised: hundreds of equal calls would fill the log of the database.
    IdempotencyKey.objects.bulk_create([row], ignore_conflicts=True)


def keep_answer(claim: UUID, *, status: int, headers: dict[str, str], body: bytes | None) -> None:
    mine = IdempotencyKey.objects.filter(claim=claim)
    mine.update(status=status, headers=headers, body=body)


def release_key(claim: UUID) -> None:
    """Delete the claim's idempotency key, unless its act is committed.

    If only the answer is missing, keep the key, but make no call wait for it.
    """
    mine = IdempotencyKey.objects.filter(claim=claim)
    mine.filter(done_at=None).delete()
    mine.filter(status=None).update(claimed_until=clock.now())
