"""The proxies that ask at the gates of web tools, and the sessions of engineers there."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor, Side
from requests_app.models.scoping import ScopedQuerySet
from requests_app.models.services import Service


class GateProxyQuerySet(ScopedQuerySet):
    """Proxies belong to the provider. Only staff and the provider's clients see them."""

    service_path = "service_id"

    def visible_to(self, actor: Actor) -> Self:
        return self.none() if actor.side is Side.CUSTOMER else super().visible_to(actor)

    def trusted(self) -> Self:
        return self.filter(removed_at=None)


class GateProxy(models.Model):
    """A proxy in front of a web tool, which asks at the gate before it passes a request on.

    It shows its secret in the header X-Lockbox-Proxy. The secret never comes to a form: staff give only its hash. A
    tool can have several proxies, so that one secret can replace another.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.ForeignKey(Service, models.PROTECT, related_name="proxies")
    name = models.CharField(_("name"), max_length=80)
    secret_hash = models.CharField(max_length=64, unique=True)
    added_at = models.DateTimeField(_("added"))
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("added by")
    )
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)
    removed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    # When it last asked about somebody with an open window, to within a minute.
    asked_at = models.DateTimeField(_("last asked"), null=True, blank=True)

    objects = GateProxyQuerySet.as_manager()

    class Meta:
        verbose_name = _("proxy of a web tool")
        verbose_name_plural = _("proxies of web tools")
        ordering = ["-added_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def fingerprint(self) -> str:
        """The beginning of the hash, by which people recognise a secret."""
        return self.secret_hash[:12]

    @property
    def is_trusted(self) -> bool:
        return self.removed_at is None


class GateSessionQuerySet(ScopedQuerySet):
    tenant_path = "grant__tenant_id"
    service_path = "code__service_id"

    def visible_to(self, actor: Actor) -> Self:
        return self.none() if actor.side is Side.CUSTOMER else super().visible_to(actor)

    def unended(self) -> Self:
        """Leave out the sessions whose code was used twice. Whether the window is open is judged at each request."""
        return self.filter(code__ended_at=None)


class GateSession(models.Model):
    """A browser at the host of a web tool, which a one-time code has bound to one engineer and one window.

    The browser has the secret in a cookie of that host, and only its hash is stored. The session ends with its window,
    with a second use of its code, and with all sessions of the engineer: `signed_in` is the hash that these have.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    secret_hash = models.CharField(max_length=64, unique=True)
    code = models.OneToOneField("requests_app.OneTimeCode", models.CASCADE, related_name="session")
    grant = models.ForeignKey("requests_app.Grant", models.PROTECT, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("engineer"))
    signed_in = models.CharField(max_length=64)
    made_at = models.DateTimeField(_("began"))

    objects = GateSessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session at a web tool")
        verbose_name_plural = _("sessions at web tools")
        ordering = ["-made_at"]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.made_at:%Y-%m-%d %H:%M}"
