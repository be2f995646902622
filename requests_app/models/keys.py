"""Passkeys: the keys with which people sign in and sign decisions."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor
from requests_app.models.scoping import ScopedQuerySet

if TYPE_CHECKING:
    from requests_app.models.tenants import Tenant


class PasskeyQuerySet(ScopedQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Return the actor's own keys, and those of people in the actor's tenants. Staff see all keys."""
        scoped = super().visible_to(actor)
        return scoped if actor.is_system else scoped | self.filter(person_id=actor.person_id)

    def live(self) -> Self:
        return self.filter(removed_at=None)

    def of_this_site(self) -> Self:
        """Return the keys with which people sign in to this site. Keys of a tenant's own approval page are left out."""
        return self.filter(rp_id=settings.PASSKEY_RP_ID)

    def may_sign_for(self, tenant: Tenant) -> Self:
        """Return the keys that can sign an approval for this tenant.

        The rules are read from `tenant`, which need not be saved yet.
        """
        rows = self.live().filter(enrolled__has_key=str(tenant.pk))
        sites = [tenant.approval_rp_id] if tenant.own_keys_only else [settings.PASSKEY_RP_ID, tenant.approval_rp_id]
        rows = rows.filter(rp_id__in=sites)
        return rows.filter(is_backup_eligible=False) if tenant.yes_rule == tenant.YesRule.DEVICE_BOUND else rows


class Passkey(models.Model):
    """A WebAuthn credential of one person.

    A removed passkey stays in the table, because the decisions that it signed must remain checkable. `enrolled` maps
    the id of each log to the entry that introduced the key in that log: {"seq": …, "leaf": hex}. A key of the
    provider's people has no `tenant`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="passkeys")
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, null=True, blank=True, related_name="passkeys")
    name = models.CharField(_("name"), max_length=60)
    credential_id = models.BinaryField(max_length=1023, unique=True)
    public_key = models.BinaryField(max_length=4096)
    algorithm = models.CharField(_("algorithm"), max_length=8)
    rp_id = models.CharField(_("site"), max_length=253)
    origin = models.CharField(_("added on"), max_length=300)
    aaguid = models.CharField(_("model (AAGUID)"), max_length=36)
    is_backup_eligible = models.BooleanField(_("can be copied"))
    is_backed_up = models.BooleanField(_("has been copied"))
    sign_count = models.PositiveBigIntegerField(_("counter"), default=0)
    enrolled = models.JSONField(_("entries in the logs"), default=dict)
    created_at = models.DateTimeField(_("added"))
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)
    removed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")

    objects = PasskeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("passkey")
        verbose_name_plural = _("passkeys")
        ordering = ["created_at"]
        indexes = [models.Index(fields=["person"], condition=models.Q(removed_at=None), name="passkey_in_use")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_live(self) -> bool:
        return self.removed_at is None

    @property
    def is_device_bound(self) -> bool:
        return not self.is_backup_eligible
