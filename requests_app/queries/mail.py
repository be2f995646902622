"""Reads whether mails fail at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from requests_app.models import OutboxMessage
from requests_app.models.outbox import MAIL
from requests_app.platform.database.compiled import CompiledQuery

#: Up to this number, failing mails are counted.
MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class Failing:
    """The mails that were tried, were not accepted, and will be tried again.

    `since` is when the oldest of them was written, and `reason` is the last failure of the one that is tried next.
    `is_all` says whether the mail server has accepted no mail that was written since.
    """

    n: int
    since: datetime
    reason: str
    is_all: bool


def failing() -> Failing | None:
    """Return the mails that fail at the moment. Return None if none does."""
    following = [error for (error,) in _FOLLOWING()]
    if not following:
        return None
    rows = _rows()
    since = rows.order_by("created_at").values_list("created_at", flat=True).first()
    if since is None:
        return None
    later = OutboxMessage.objects.filter(created_at__gte=since, lane=MAIL, state=OutboxMessage.State.DELIVERED)
    return Failing(
        n=rows.order_by().values_list("pk")[:MOST].count(), since=since, reason=following[0], is_all=not later.exists()
    )


def _rows() -> Any:
    return OutboxMessage.objects.filter(lane=MAIL, state=OutboxMessage.State.WAITING).exclude(last_error="")


_FOLLOWING = CompiledQuery(lambda: _rows().order_by("next_attempt_at").values_list("last_error")[:1])
