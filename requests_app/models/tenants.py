"""Tenants, their plans, and the notification addresses, which only receive mail."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Coalesce, Lower
from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor, Side
from requests_app.domain.levels import CHANGING
from requests_app.models.scoping import ScopedQuerySet
from requests_app.models.spelling import EXISTS
from requests_app.platform.database.rows import Row

FOUR_HOURS = 4 * 60 * 60


class PlanQuerySet(ScopedQuerySet):
    """Plans belong to the provider. A customer sees its own plan with its tenant."""

    def visible_to(self, actor: Actor) -> Self:
        is_seen = actor.is_system or (actor.is_staff and actor.side is Side.PROVIDER)
        return self if is_seen else self.none()


class Plan(Row):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=60, unique=True)
    includes_lockbox = models.BooleanField(_("includes Lockbox"), default=True)

    objects = PlanQuerySet.as_manager()

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class TenantQuerySet(ScopedQuerySet):
    tenant_path = "pk"

    def _in_queues_of(self, actor: object) -> None:
        # The provider's people choose from all tenants when they record a ticket for a customer who called.
        return None

    def ever_on(self) -> Self:
        """Return the tenants that have Lockbox on, or had it on before.

        If staff want to reduce the protection of such a tenant, the change is announced first.
        """
        return self.filter(models.Q(lockbox_on=True) | models.Q(lockbox_first_on_at__isnull=False))

    def first_on_at(self) -> datetime | None:
        """Return when the first of these tenants switched Lockbox on; None if none of them ever did."""
        first = self.ever_on().aggregate(at=models.Min(Coalesce("lockbox_first_on_at", "created_at")))
        return first["at"]


#: The columns with a tenant's rules about levels of access.
LEVEL_RULES = ("ruled_out", "is_act_as_allowed")


class Tenant(Row):
    class YesRule(models.TextChoices):
        """What a tenant requires of an approval. A denial has no such requirement, because it gives no access."""

        ANY = "any", _("signed or not")
        SIGNED = "signed", _("signed with a passkey")
        DEVICE_BOUND = "device_bound", _("signed with a passkey that can’t leave its device")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=120, unique=True)
    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="tenants", verbose_name=_("plan"))
    lockbox_on = models.BooleanField(_("Lockbox on"), default=False)
    # Never cleared: since this time, one member of staff alone can't weaken this tenant, and each such change is
    # announced.
    lockbox_first_on_at = models.DateTimeField(_("Lockbox first switched on at"), null=True, blank=True, editable=False)
    window_cap = models.PositiveIntegerField(
        _("maximum length of windows (seconds)"),
        default=FOUR_HOURS,
        validators=[MinValueValidator(60), MaxValueValidator(8 * 60 * 60)],
    )
    # The levels of access for which nobody can ask here, with spaces between them. The level “act as” is never among
    # them: it is ruled out unless the next column says that an administrator has allowed it.
    ruled_out = models.CharField(
        _("levels that are ruled out"), max_length=40, blank=True, default="", db_default="", editable=False
    )
    is_act_as_allowed = models.BooleanField(
        _("level “act as” allowed"), default=False, db_default=False, editable=False
    )
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    # Nobody can open a ticket or ask for access at a tenant that is switched off. Its people can still read.
    is_active = models.BooleanField(_("active"), default=True, db_default=True)
    # In hours: a window opens only if a witness cosigned the last checkpoint within this time.
    cosigned_within = models.PositiveSmallIntegerField(
        _("maximum age of the witness’s cosignature (hours)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(168)],
    )
    log_retention_days = models.PositiveIntegerField(
        _("log stored for (days)"), null=True, blank=True, validators=[MinValueValidator(30), MaxValueValidator(36500)]
    )
    # Whether one human proposes, and another confirms, changes of who decides and of the rules above.
    needs_two = models.BooleanField(_("two-person control"), default=False)
    yes_rule = models.CharField(
        _("approval requirements"), max_length=12, choices=YesRule.choices, default=YesRule.ANY, editable=False
    )
    # The customer's own approval page. Its keys belong to the customer's site. The tenant may accept only these keys.
    approval_origin = models.CharField(
        _("own approval page"), max_length=300, blank=True, default="", db_default="", editable=False
    )
    approval_rp_id = models.CharField(
        _("site of the passkeys"), max_length=253, blank=True, default="", db_default="", editable=False
    )
    own_keys_only = models.BooleanField(
        _("approvals need a passkey of the approval page"), default=False, db_default=False, editable=False
    )
    # When an administrator showed that the log's public key is stored outside this installation.
    log_key_stored_at = models.DateTimeField(
        _("public key of the log confirmed as stored"), null=True, blank=True, editable=False
    )
    # The name of this tenant in the provider's own records. A call or a file that repeats it changes this tenant.
    external_id = models.CharField(_("external id"), max_length=200, blank=True, default="", db_default="")
    created_at = models.DateTimeField(_("created"), editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["external_id"], condition=~models.Q(external_id=""), name="tenant_external_id_once"
            ),
            models.UniqueConstraint(
                Lower("slug"), name="tenant_short_name_in_any_case", violation_error_message=EXISTS
            ),
            models.UniqueConstraint(
                Lower("external_id"),
                condition=~models.Q(external_id=""),
                name="tenant_external_id_in_any_case",
                violation_error_message=EXISTS,
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def allows(self, level: str) -> bool:
        """Return whether engineers can ask for this level of access here."""
        if level in CHANGING and not self.is_act_as_allowed:
            return False
        return level not in self.ruled_out.split()

    def set_level_rule(self, level: str, *, is_allowed: bool) -> None:
        """Write whether engineers can ask for this level. The caller saves the fields in LEVEL_RULES."""
        if level in CHANGING:
            self.is_act_as_allowed = is_allowed
            return
        others = [each for each in self.ruled_out.split() if each != level]
        self.ruled_out = " ".join(others if is_allowed else [*others, level])

    @property
    def wants_signature(self) -> bool:
        """Whether an approval for this tenant must be signed."""
        return self.yes_rule != self.YesRule.ANY or self.own_keys_only


class NotificationAddress(models.Model):
    """An address that receives mail but can't be used to decide: a duty mailbox, a security team's list."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="notification_addresses")
    email = models.EmailField(_("email"))
    label = models.CharField(_("label"), max_length=80, blank=True)
    created_at = models.DateTimeField(_("created"), editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("notification address")
        verbose_name_plural = _("notification addresses")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "email"], name="notification_address_once"),
        ]

    def __str__(self) -> str:
        return self.email
