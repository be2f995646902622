"""One-time codes, with which a browser proves at an application's own host that it belongs to an engineer."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from requests_app.domain import limits
from requests_app.models.scoping import ScopedQuerySet


class OneTimeCodeQuerySet(ScopedQuerySet):
    service_path = "service_id"

    def alive(self, code_id: object) -> bool:
        """Return whether what this code gave still counts. A second use of the code ends it."""
        return self.filter(pk=code_id, used_at__isnull=False, ended_at=None).exists()

    def end_all_of(self, person_id: object, *, at: datetime) -> int:
        """End what the codes of this person gave or could still give. Return their number."""
        rows = self.filter(person=person_id, ended_at=None)
        return rows.update(ended_at=at, used_at=Coalesce("used_at", Value(at)))

    def forgettable(self, before: datetime) -> Self:
        return self.filter(expires_at__lt=before)


class OneTimeCode(models.Model):
    """A code for one engineer, one window and one receiver. Its first use gives a grant token or a session.

    The receiver is the client of the application. Without a client, it is the gate of the service. `challenge` binds
    the code to the browser that asked for it. Only the hash of the code is stored.

    What the code gave counts while `ended_at` is empty: a grant token carries this row's id, and so does a session.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    secret_hash = models.CharField(max_length=64, unique=True)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="+")
    grant = models.ForeignKey("requests_app.Grant", models.PROTECT, related_name="codes")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("engineer"))
    service = models.ForeignKey("requests_app.Service", models.PROTECT, related_name="+")
    client = models.ForeignKey("requests_app.Client", models.PROTECT, null=True, blank=True, related_name="+")
    redirect_uri = models.CharField(max_length=limits.LINK_TEMPLATE_MAX + 20)
    challenge = models.CharField(max_length=43)
    made_at = models.DateTimeField(_("made"))
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(_("used"), null=True, blank=True)
    ended_at = models.DateTimeField(_("what it gave ended"), null=True, blank=True)
    # When the token that came of it was last renewed, and the id of the token that this gave.
    renewed_at = models.DateTimeField(_("token renewed"), null=True, blank=True)
    renewed_jti = models.CharField(
        _("id of the renewed token"),
        max_length=limits.REPORTED_TEXT_MAX,
        blank=True,
        default="",
        db_default="",
    )

    objects = OneTimeCodeQuerySet.as_manager()

    class Meta:
        verbose_name = _("one-time code")
        verbose_name_plural = _("one-time codes")
        ordering = ["-made_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(used_at__isnull=False), name="one_time_code_ended_after_use"
            ),
        ]
        indexes = [
            models.Index(fields=["person", "-made_at"], name="one_time_code_by_person"),
            models.Index(fields=["expires_at"], name="one_time_code_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.made_at:%Y-%m-%d %H:%M}"
