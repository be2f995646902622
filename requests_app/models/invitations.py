"""Invitations. An invitation is sent by mail, and makes its reader one of a tenant's people. It works once."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.models.people import Membership
from requests_app.models.scoping import ScopedQuerySet


class InvitationQuerySet(ScopedQuerySet):
    def unanswered(self) -> Self:
        """Return the invitations that were neither accepted nor withdrawn, including expired ones."""
        return self.filter(accepted_at=None, withdrawn_at=None)

    def open(self, at: datetime) -> Self:
        return self.unanswered().filter(expires_at__gt=at)


class Invitation(models.Model):
    """An invitation that was sent to an address, and gives a role.

    Only the hash of the secret in the link is stored (`link_secrets`). `invited_by` is empty if somebody used the
    customer's recovery key.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="invitations")
    email = models.EmailField(_("email"))
    role = models.CharField(_("role"), max_length=16, choices=Membership.Role.choices)
    secret_hash = models.CharField(max_length=64, unique=True)
    sends = models.PositiveSmallIntegerField(_("times sent"), default=1)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("invited by"),
    )
    created_at = models.DateTimeField(_("invited"))
    valid_from = models.DateTimeField(_("valid from"))
    expires_at = models.DateTimeField(_("valid until"))
    # Whether a second person confirmed it, in a tenant under two-person control.
    was_confirmed = models.BooleanField(_("confirmed by a second person"), default=False)
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("accepted by"),
    )
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(accepted_at=None) | models.Q(withdrawn_at=None), name="invitation_ends_once"
            ),
        ]
        indexes = [models.Index(fields=["tenant", "-created_at"], name="invitation_by_tenant")]

    def __str__(self) -> str:
        return f"{self.email} · {self.get_role_display()} · {self.tenant}"

    @property
    def is_recovery(self) -> bool:
        """Whether this invitation was made with the customer's recovery key, and not by a person."""
        return self.invited_by_id is None

    def is_open(self, at: datetime) -> bool:
        return self.accepted_at is None and self.withdrawn_at is None and self.valid_from <= at < self.expires_at
