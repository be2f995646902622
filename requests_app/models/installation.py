"""What is known about this installation itself. There is one row."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Installation(models.Model):
    """The facts about this installation that no other row has. The row is made when the first of them is stored."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    # Only the hash of the secret in the set-up link is stored. The first browser that opens the link gets a secret of
    # its own, and from then on the link works only in that browser.
    setup_link_hash = models.CharField(max_length=64, blank=True, default="", editable=False)
    setup_link_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    setup_link_owner_hash = models.CharField(max_length=64, blank=True, default="", editable=False)
    mail_tested_at = models.DateTimeField(_("test mail was sent"), null=True, blank=True, editable=False)
    # SHA-256 of the encrypted copy of the log's key, in hexadecimal digits.
    key_copy_hash = models.CharField(max_length=64, blank=True, default="", editable=False)
    key_copy_confirmed_at = models.DateTimeField(
        _("copy of the log’s key was confirmed"), null=True, blank=True, editable=False
    )

    class Meta:
        verbose_name = _("installation")
        verbose_name_plural = _("installation")
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="installation_once")]

    def __str__(self) -> str:
        return "Customer Lockbox"
