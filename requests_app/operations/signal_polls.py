"""Lets the receiver of a signal stream fetch its events, and acknowledge them (RFC 8936)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.messages import signals
from requests_app.models import OutboxMessage, SignalStream
from requests_app.models.outbox import POLL

log = structlog.get_logger(__name__)

#: How many events one answer contains at most, and how many a call can acknowledge.
MOST_EVENTS, MOST_SETTLED = 100, 1000


@dataclass(frozen=True)
class Fetched:
    """Events that wait, the oldest first. The receiver gets each again until it acknowledges it."""

    rows: list[OutboxMessage]
    has_more: bool


def settle_signals(
    stream: SignalStream, *, acknowledged: Sequence[str], errors: Mapping[str, str], actor: Actor
) -> None:
    """Store what the receiver says about events that it fetched: it has them, or it can't use them.

    This is no act: like the answer of a receiver to which events are sent, it leaves no entry. An unknown id is
    ignored, because the receiver may repeat a call whose answer it did not get.
    """
    with transaction.atomic():
        at = clock.now()
        _settle(stream, acknowledged, state=OutboxMessage.State.DELIVERED, delivered_at=at, last_error="")
        for jti, why in errors.items():
            parked = {"state": OutboxMessage.State.PARKED, "last_error": why[:500]}
            if _settle(stream, [jti], **parked, next_attempt_at=at, attempts=1):
                log.warning("signal.refused", stream=str(stream.pk), jti=jti)
        SignalStream.objects.filter(pk=stream.pk).update(heard_at=at)


def _settle(stream: SignalStream, ids: Sequence[str], **columns: Any) -> int:
    keys = [f"webhook:{stream.pk}:{jti}" for jti in ids]
    rows = OutboxMessage.objects.filter(webhook=stream.pk, lane=POLL, key__in=keys, state=OutboxMessage.State.WAITING)
    return rows.update(claimed_until=None, **columns)


def waiting_signals(stream: SignalStream, most: int) -> Fetched:
    """Return the events that wait for the receiver. A stream that is not enabled gives only those about its status."""
    if most == 0:
        return Fetched([], has_more=False)
    rows = OutboxMessage.objects.filter(webhook=stream.pk, lane=POLL, state=OutboxMessage.State.WAITING)
    if stream.status != SignalStream.Status.ENABLED:
        rows = rows.filter(topic=signals.UPDATED_TOPIC)
    found = list(rows.order_by("created_at", "seq", "pk")[: most + 1])
    return Fetched(found[:most], has_more=len(found) > most)


def with_events(streams: Iterable[UUID]) -> set[UUID]:
    """Return those of these streams for which `waiting_signals` has an event."""
    rows = OutboxMessage.objects.filter(webhook__in=list(streams), lane=POLL, state=OutboxMessage.State.WAITING)
    given = rows.filter(Q(webhook__is_on=True) | Q(topic=signals.UPDATED_TOPIC))
    return set(given.order_by().values_list("webhook", flat=True).distinct())
