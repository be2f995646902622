"""Messages that must be sent. A change and its messages are written in one transaction. Delivery comes later.

Each message is delivered at least once.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet
from requests_app.platform.database.rows import Row

#: The lanes of a message; OutboxMessage describes them.
FANOUT, MAIL, WEBHOOK, SIGNAL, POLL = "fanout", "mail", "webhook", "signal", "poll"
_FOR_WEBHOOKS = Q(state="waiting", webhook__isnull=False)


class OutboxQuerySet(ScopedQuerySet):
    def due(self, at: datetime) -> Self:
        """Return the messages that a worker can claim now: those that wait, are due, and have no live claim."""
        return self.filter(
            Q(claimed_until=None) | Q(claimed_until__lte=at),
            state=OutboxMessage.State.WAITING,
            next_attempt_at__lte=at,
        )


class OutboxMessage(Row):
    """A message to people or to a webhook.

    `key` is unique, so that nothing is sent twice. `payload` has only ids, names of audiences and facts of the change.
    `tenant` is empty if the message belongs to no tenant, for example if it is about an account of the provider.

    A row in the lane "fanout" has no recipient yet: its delivery makes a row in the lane "mail" for each recipient. A
    row in the lane "webhook" has a `webhook`, and `seq` is the number of its entry in the log. Such a row waits until
    the rows with the same `mark` and a lower `seq` are delivered. A row that reports the end of an access does not
    wait. The same is true for a row in the lane "signal", which is sent to the receiver of a signal stream, and in the
    lane "poll", from which such a receiver fetches its events.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        PARKED = "parked", _("parked")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        "requests_app.Tenant", models.PROTECT, null=True, related_name="outbox_messages", db_index=False
    )
    topic = models.CharField(_("topic"), max_length=64)
    about = models.UUIDField(_("about"))
    mark = models.CharField(_("mark"), max_length=64, blank=True)
    key = models.CharField(_("key"), max_length=450, unique=True)
    lane = models.CharField(_("lane"), max_length=16, default="mail")
    payload = models.JSONField(_("payload"), default=dict)
    recipient = models.CharField(_("recipient"), max_length=254, blank=True)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    created_at = models.DateTimeField(_("created"))
    next_attempt_at = models.DateTimeField(_("next attempt"))
    claimed_until = models.DateTimeField(_("claimed until"), null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=500, blank=True)
    rendered = models.JSONField(_("as sent"), null=True, blank=True)
    webhook = models.ForeignKey(
        "requests_app.Webhook", models.PROTECT, null=True, blank=True, related_name="messages", db_index=False
    )
    seq = models.PositiveBigIntegerField(_("number in the log"), null=True, blank=True)

    objects = OutboxQuerySet.as_manager()

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        indexes = [
            models.Index(fields=["lane", "next_attempt_at"], condition=Q(state="waiting"), name="outbox_waiting"),
            models.Index(fields=["tenant", "-created_at"], name="outbox_by_tenant"),
            models.Index(fields=["-created_at"], name="outbox_newest"),
            models.Index(fields=["-created_at"], condition=Q(state="parked"), name="outbox_parked"),
            models.Index(fields=["about", "topic", "mark"], name="outbox_by_subject"),
            models.Index(fields=["person"], condition=Q(person__isnull=False), name="outbox_by_person"),
            models.Index(fields=["webhook", "next_attempt_at"], condition=_FOR_WEBHOOKS, name="outbox_webhook_waiting"),
            models.Index(fields=["webhook", "mark", "seq"], condition=_FOR_WEBHOOKS, name="outbox_webhook_order"),
            models.Index(
                fields=["webhook", "-created_at"], condition=Q(webhook__isnull=False), name="outbox_webhook_newest"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} → {self.recipient}"

    @property
    def tells(self) -> list[str]:
        """The ids of all messages that this message's combined mail contains, including this message.

        The list is empty if the mail contains only this message.
        """
        return list((self.rendered or {}).get("tells", ()))
