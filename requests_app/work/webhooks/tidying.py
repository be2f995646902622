"""Deletes old deliveries, and encrypts the webhooks' keys again with the present key of the settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.messages.webhooks import schedule, sealing
from requests_app.models import OutboxMessage, SignalStream, Webhook, WebhookAttempt
from requests_app.models.outbox import POLL
from requests_app.operations._receivers import park

#: How long deliveries are stored. Until then, people can read them and send them again.
DELETED_AFTER = timedelta(days=30)
BATCH = 500


def work(is_over: Callable[[], bool]) -> int:
    """Tidy until nothing is left to do or `is_over` returns True. Return how many messages were deleted."""
    done = 0
    for webhook in Webhook.objects.order_by("pk"):
        if is_over():
            break
        if webhook.removed_at is None:
            seal_anew(webhook)
        if webhook.is_of_stream:
            _end_unfetched(webhook)
        done += _forget(webhook, is_over)
    return done


def _forget(webhook: Webhook, is_over: Callable[[], bool]) -> int:
    old = OutboxMessage.objects.filter(webhook=webhook)
    if webhook.removed_at is None:
        old = old.filter(created_at__lt=clock.now() - DELETED_AFTER)
    done = 0
    while not is_over():
        batch = list(old.order_by("-created_at").values_list("pk", flat=True)[:BATCH])
        if not batch:
            break
        with transaction.atomic(durable=True):
            WebhookAttempt.objects.filter(message__in=batch).delete()
            OutboxMessage.objects.filter(pk__in=batch).delete()
        done += len(batch)
    else:
        return done
    if webhook.removed_at is not None:
        with transaction.atomic(durable=True):
            webhook.delete()
    return done


def _end_unfetched(webhook: Webhook) -> None:
    """Park events that a receiver did not fetch for as long as events are sent again to other receivers."""
    old = OutboxMessage.objects.filter(webhook=webhook, lane=POLL, created_at__lt=clock.now() - schedule.WHOLE)
    park(old, _("Not fetched in three days."))


def seal_anew(webhook: Webhook) -> None:
    """Encrypt the keys of a webhook with the present key of the settings, if a former key encrypted them."""
    at = clock.now()
    if webhook.is_of_stream:
        _seal_header_anew(webhook)
    for column in ("sealed", "former_sealed"):
        sealed = getattr(webhook, column)
        if column == "former_sealed" and webhook.former_until is not None and webhook.former_until <= at and sealed:
            # The webhook's former keys sign no more messages, so there is no reason to store them.
            Webhook.objects.filter(pk=webhook.pk, former_sealed=sealed).update(former_sealed="")
        elif sealed and sealing.is_outdated(sealed):
            try:
                anew = sealing.seal(sealing.opened(sealed))
            except sealing.Unreadable:
                continue
            # Only if the row is unchanged: somebody may have made new keys meanwhile.
            Webhook.objects.filter(pk=webhook.pk, **{column: sealed}).update(**{column: anew})


def _seal_header_anew(webhook: Webhook) -> None:
    """Encrypt the receiver's Authorization header again, if a former key of the settings encrypted it."""
    for sealed in SignalStream.objects.filter(pk=webhook.pk).exclude(authorization="").values_list("authorization"):
        if sealing.is_header_outdated(sealed[0]):
            try:
                anew = sealing.seal_header(sealing.opened_header(sealed[0]))
            except sealing.Unreadable:
                continue
            SignalStream.objects.filter(pk=webhook.pk, authorization=sealed[0]).update(authorization=anew)
