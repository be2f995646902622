"""Deletes the texts of mails that were sent long ago, which would be most of a database after some years."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from requests_app.domain import clock, limits
from requests_app.models import OutboxMessage
from requests_app.models.outbox import MAIL

#: Only mails of these days are searched, because no index knows which mails still have their text.
SEARCHED = timedelta(days=60)
BATCH = 500


def forget(is_over: Callable[[], bool]) -> int:
    """Delete the texts of old mails until none is left or `is_over` returns True. Return how many.

    The rows stay: they say who got which message, and when. A mail that waits or is parked keeps its text, because it
    can still be sent.
    """
    latest = clock.now() - limits.MAIL_STORED_FOR
    old = OutboxMessage.objects.filter(
        lane=MAIL,
        state=OutboxMessage.State.DELIVERED,
        rendered__isnull=False,
        created_at__lt=latest,
        created_at__gte=latest - SEARCHED,
    )
    done = 0
    while not is_over():
        batch = list(old.order_by("-created_at").values_list("pk", flat=True)[:BATCH])
        if not batch:
            break
        done += OutboxMessage.objects.filter(pk__in=batch).update(rendered=None)
    return done
