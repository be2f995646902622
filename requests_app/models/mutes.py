"""Mutes: for some time, a tenant accepts no access requests from one engineer, or from anybody."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet

if TYPE_CHECKING:
    from requests_app.models.people import Person


class MuteQuerySet(ScopedQuerySet):
    def live(self, at: datetime) -> Self:
        return self.filter(lifted_at=None, until_at__gt=at)

    def of(self, human_id: Any) -> Self:
        """Return the mutes that name any account of this human, and the mutes for all engineers."""
        return self.filter(Q(engineer=None) | Q(engineer__human_id=human_id))

    def of_same(self, engineer: Person | None) -> Self:
        """Return the mutes for this human only. Without an engineer, return the mutes for all engineers."""
        return self.filter(engineer=None) if engineer is None else self.filter(engineer__human_id=engineer.human_id)

    def ends_last(self, tenant_id: Any, human_id: Any) -> Self:
        """Return the one mute at a tenant that applies to this human, is not lifted, and ends last, if there is one.

        It can have ended already: the query has no time, so that it can be compiled.
        """
        rows = self.filter(tenant=tenant_id, lifted_at=None).of(human_id).select_related("tenant", "engineer")
        return rows.order_by("-until_at")[:1]

    def longest(self, tenant_id: uuid.UUID, human_id: uuid.UUID, at: datetime) -> Mute | None:
        """Return the live mute at a tenant that applies to this human and ends last, or None."""
        mute: Mute | None = next(iter(self.ends_last(tenant_id, human_id)), None)
        return mute if mute is not None and mute.is_live(at) else None


class Mute(models.Model):
    """A period in which a tenant accepts no access requests from `engineer`, or from anybody if `engineer` is empty.

    It ends at `until_at`. If somebody ends it earlier, `lifted_at` is set.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="mutes")
    engineer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("engineer")
    )
    note = models.TextField(_("comment"), blank=True)
    denied = models.PositiveIntegerField(_("denied"), default=0)
    set_at = models.DateTimeField(_("set"))
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("set by"))
    until_at = models.DateTimeField(_("until"))
    lifted_at = models.DateTimeField(_("lifted early"), null=True, blank=True)

    objects = MuteQuerySet.as_manager()

    class Meta:
        verbose_name = _("mute")
        verbose_name_plural = _("mutes")
        ordering = ["until_at"]
        constraints = [
            models.CheckConstraint(condition=Q(until_at__gt=F("set_at")), name="mute_ends_after_it_begins"),
        ]
        indexes = [models.Index(fields=["tenant", "-until_at"], name="mute_by_tenant")]

    def __str__(self) -> str:
        return str(self.engineer or _("Everybody"))

    def is_live(self, at: datetime) -> bool:
        return self.lifted_at is None and at < self.until_at
