"""Restorations from a backup, and what people have to confirm before a window can open again."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet


class Restoration(models.Model):
    """One restoration of the installation. No window opens anywhere until staff have confirmed the provider's people.

    `id` is the id of the backup. `people_needed` is how many members of the staff must confirm: two, if the restored
    staff had two humans. Customers and their clients can read this table: it holds nothing about a tenant.

    The row with the id SET_BACK is about a database that was set back without the program. Until an operator has said
    so, which makes a later row, nobody can confirm anything. Its `taken_at` is the time of the newest entry.
    """

    SET_BACK = uuid.UUID(int=1)

    id = models.UUIDField(_("backup"), primary_key=True, editable=False)
    taken_at = models.DateTimeField(_("backup taken"))
    restored_at = models.DateTimeField(_("restored"))
    people_needed = models.PositiveSmallIntegerField(_("confirmations needed"))
    confirmed_at = models.DateTimeField(_("provider’s people confirmed"), null=True, blank=True)

    class Meta:
        verbose_name = _("restoration from a backup")
        verbose_name_plural = _("restorations from a backup")
        ordering = ["-restored_at"]
        indexes = [models.Index(fields=["restored_at"], condition=Q(confirmed_at=None), name="restoration_open")]

    def __str__(self) -> str:
        return f"{self.restored_at:%Y-%m-%d %H:%M}"


class RestoredTenant(models.Model):
    """One tenant of a restoration. No window opens at the tenant until its people have confirmed what was restored.

    `people_needed` is how many humans must confirm, as the tenant's people were in the backup: 0 if nobody could.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    of = models.ForeignKey(Restoration, models.PROTECT, related_name="tenants")
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="restorations")
    people_needed = models.PositiveSmallIntegerField(_("confirmations needed"))
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("restored tenant")
        verbose_name_plural = _("restored tenants")
        constraints = [models.UniqueConstraint(fields=["of", "tenant"], name="restored_tenant_once")]
        indexes = [models.Index(fields=["tenant"], condition=Q(confirmed_at=None), name="restored_tenant_open")]

    def __str__(self) -> str:
        return str(self.tenant)


class RestoredConfirmation(models.Model):
    """One human's confirmation of what was restored: at a tenant, or of the provider's people without a tenant.

    `digest` is the hash of what the person read. A confirmation counts only while this is still what there is.
    `confirmed` is what the person read, and `name` is the name at that time.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    of = models.ForeignKey(Restoration, models.PROTECT, related_name="confirmations")
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, null=True, blank=True, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("person"))
    human_id = models.UUIDField()
    name = models.CharField(_("name"), max_length=120)
    is_administrator = models.BooleanField(_("administrator"), default=False)
    digest = models.CharField(_("digest"), max_length=64)
    confirmed = models.JSONField(_("what was confirmed"), default=dict)
    at = models.DateTimeField(_("at"))

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("confirmation after a restoration")
        verbose_name_plural = _("confirmations after a restoration")
        ordering = ["at"]
        indexes = [models.Index(fields=["of", "tenant"], name="restored_confirmation_of")]

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M}"


def waits_at(tenant: str) -> Exists:
    """Return the condition that a tenant has not confirmed a restoration. `tenant` is the column with its id."""
    return Exists(RestoredTenant.objects.filter(tenant=OuterRef(tenant), confirmed_at=None))


def waits_for_staff() -> Exists:
    """Return the condition that staff have not confirmed the provider's people since a restoration."""
    return Exists(Restoration.objects.filter(confirmed_at=None))
