"""The callers of the API: clients and their tokens.

Also idempotency keys, with which a repeated call acts only once.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor, Role, Side
from requests_app.models.scoping import ScopedQuerySet
from requests_app.platform.database.rows import Row


class ClientQuerySet(ScopedQuerySet):
    def live(self) -> Self:
        return self.filter(account__is_active=True)


class Client(Row):
    """A machine that calls the API: a ticket system, a SIEM, a service that enforces windows.

    The client belongs to a tenant, or to the provider. It has an account of its own, with which nobody can sign in. The
    client's secret is random, so a SHA-256 hash protects it as well as a slow hash.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="client")
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, null=True, blank=True, related_name="clients")
    scopes = models.JSONField(_("scopes"), default=list)
    secret_hash = models.CharField(max_length=64)
    decides_for = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("decides for"),
    )
    # The external service whose application the client guards. Only a client with the scope "guard" has it.
    service = models.ForeignKey(
        "requests_app.Service",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="guards",
        verbose_name=_("guards the application of"),
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("created"))
    secret_at = models.DateTimeField(_("secret since"))
    # The person who saw the present secret. It is empty for a secret from before this column existed.
    secret_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("secret of")
    )

    objects = ClientQuerySet.as_manager()

    class Meta:
        verbose_name = _("client")
        verbose_name_plural = _("clients")
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(decides_for=None) | Q(tenant__isnull=False), name="client_decides_for_a_tenant"
            ),
            models.CheckConstraint(condition=Q(service=None) | Q(tenant=None), name="client_guards_for_the_provider"),
        ]

    def __str__(self) -> str:
        return self.account.name

    @property
    def holder(self) -> Any:
        """The person who saw the present secret, or None if nobody knows who that was."""
        if self.secret_by is None and self.secret_at == self.created_at:
            return self.created_by
        return self.secret_by


class TokenQuerySet(ScopedQuerySet):
    tenant_path = "account__memberships__tenant_id"

    def visible_to(self, actor: Actor) -> Self:
        """Return the actor's own tokens. For an administrator, add those of the tenant's people and clients.

        Staff see all tokens.
        """
        if actor.is_system or (actor.is_staff and actor.side is Side.PROVIDER):
            return self
        allowed = Q(account=actor.person_id)
        if actor.side is Side.CUSTOMER:
            roles_by_tenant = actor.tenant_roles.items()
            administered = sorted(pk for pk, roles in roles_by_tenant if Role.ADMINISTRATOR in roles)
            if administered:
                allowed |= Q(account__memberships__tenant_id__in=administered)
                allowed |= Q(account__client__tenant_id__in=administered)
        return self.filter(allowed).distinct()

    def personal(self) -> Self:
        return self.filter(kind=Token.Kind.PERSONAL)

    def revocable(self) -> Self:
        """Return the tokens that people can revoke.

        A client's access tokens are left out, because they expire within an hour.
        """
        return self.exclude(kind=Token.Kind.ACCESS)

    def lasting(self) -> Self:
        return self.filter(kind=Token.Kind.LASTING)

    def live(self, at: datetime) -> Self:
        return self.filter(revoked_at=None, expires_at__gt=at)


class Token(Row):
    """A bearer token.

    Only its hash is stored. `hint` has the last characters of the token, so that people can tell their tokens apart.
    """

    class Kind(models.TextChoices):
        PERSONAL = "personal", _("personal token")
        ACCESS = "access", _("access token of an API client")
        LASTING = "lasting", _("long-lived token of a directory")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="tokens")
    name = models.CharField(_("name"), max_length=80, blank=True)
    scopes = models.JSONField(_("scopes"), default=list)
    secret_hash = models.CharField(max_length=64, unique=True)
    hint = models.CharField(_("ends with"), max_length=4)
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("expires"))
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    revoked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    stepped_up_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    # The person who saw a long-lived token. It is empty for other tokens, and for those older than this column.
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("made by")
    )
    #: The roles of the token's account, if the statement that read the token has read them too (`people.find_token`).
    held_roles: list[tuple[uuid.UUID, str]] | None = None
    #: When the row was read, if `people.find_token` or the administration has read it.
    read_at: datetime

    objects = TokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("token")
        verbose_name_plural = _("tokens")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["account", "-created_at"], name="token_by_account"),
            models.Index(fields=["-created_at"], name="token_newest"),
            models.Index(fields=["expires_at"], name="token_by_expiry"),
        ]

    def __str__(self) -> str:
        return self.name or f"…{self.hint}"

    def is_live(self, at: datetime) -> bool:
        return self.revoked_at is None and at < self.expires_at


class IdempotencyKey(models.Model):
    """One `Idempotency-Key` of one caller: the HTTP request that it came with, whether the act is done, and the answer.

    The transaction of the act writes `done_at`; the answer is stored afterwards. If the process is killed in between,
    the act is done, and `subject_id` names the row that it changed. `holder` is the process that works on the call
    (`requests_app.platform.holders`). When another process takes over, it writes a new `claim`. The former process can
    then no longer commit, even if it still runs.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    asked = models.CharField(max_length=64)
    claim = models.UUIDField(default=uuid.uuid4, unique=True)
    begun_at = models.DateTimeField()
    claimed_until = models.DateTimeField()
    holder = models.CharField(max_length=255, default="", db_default="")
    done_at = models.DateTimeField(null=True)
    subject_type = models.CharField(max_length=40, blank=True)
    subject_id = models.CharField(max_length=64, blank=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="idempotency_key_once")]
        indexes = [
            models.Index(fields=["begun_at"], name="idempotency_key_by_age"),
            # For the numbers of entries (`operations._decision_lane`), which live for a minute and not for days.
            models.Index(fields=["begun_at"], condition=Q(subject_type="entry"), name="idempotency_key_of_entry"),
        ]

    def __str__(self) -> str:
        return self.key
