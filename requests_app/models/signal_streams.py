"""The streams of the Shared Signals Framework. Each tells one receiver when sessions begin and end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor
from requests_app.models.outbox import OutboxMessage
from requests_app.models.scoping import ScopedQuerySet

#: The reasons for which this product pauses a stream. They also go to the receiver, in English.
GIVEN_UP = {
    "failing": gettext_noop("The receiver failed for several days."),
    "gone": gettext_noop("The receiver answered 410."),
}
#: The same stream is reported at most once in this time.
ALARM_EVERY = timedelta(hours=1)


class SignalStreamQuerySet(ScopedQuerySet):
    def present(self) -> Self:
        return self.filter(webhook__removed_at=None)

    def unreported(self, at: datetime) -> Self:
        """Leave out the streams that were reported, until the receiver has worked again, and for an hour."""
        again = Q(alarmed_at__lt=F("heard_at"), alarmed_at__lte=at - ALARM_EVERY)
        return self.filter(Q(alarmed_at=None) | again)

    def failing(self) -> Self:
        """Return the enabled streams about which an alarm was sent, and whose receiver has accepted nothing since."""
        quiet = Q(heard_at=None) | Q(heard_at__lte=F("alarmed_at"))
        enabled = self.present().filter(status=SignalStream.Status.ENABLED)
        return enabled.filter(quiet, alarmed_at__isnull=False)

    def of_caller(self, actor: Actor) -> Self:
        """Return the streams that the actor can see. A client sees only its own."""
        seen = self.visible_to(actor)
        return seen if actor.machine is None else seen.filter(client=actor.machine.client_id)

    def with_backlog(self) -> Self:
        """Annotate each stream with the number of events that wait, and with the time of the oldest of them."""
        waiting = OutboxMessage.objects.filter(webhook=OuterRef("pk"), state=OutboxMessage.State.WAITING).order_by()
        count = waiting.values("webhook").annotate(n=models.Count("pk")).values("n")
        oldest = waiting.values("webhook").annotate(first=models.Min("created_at")).values("first")
        return self.annotate(backlog=Subquery(count), oldest_at=Subquery(oldest))


class SignalStream(models.Model):
    """A stream of security event tokens (SETs) to the receiver of one client.

    `webhook` says where events are sent and how far each log was read. `requested` has the event types that the
    receiver asked for, as URIs. `authorization` is the receiver's Authorization header, encrypted. `subject_format` and
    `alg` say how a subject is named and which algorithm signs. `heard_at` is when the receiver last accepted or fetched
    something. `alarmed_at` is when somebody was last informed that the stream fails.
    """

    class Method(models.TextChoices):
        PUSH = "push", _("sent to the receiver")
        POLL = "poll", _("fetched by the receiver")

    class Status(models.TextChoices):
        ENABLED = "enabled", _("enabled")
        PAUSED = "paused", _("paused")
        DISABLED = "disabled", _("disabled")

    class Subject(models.TextChoices):
        EMAIL = "email", _("email address")
        ISS_SUB = "iss_sub", _("issuer and id")
        COMPLEX = "complex", _("person, window and tenant")

    webhook = models.OneToOneField(
        "requests_app.Webhook", models.CASCADE, primary_key=True, related_name="stream", verbose_name=_("receiver")
    )
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, null=True, blank=True, related_name="+")
    client = models.ForeignKey(
        "requests_app.Client", models.PROTECT, related_name="streams", verbose_name=_("API client")
    )
    method = models.CharField(_("delivery"), max_length=4, choices=Method.choices)
    requested = models.JSONField(_("events"), default=list)
    subject_format = models.CharField(_("subject"), max_length=8, choices=Subject.choices)
    alg = models.CharField(_("algorithm"), max_length=5)
    authorization = models.TextField(blank=True, editable=False)
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.ENABLED)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    status_at = models.DateTimeField(_("status since"))
    verified_at = models.DateTimeField(_("last verification"), null=True, blank=True)
    heard_at = models.DateTimeField(_("last delivery"), null=True, blank=True)
    alarmed_at = models.DateTimeField(_("last alarm"), null=True, blank=True)

    objects = SignalStreamQuerySet.as_manager()

    class Meta:
        verbose_name = _("signal stream")
        verbose_name_plural = _("signal streams")
        indexes = [models.Index(fields=["tenant"], name="signal_stream_by_tenant")]

    def __str__(self) -> str:
        return str(self.client)

    @property
    def reason_shown(self) -> str:
        """Return the reason of the status: in the reader's language, unless a person or a program wrote it."""
        return gettext(self.reason) if self.reason in GIVEN_UP.values() else self.reason

    @property
    def is_push(self) -> bool:
        return self.method == self.Method.PUSH

    @property
    def stream_id(self) -> UUID:
        return self.webhook_id
