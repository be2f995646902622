"""Turns new log entries into webhook messages. All events are read from the logs, so none can be forgotten.

The operations know nothing of webhooks. A webhook has a cursor for each log, with the number of the next entry. Entries
that the webhook wants become rows of the outbox, and the same transaction moves the cursor. The events of a signal
stream and the callbacks to a client are made in the same way. The events of streams are made by another process: each
function here works for streams alone, or for all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, transaction
from django.db.models import BooleanField, Exists, OuterRef, QuerySet

from audit_app import periods
from audit_app.models import AuditEntry, ChainHead
from requests_app.domain import clock
from requests_app.domain.ids import id_by_time
from requests_app.messages import callbacks, signals
from requests_app.messages.webhooks import messages
from requests_app.models import OutboxMessage, SignalStream, Webhook, WebhookCursor
from requests_app.models.outbox import POLL, SIGNAL
from requests_app.operations._receivers import outbox_row
from requests_app.platform.database.compiled import Asked, CompiledQuery, counts

logger = structlog.get_logger(__name__)

#: How many entries are read in one transaction.
BATCH = 500
#: How many messages can wait for one webhook in the outbox. If there are more, later entries wait in the log, except
#: those that end access.
MOST_WAITING = 10_000


def has_news(*, of_streams: bool = False) -> bool:
    """Return whether a log has entries that some receiver's cursor has not passed."""
    return any(counts(news(of_streams=of_streams), most=1))


def news(*, of_streams: bool = False) -> list[Asked]:
    """Return the queries that find something if `has_news`."""
    return [(query, {"of_streams": of_streams}) for query in (_ONE_MOVED, _ONE_UNKNOWN)]


def work(until: float, *, of_streams: bool = False) -> int:
    """Process up to BATCH new entries of each log for each receiver. Return how many messages were made.

    Stop at `until` on the monotonic clock. A log with many new entries does not delay the other logs, and logs in which
    a window has ended come first.
    """
    made = _follow(until, of_streams)
    has_begun = False
    # A new receiver of the provider needs a cursor in the log of each tenant. The other receivers do not wait for that.
    for webhook_id, pairs in groupby(_unknown(of_streams), key=itemgetter(0)):
        log_ids = [log_id for _webhook, log_id in pairs]
        for first in range(0, len(log_ids), BATCH):
            if clock.monotonic() >= until:
                return made
            _begin(webhook_id, log_ids[first : first + BATCH])
            has_begun = True
    return made + _follow(until, of_streams) if has_begun else made


def _follow(until: float, of_streams: bool) -> int:
    made = 0
    for cursor_id, webhook_id in _MOVED(of_streams=of_streams):
        if clock.monotonic() >= until:
            break
        made += _step(cursor_id, only_endings=_is_full(webhook_id))
    return made


def _moved(of_streams: Any) -> QuerySet[WebhookCursor]:
    """Return the cursors of active receivers that are not at the end of their log.

    A cursor can be beyond the end: then a backup was restored.
    """
    other = ChainHead.objects.filter(pk=OuterRef("log_id")).exclude(size=OuterRef("next_seq"))
    hearing = WebhookCursor.objects.filter(webhook__is_on=True, webhook__removed_at=None)
    return hearing.filter(Exists(other), webhook__is_of_stream=of_streams)


def _in_turn(of_streams: Any) -> QuerySet[WebhookCursor, tuple[int, UUID]]:
    ended = AuditEntry.objects.filter(
        tenant_id=OuterRef("log_id"), seq__gte=OuterRef("next_seq"), event__in=messages.ENDING
    )
    return _moved(of_streams).order_by(Exists(ended).desc(), "pk").values_list("pk", "webhook_id")


def _of_the_provider(of_streams: Any) -> QuerySet[Webhook, UUID]:
    found = Webhook.objects.receivers().filter(tenant=None, is_on=True, is_of_stream=of_streams)
    return found.values_list("pk", flat=True)


#: Each drain runs these several times, and mostly they find nothing.
_MOVED = CompiledQuery(_in_turn, of_streams=BooleanField())
_ONE_MOVED = CompiledQuery(
    lambda of_streams: _moved(of_streams).values_list("pk", flat=True)[:1], of_streams=BooleanField()
)
_OF_THE_PROVIDER = CompiledQuery(_of_the_provider, of_streams=BooleanField())
_ONE_UNKNOWN = CompiledQuery(
    lambda of_streams: _of_the_provider(of_streams).filter(Exists(_without_cursor(OuterRef(OuterRef("pk")))))[:1],
    of_streams=BooleanField(),
)


def _unknown(of_streams: bool) -> Iterator[tuple[UUID, UUID]]:
    """Yield (webhook, log) for each missing cursor: the provider's receivers must have a cursor in every log."""
    for webhook_id in _OF_THE_PROVIDER(of_streams=of_streams):
        for log_id in _without_cursor(webhook_id).order_by("pk").values_list("pk", flat=True):
            yield webhook_id, log_id


