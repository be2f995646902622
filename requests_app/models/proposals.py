"""What one person proposed and another has yet to confirm, in a tenant under two-person control."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet


class ProposalQuerySet(ScopedQuerySet):
    def pending(self, at: datetime) -> Self:
        return self.filter(ended_at=None, expires_at__gt=at)


class Proposal(models.Model):
    """An act by its name, and what was said with it; the act itself runs when it is confirmed, and judges anew."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="proposals")
    act = models.CharField(_("act"), max_length=40)
    said = models.JSONField(_("what"), default=dict)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("proposed by")
    )
    # The human of that day: accounts that are linked, or no longer, since then make nobody a second one.
    proposed_human = models.UUIDField()
    proposed_at = models.DateTimeField(_("proposed"))
    expires_at = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("confirmed by"),
    )

    objects = ProposalQuerySet.as_manager()

    class Meta:
        verbose_name = _("proposal")
        verbose_name_plural = _("proposals")
        ordering = ["-proposed_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(confirmed_by=None) | ~models.Q(confirmed_by=models.F("proposed_by")),
                name="proposal_confirmed_by_another",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "-proposed_at"], name="proposal_by_tenant")]

    def __str__(self) -> str:
        return f"{self.act} · {self.tenant}"

    @property
    def shown(self) -> dict[str, Any]:
        """What was said, without what only the act itself may read."""
        return {name: value for name, value in self.said.items() if not name.startswith("_")}
