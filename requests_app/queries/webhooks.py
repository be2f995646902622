"""A tenant's webhooks as its administrator sees them: how each stands, and what was delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.db.models import Prefetch, Q, QuerySet

from requests_app.models import OutboxMessage, Tenant, Webhook, WebhookAttempt
from requests_app.outbox.topics import WEBHOOK

SHOWN = 25


@dataclass(frozen=True)
class Deliveries:
    """Newest first; each with `tried`, its attempts. `older` is the last one's id where there are more."""

    rows: list[OutboxMessage]
    older: str


def webhooks(tenant: Tenant) -> list[Webhook]:
    return list(Webhook.objects.present().filter(tenant=tenant).order_by("created_at", "pk"))


def webhook(tenant: Tenant, webhook_id: object) -> Webhook:
    """One of this tenant's; one of another tenant is absent, though the same person may manage both."""
    return cast(Webhook, Webhook.objects.present().filter(tenant=tenant).find(webhook_id))


def deliveries(webhook: Webhook, *, before: object = None, limit: int = SHOWN) -> Deliveries:
    rows = _messages(webhook).order_by("-created_at", "-pk")
    if before is not None:
        last = delivery(webhook, before)
        rows = rows.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk))
    found = list(rows[: limit + 1])
    return Deliveries(found[:limit], str(found[limit - 1].pk) if len(found) > limit else "")


def delivery(webhook: Webhook, message_id: object) -> OutboxMessage:
    return cast(OutboxMessage, _messages(webhook).find(message_id))  # type: ignore[attr-defined]  # ScopedQuerySet


def _messages(webhook: Webhook) -> QuerySet[OutboxMessage]:
    tried = WebhookAttempt.objects.order_by("at", "pk")
    rows = OutboxMessage.objects.filter(webhook=webhook, lane=WEBHOOK)
    return rows.prefetch_related(Prefetch("webhook_attempts", queryset=tried, to_attr="tried"))
