"""Finds signal streams whose events do not reach the receiver, and has an alarm written about each of them, once."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db.models import Exists, OuterRef, Q

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError
from requests_app.models import OutboxMessage, SignalStream
from requests_app.models.outbox import POLL

log = structlog.get_logger(__name__)

#: How long a receiver can fail, and how long it can leave an event unfetched, before people get a mail.
FAILS_FOR, UNFETCHED_FOR = timedelta(minutes=5), timedelta(minutes=15)
MOST = 50


def work() -> int:
    """Report the streams that fail. Return how many were reported."""
    at, done = clock.now(), 0
    mine = OutboxMessage.objects.filter(webhook=OuterRef("pk"))
    unfetched = mine.filter(lane=POLL, state=OutboxMessage.State.WAITING, created_at__lte=at - UNFETCHED_FOR)
    refused = mine.filter(state=OutboxMessage.State.PARKED, next_attempt_at__gt=at - FAILS_FOR, attempts__gt=0)
    fails = Q(webhook__failing_since__lte=at - FAILS_FOR) | Exists(unfetched) | Exists(refused)
    streams = SignalStream.objects.present().unreported(at).filter(fails, status=SignalStream.Status.ENABLED)
    for pk in streams.order_by("pk").values_list("pk", flat=True)[:MOST]:
        try:
            operations.report_failing_stream(pk, actor=Actor.system("webhooks"))
            done += 1
        except DomainError as refusal:
            # It was deleted or reported in the meantime.
            log.debug("stream_not_reported", stream=str(pk), code=refusal.code)
    return done
