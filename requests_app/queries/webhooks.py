"""Reads webhooks and their messages for the people who manage them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.db.models import Prefetch, Q, QuerySet

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.models import OutboxMessage, Tenant, Webhook, WebhookAttempt
from requests_app.models.outbox import WEBHOOK
from requests_app.models.webhooks import WebhookQuerySet

SHOWN = 25
_ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})


@dataclass(frozen=True)
class Deliveries:
    """One page of a webhook's messages, newest first. Each message has its attempts in `tried`.

    If there are more messages, `older` is the id of the last message on this page. Otherwise it is "".
    """

    rows: list[OutboxMessage]
    older: str


def webhooks(tenant: Tenant) -> list[Webhook]:
    return list(of_tenant(tenant).order_by("created_at", "pk"))


def of_tenant(tenant: Tenant) -> WebhookQuerySet:
    return Webhook.objects.present().filter(tenant=tenant).with_deliveries().select_related("tenant")


def of_provider(*, actor: Actor) -> WebhookQuerySet:
    """Return the provider's own webhooks, for staff only."""
    policy.require_staff(actor)
    return Webhook.objects.visible_to(actor).present().filter(tenant=None).with_deliveries()


def managed(webhook_id: object, *, actor: Actor) -> Webhook:
    """Return one webhook by its id. Raise NotAllowed unless the actor manages it."""
    found = _visible(actor).find(webhook_id)
    if found.tenant_id is None:
        policy.require_staff(actor)
    else:
        policy.require_role(actor, _ADMINISTRATOR, tenant_id=found.tenant_id)
    return cast(Webhook, found)


def belongs(message_id: object, webhook_id: object, *, actor: Actor) -> None:
    """Raise NotFound unless this message was sent, or is to be sent, to this webhook."""
    messages_of(_visible(actor).find(webhook_id)).find(message_id)  # type: ignore[attr-defined]  # ScopedQuerySet


def _visible(actor: Actor) -> WebhookQuerySet:
    return Webhook.objects.visible_to(actor).present().with_deliveries().select_related("tenant")


def webhook(tenant: Tenant, webhook_id: object) -> Webhook:
    """Return one webhook of this tenant.

    Raise NotFound for a webhook of another tenant, even if the actor manages both.
    """
    return cast(Webhook, of_tenant(tenant).find(webhook_id))


def deliveries(webhook: Webhook, *, state: str | None = None, before: object = None, limit: int = SHOWN) -> Deliveries:
    """Return one page of the webhook's messages, or of those in one state. `before` is `older` of the previous page."""
    rows = messages_of(webhook).order_by("-created_at", "-pk")
    if state is not None:
        rows = rows.filter(state=state)
    if before is not None:
        last = delivery(webhook, before)
        rows = rows.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk))
    found = list(rows[: limit + 1])
    return Deliveries(found[:limit], str(found[limit - 1].pk) if len(found) > limit else "")


def delivery(webhook: Webhook, message_id: object) -> OutboxMessage:
    return cast(OutboxMessage, messages_of(webhook).find(message_id))  # type: ignore[attr-defined]  # ScopedQuerySet


def messages_of(webhook: Webhook) -> QuerySet[OutboxMessage]:
    tried = WebhookAttempt.objects.order_by("at", "pk")
    rows = OutboxMessage.objects.filter(webhook=webhook, lane=WEBHOOK)
    return rows.prefetch_related(Prefetch("webhook_attempts", queryset=tried, to_attr="tried"))
