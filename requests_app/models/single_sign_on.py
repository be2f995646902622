"""A tenant's identity provider, its verified domains, and the identities of its people."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from requests_app.models.scoping import ScopedQuerySet


def saml_issuer(entity_id: str) -> str:
    """Return the issuer of SAML identities.

    Anybody can write any entity id into a file. With this prefix, it is never the issuer of an OpenID provider, which
    TLS has proved.
    """
    return f"saml:{entity_id}"


class PinnedMetadata(models.Model):
    """The metadata of a SAML identity provider as it was last accepted, and how reading it again went.

    `issuer` is the identity provider's entity id. `identity_provider` has the sign-in address and the pinned
    certificates, or None if there is no metadata.
    """

    #: What can be new in the metadata so that somebody must confirm it.
    WAITING = ("entity_id", "sso_url", "all_keys")

    issuer = models.CharField(_("issuer"), max_length=300)
    identity_provider = models.JSONField(_("identity provider’s metadata"), null=True, blank=True)
    metadata_url = models.CharField(_("address of the metadata"), max_length=300, blank=True, default="", db_default="")
    metadata_checked_at = models.DateTimeField(_("metadata read"), null=True, blank=True)
    metadata_problem = models.CharField(
        _("problem with the metadata"), max_length=40, blank=True, default="", db_default=""
    )
    metadata_failing_since = models.DateTimeField(_("metadata unread since"), null=True, blank=True)
    changed_at = models.DateTimeField(_("changed"))

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.issuer

    @property
    def waits_for_confirmation(self) -> bool:
        """Return whether the metadata at the address has changed so much that somebody must confirm it."""
        return self.metadata_problem in self.WAITING

    @property
    def pinned(self) -> dict[str, Any]:
        """What the identity provider's metadata said, as `IdentityProvider.of_stored` reads it."""
        return dict(self.identity_provider or {})


class SignOn(PinnedMetadata):
    """A tenant's connection to its identity provider (OpenID Connect or SAML 2.0).

    The provider's own connection is in the settings. `role_map` maps the groups of a claim to roles. With `is_only`,
    all people of the tenant must use single sign-on, except the person in `break_glass`, who can sign in here if
    the identity provider does not answer.

    With SAML, `issuer` is the identity provider's entity id, `client_id` is this service provider's, and the claims are
    names of attributes. With `is_proof`, a new sign-in there also counts as a proof of identity for acts. With
    `metadata_signer`, only metadata that this certificate's key has signed is accepted.

    With `newcomer_role`, a person of the tenant's verified domains who has no account gets one at the first sign-in.
    """

    class Protocol(models.TextChoices):
        OIDC = "oidc", _("OpenID Connect")
        SAML = "saml", _("SAML 2.0")

    class NewcomerRole(models.TextChoices):
        """The roles that a first sign-in can give. They decide nothing, and manage nothing."""

        MEMBER = "member", _("Member")
        AUDITOR = "auditor", _("Auditor")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.OneToOneField("requests_app.Tenant", models.PROTECT, related_name="sign_on")
    client_id = models.CharField(_("client id"), max_length=254)
    sealed = models.TextField(_("encrypted secret"))
    scopes = models.CharField(_("scopes"), max_length=200, default="openid profile email")
    groups_claim = models.CharField(_("claim with the groups"), max_length=80, blank=True)
    key_claim = models.CharField(_("claim with the id in the directory"), max_length=80, default="sub")
    protocol = models.CharField(
        _("protocol"), max_length=8, choices=Protocol.choices, default=Protocol.OIDC, db_default=Protocol.OIDC
    )
    metadata_signer = models.TextField(_("certificate that signs the metadata"), blank=True, default="", db_default="")
    email_claim = models.CharField(
        _("attribute with the address"), max_length=80, blank=True, default="", db_default=""
    )
    sealed_keys = models.TextField(_("encrypted keys"), blank=True, default="", db_default="")
    is_proof = models.BooleanField(_("counts as a proof of identity"), default=False, db_default=False)
    role_map = models.JSONField(_("roles by group"), default=dict)
    newcomer_role = models.CharField(
        _("role of people without an account"),
        max_length=16,
        choices=NewcomerRole.choices,
        blank=True,
        default="",
        db_default="",
    )
    is_on = models.BooleanField(_("on"), default=False)
    is_only = models.BooleanField(_("the only way to sign in"), default=False)
    break_glass = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("single sign-on")
        verbose_name_plural = _("single sign-on")
        constraints = [
            models.CheckConstraint(
                condition=Q(is_only=False) | Q(is_on=True, break_glass__isnull=False),
                name="sign_on_only_has_a_way_back",
            ),
            models.CheckConstraint(
                condition=Q(protocol="oidc", identity_provider__isnull=True, is_proof=False)
                | Q(protocol="saml", identity_provider__isnull=False),
                name="sign_on_has_its_protocols_fields",
            ),
            models.CheckConstraint(
                condition=Q(newcomer_role__in=["", "member", "auditor"]), name="newcomers_decide_nothing"
            ),
        ]

    @property
    def identity_issuer(self) -> str:
        """The issuer under which people's identities are stored."""
        return saml_issuer(self.issuer) if self.is_saml else self.issuer

    @property
    def is_saml(self) -> bool:
        return self.protocol == self.Protocol.SAML


class ProviderSignOn(PinnedMetadata):
    """The metadata for the provider's own people at the address in SSO_SAML_METADATA_URL.

    The other settings of this connection are in the environment. A row of another address does not count.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        verbose_name = _("metadata for the provider’s single sign-on")
        verbose_name_plural = _("metadata for the provider’s single sign-on")
        constraints = [models.UniqueConstraint(fields=["metadata_url"], name="provider_sign_on_once")]


class Domain(models.Model):
    """A domain that a tenant claims to own. When the tenant has proven it, `verified_at` is set.

    The proof is a file on the domain's web server.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="domains")
    name = models.CharField(_("domain"), max_length=253)
    challenge = models.CharField(max_length=64)
    claimed_at = models.DateTimeField(_("added"))
    verified_at = models.DateTimeField(_("verified"), null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("domain")
        verbose_name_plural = _("domains")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="domain_once_in_a_tenant"),
            # An unproven claim must not prevent another tenant from proving that the domain is theirs.
            models.UniqueConstraint(fields=["name"], condition=Q(verified_at__isnull=False), name="domain_proven_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Identity(models.Model):
    """A person's identity at an identity provider. Issuer and subject identify it, and never the email address.

    An identity without a tenant belongs to a person of the provider.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, null=True, blank=True, related_name="identities")
    issuer = models.CharField(_("issuer"), max_length=300)
    subject = models.CharField(_("subject"), max_length=255)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="identities")
    linked_at = models.DateTimeField(_("since"))

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("identity")
        verbose_name_plural = _("identities")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "issuer", "subject"], condition=Q(tenant__isnull=False), name="identity_once"
            ),
            models.UniqueConstraint(
                fields=["issuer", "subject"], condition=Q(tenant=None), name="identity_once_at_the_provider"
            ),
        ]
        indexes = [models.Index(fields=["issuer", "subject"], name="identity_by_subject")]

    def __str__(self) -> str:
        return f"{self.person} · {self.issuer}"
