"""Absences of approvers, each with the deputy who decides in the meantime."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet


class OutOfOfficeQuerySet(ScopedQuerySet):
    def to_come_or_live(self, at: datetime) -> Self:
        return self.filter(ended_at=None, until_at__gt=at)

    def live(self, at: datetime) -> Self:
        """Return the absences during which the deputy decides at this instant.

        An absence is left out if the approver has lost the role, if either person is switched off, or if both are the
        same human.
        """
        rows = self.to_come_or_live(at).filter(from_at__lte=at, approver__is_active=True, deputy__is_active=True)
        still = {"approver__memberships__tenant": F("tenant"), "approver__memberships__role": "approver"}
        return rows.filter(**still).exclude(approver__human_id=F("deputy__human_id"))


class OutOfOffice(models.Model):
    """An absence of an approver, from `from_at` to `until_at`. If somebody ends it earlier, `ended_at` is set."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="absences")
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="absences", verbose_name=_("approver")
    )
    deputy = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="deputisings", verbose_name=_("deputy")
    )
    from_at = models.DateTimeField(_("from"))
    until_at = models.DateTimeField(_("until"))
    set_at = models.DateTimeField(_("set"))
    ended_at = models.DateTimeField(_("ended early"), null=True, blank=True)

    objects = OutOfOfficeQuerySet.as_manager()

    class Meta:
        verbose_name = _("absence")
        verbose_name_plural = _("absences")
        ordering = ["from_at"]
        constraints = [
            models.CheckConstraint(condition=Q(until_at__gt=F("from_at")), name="out_of_office_ends_after_it_begins"),
            models.CheckConstraint(condition=~Q(approver=F("deputy")), name="out_of_office_deputy_is_another"),
        ]
        indexes = [
            models.Index(fields=["tenant", "-until_at"], name="out_of_office_by_tenant"),
            models.Index(fields=["deputy", "-until_at"], name="out_of_office_by_deputy"),
        ]

    def __str__(self) -> str:
        return f"{self.approver} → {self.deputy}"
