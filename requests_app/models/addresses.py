"""Changes of a person's email address. A change waits until a link that was sent to the new address confirms it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet


class AddressChangeQuerySet(ScopedQuerySet):
    def open(self, at: datetime) -> Self:
        return self.filter(ended_at=None, expires_at__gt=at)


class AddressChange(models.Model):
    """A requested change of a person's address.

    It ends when it is confirmed, or when the person requests another change. Only the hash of the secret in
    the link is stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="address_changes", verbose_name=_("person")
    )
    email_before = models.EmailField(_("former address"))
    email = models.EmailField(_("new address"))
    secret_hash = models.CharField(max_length=64, unique=True)
    requested_at = models.DateTimeField(_("asked for"))
    expires_at = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)

    objects = AddressChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of an address")
        verbose_name_plural = _("changes of addresses")
        ordering = ["-requested_at"]
        indexes = [models.Index(fields=["person", "-requested_at"], name="address_change_by_person")]

    def __str__(self) -> str:
        return f"{self.email_before} → {self.email}"
