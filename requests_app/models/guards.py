"""Guards: the middleware in an application of the provider that enforces windows there, and reports each access."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from requests_app.domain import limits
from requests_app.models.scoping import ScopedQuerySet


class GuardQuerySet(ScopedQuerySet):
    tenant_path = "client__tenant_id"
    service_path = "client__service_id"

    def are_too_many(self, client_id: object, at: datetime) -> bool:
        """Return whether a client can have no further guard now."""
        since = at - limits.GUARD_COUNTS_FOR
        heard = Q(reported_at__gt=since) | Q(feed_at__gt=since)
        return self.filter(heard, client=client_id).count() >= limits.GUARDS_MAX

    def silent(self, at: datetime) -> Self:
        """Return the guards that should report, and do not.

        Their client still guards, and they have sent no sign of life for a minute, or their backlog has not become
        smaller for some minutes. A guard without a backlog that has sent nothing for a day was probably removed.
        """
        return self.live().filter(self.silent_when(at))

    def live(self) -> Self:
        """Return the guards whose client still guards a service."""
        return self.filter(client__account__is_active=True, client__service__isnull=False)

    @staticmethod
    def silent_when(at: datetime) -> Q:
        since = at - limits.GUARD_SILENT_AFTER
        is_behind = Q(backlog__gt=0) & Q(backlog_since__lt=at - limits.GUARD_BEHIND_AFTER)
        is_quiet = Q(reported_at__lt=since) & (Q(backlog__gt=0) | Q(reported_at__gt=at - limits.GUARD_GONE_AFTER))
        return is_quiet | is_behind


class Guard(models.Model):
    """One guard of one client. An application that runs on two hosts has two guards.

    `number` is the id that the guard has made for itself, and that it stores beside its queue. `life` is the life of
    the guard that holds this id: if the queue is copied, only one of the copies can report under it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client = models.ForeignKey("requests_app.Client", models.PROTECT, related_name="guards", verbose_name=_("client"))
    number = models.UUIDField(_("guard"))
    life = models.UUIDField(_("life"), null=True, blank=True)
    version = models.CharField(_("version"), max_length=limits.GUARD_VERSION_MAX, blank=True, default="")
    # The number of the last access that is in the log, and how many more the guard had then.
    acknowledged = models.BigIntegerField(_("reported accesses"), default=0)
    backlog = models.BigIntegerField(_("not reported yet"), default=0)
    # Since when the backlog has not become smaller. Empty without a backlog.
    backlog_since = models.DateTimeField(_("backlog since"), null=True, blank=True)
    first_at = models.DateTimeField(_("first seen"))
    reported_at = models.DateTimeField(_("last report"), null=True, blank=True)
    feed_at = models.DateTimeField(_("last sign on the feed"), null=True, blank=True)

    objects = GuardQuerySet.as_manager()

    class Meta:
        verbose_name = _("guard")
        verbose_name_plural = _("guards")
        ordering = ["-reported_at"]
        constraints = [models.UniqueConstraint(fields=["client", "number"], name="guard_once_for_a_client")]

    def __str__(self) -> str:
        return f"{self.client} {self.number}"

    @property
    def last_sign(self) -> datetime | None:
        """When the guard was last heard of, by a report or on the feed."""
        return max((at for at in (self.reported_at, self.feed_at) if at is not None), default=None)
