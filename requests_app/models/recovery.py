"""Recovery keys of tenants. Only their hashes are stored."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet


class RecoveryKeyQuerySet(ScopedQuerySet):
    def live(self) -> RecoveryKeyQuerySet:
        return self.filter(ended_at=None)


class RecoveryKey(models.Model):
    """One recovery key of a tenant. It stops working when it is used, or when the tenant makes another key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="recovery_keys")
    secret_hash = models.CharField(max_length=64, unique=True)
    # A keyed hash of the key's last four characters, to check that somebody still has the key. Keys from before this
    # column have none.
    ending_hash = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    confirmed_at = models.DateTimeField(_("confirmed as stored"), null=True, blank=True, editable=False)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("made by"))
    made_at = models.DateTimeField(_("made"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    used_at = models.DateTimeField(_("used"), null=True, blank=True)

    objects = RecoveryKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("recovery key")
        verbose_name_plural = _("recovery keys")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(ended_at=None), name="recovery_key_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return str(self.tenant)
