"""Webhooks: their addresses, their position in each log, and the results of attempts to deliver."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor
from requests_app.models.outbox import OutboxMessage
from requests_app.models.scoping import ScopedQuerySet
from requests_app.platform.outbound import BadTarget, Target


class WebhookQuerySet(ScopedQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Return the webhooks that the actor can see. The row of a signal stream is no webhook, so nobody sees it."""
        return super().visible_to(actor).filter(is_of_stream=False)

    def present(self) -> Self:
        """Return the webhooks that nobody has removed."""
        return self.receivers().filter(is_of_stream=False)

    def receivers(self) -> Self:
        """Return the receivers of messages that nobody has removed: webhooks and signal streams."""
        return self.filter(removed_at=None)

    def with_deliveries(self) -> Self:
        """Annotate each webhook with `parked` and `resume_at`.

        `parked` is the number of its parked messages. `resume_at` is the time at which its next message is due.
        """
        mine = OutboxMessage.objects.filter(webhook=OuterRef("pk"))
        parked = mine.filter(state=OutboxMessage.State.PARKED).order_by().values("webhook")
        due = mine.filter(state=OutboxMessage.State.WAITING).order_by("next_attempt_at").values("next_attempt_at")
        return self.annotate(
            parked=Coalesce(Subquery(parked.annotate(n=Count("pk")).values("n")), 0), resume_at=Subquery(due[:1])
        )


class Webhook(models.Model):
    """An address that gets messages about log entries (Standard Webhooks).

    A webhook without a tenant is the provider's, and gets the entries of every log. `sealed` has the encrypted keys.
    `former_sealed` has the former keys, which also sign until `former_until`. Entries from before `from_at` are not
    sent. `failures` counts the failed attempts since the last success.

    With `client`, it is a callback address of a client of the provider. It then gets only the ends of the access
    requests that this client raised and named the address for, and `events` are the entries about them.

    With `is_of_stream`, the row is the part of a signal stream (`SignalStream`) that says where its messages go and how
    far it has read each log. It has no keys, and no act on webhooks finds it.
    """

    class Because(models.TextChoices):
        PERSON = "person", _("switched off by somebody")
        GONE = "gone", _("the receiver answered that its address no longer exists (410)")
        FAILING = "failing", _("it failed for several days")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, null=True, related_name="webhooks")
    url = models.CharField(_("address"), max_length=1000)
    label = models.CharField(_("label"), max_length=80, blank=True)
    events = models.JSONField(_("events"), default=list)
    sealed = models.TextField(_("encrypted keys"), blank=True)
    public_key = models.CharField(_("public key"), max_length=80)
    former_sealed = models.TextField(_("encrypted former keys"), blank=True)
    former_until = models.DateTimeField(_("former keys valid until"), null=True, blank=True)
    created_at = models.DateTimeField(_("added"))
    from_at = models.DateTimeField(_("messages since"))
    is_on = models.BooleanField(_("on"), default=True)
    off_at = models.DateTimeField(_("switched off"), null=True, blank=True)
    off_because = models.CharField(_("why it is off"), max_length=8, choices=Because.choices, blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)
    is_of_stream = models.BooleanField(default=False, db_default=False, editable=False)
    client = models.ForeignKey(
        "requests_app.Client",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="callbacks",
        verbose_name=_("for callbacks of"),
    )

    objects = WebhookQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["created_at"]
        indexes = [models.Index(fields=["tenant", "created_at"], name="webhook_by_tenant")]

    def __str__(self) -> str:
        return self.label or self.place

    @property
    def place(self) -> str:
        """The address without its path, for display.

        The path can be as secret as a password, so only administrators see it.
        """
        try:
            return Target.parse(self.url, private=True, query=True).place
        except BadTarget:
            return ""


class WebhookCursor(models.Model):
    """A webhook's position in one log. `next_seq` is the number of the next entry to send."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="cursors")
    log_id = models.UUIDField(_("log"))
    next_seq = models.PositiveBigIntegerField(_("next number"))

    objects = models.Manager()

    class Meta:
        verbose_name = _("webhook cursor")
        verbose_name_plural = _("webhook cursors")
        constraints = [models.UniqueConstraint(fields=["webhook", "log_id"], name="webhook_cursor_once")]

    def __str__(self) -> str:
        return f"{self.log_id}: {self.next_seq}"


class WebhookAttempt(models.Model):
    """One attempt to deliver one message. `status` is the HTTP status. If no answer came, `problem` says why."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="attempts", db_index=False)
    message = models.ForeignKey("requests_app.OutboxMessage", models.CASCADE, related_name="webhook_attempts")
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, null=True, related_name="+", db_index=False)
    at = models.DateTimeField(_("at"))
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    problem = models.CharField(_("problem"), max_length=24, blank=True)
    milliseconds = models.PositiveIntegerField(_("milliseconds"))
    answer = models.CharField(_("beginning of the answer"), max_length=200, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook attempt")
        verbose_name_plural = _("webhook attempts")
        indexes = [
            models.Index(fields=["webhook", "-at"], name="webhook_attempt_by_webhook"),
            models.Index(fields=["-at"], name="webhook_attempt_newest"),
        ]

    def __str__(self) -> str:
        return str(self.status or self.problem)

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300
