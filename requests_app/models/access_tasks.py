"""Access requests that a client of the provider raised from a denial of the decision point (AuthZEN)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class AccessTask(models.Model):
    """A client's handle on the access request that it raised. It has the id of the access request."""

    access_request = models.OneToOneField(
        "requests_app.AccessRequest",
        models.PROTECT,
        primary_key=True,
        related_name="task",
        verbose_name=_("access request"),
    )
    client = models.ForeignKey("requests_app.Client", models.PROTECT, related_name="+", verbose_name=_("client"))
    # The number of the denial. Each denial can be used once.
    denial = models.UUIDField(_("denial"), unique=True)
    # What the client asked, as the decision point denied it. The approval counts for exactly this.
    asked = models.JSONField(_("asked"))
    expires_at = models.DateTimeField(_("can be read until"))

    class Meta:
        verbose_name = _("access request of a client")
        verbose_name_plural = _("access requests of clients")

    def __str__(self) -> str:
        return str(self.access_request_id)