def _without_cursor(webhook_id: Any) -> QuerySet[ChainHead]:
    """Return the logs in which this receiver has no cursor."""
    return ChainHead.objects.filter(~Exists(WebhookCursor.objects.filter(webhook=webhook_id, log_id=OuterRef("pk"))))


def _begin(webhook_id: UUID, log_ids: Sequence[UUID]) -> None:
    """Create a webhook's cursors in these logs. Each begins at the first entry since the webhook was added."""
    with transaction.atomic(durable=True):
        from_at = Webhook.objects.values_list("from_at", flat=True).get(pk=webhook_id)
        places = [
            WebhookCursor(webhook_id=webhook_id, log_id=log_id, next_seq=seq)
            for log_id, seq in periods.firsts_since(log_ids, from_at).items()
        ]
        WebhookCursor.objects.bulk_create(places, ignore_conflicts=True)


def _step(cursor_id: int, *, only_endings: bool) -> int:
    """Process the next entries of one log for one webhook. Do nothing if another worker does this already.

    Return how many entries were processed.

    With `only_endings`, write only the messages that end access, and leave the cursor where it is. The other entries
    then wait.
    """
    with transaction.atomic(durable=True):
        places = WebhookCursor.objects.select_related("webhook").filter(pk=cursor_id)
        place = places.select_for_update(of=("self",), skip_locked=True).first() if _locks() else places.first()
        if place is None or not place.webhook.is_on:
            return 0
        # Read the size before the entries, so that all entries below it are committed.
        size = ChainHead.objects.values_list("size", flat=True).get(pk=place.log_id)
        if size == place.next_seq:
            return 0
        if size < place.next_seq:
            logger.warning("webhook_log_moved_back", log=str(place.log_id), was=place.next_seq, now=size)
            WebhookCursor.objects.filter(pk=cursor_id).update(next_seq=size)
            return 0
        if only_endings:
            return _write(place, _wanted(place, size, only=messages.ENDING))
        found = _wanted(place, size)
        _write(place, found)
        end = found[-1].seq + 1 if len(found) == BATCH else size
        WebhookCursor.objects.filter(pk=cursor_id).update(next_seq=end)
        return len(found)


def _wanted(place: WebhookCursor, size: int, only: frozenset[str] | None = None) -> list[AuditEntry]:
    """Return up to BATCH entries that this webhook wants. `only` limits them further to these events."""
    webhook = place.webhook
    rows = AuditEntry.objects.filter(
        tenant_id=place.log_id, seq__gte=place.next_seq, seq__lt=size, at__gte=webhook.from_at
    )
    wanted = None if messages.ALL in webhook.events else frozenset(webhook.events)
    if only is not None:
        wanted = only if wanted is None else only & wanted
    if wanted is not None:
        rows = rows.filter(event__in=wanted)
    # With `only`, the newest entries come first: messages for the older entries exist already.
    return list(rows.order_by("seq" if only is None else "-seq")[:BATCH])


def _write(place: WebhookCursor, entries: list[AuditEntry]) -> int:
    """Write the messages about these entries, except those that exist already. Return how many were written."""
    at = clock.now()
    found = {row["key"]: row for row in _rows(place, entries)}
    for key in OutboxMessage.objects.filter(key__in=found).values_list("key", flat=True):
        del found[key]
    rows = [OutboxMessage(**row, id=id_by_time(at), created_at=at, next_attempt_at=at) for row in found.values()]
    OutboxMessage.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    return len(rows)


def _rows(place: WebhookCursor, entries: list[AuditEntry]) -> list[dict[str, Any]]:
    """Return the columns of the messages that this receiver gets about these entries.

    If the facts about an entry can't be read, only its message is left out. Otherwise one damaged row would keep all
    receivers, also those of other tenants, from learning that a window has ended.
    """
    try:
        return _rows_about(place, entries)
    except DatabaseError:
        raise
    except Exception as error:
        if len(entries) > 1:
            return [row for entry in entries for row in _rows(place, [entry])]
        where = {"log": str(place.log_id), "seq": entries[0].seq, "webhook": str(place.webhook_id)}
        logger.error("webhook_entry_unreadable", **where, error=f"{type(error).__name__}: {error}")
        return []


def _rows_about(place: WebhookCursor, entries: list[AuditEntry]) -> list[dict[str, Any]]:
    webhook = place.webhook
    if webhook.client_id is not None:
        return [outbox_row(webhook, each) for each in callbacks.of(entries, webhook)]
    if not webhook.is_of_stream:
        return [outbox_row(webhook, each) for each in messages.of(entries, place.log_id)]
    stream = SignalStream.objects.select_related("client__account").get(pk=webhook.pk)
    lane = SIGNAL if stream.is_push else POLL
    return [outbox_row(webhook, each, lane=lane) for each in signals.of(entries, place.log_id, stream)]


def _is_full(webhook_id: UUID) -> bool:
    waiting = OutboxMessage.objects.filter(webhook=webhook_id, state=OutboxMessage.State.WAITING)
    return waiting[:MOST_WAITING].count() >= MOST_WAITING


def _locks() -> bool:
    return transaction.get_connection().features.has_select_for_update_of
