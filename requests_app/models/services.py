"""Services and the resources that a grant may name."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from requests_app.domain import gate_rules, limits
from requests_app.domain.actors import Actor, Side
from requests_app.domain.levels import TEXT_MAX, Offer, can_change, offers_of, usual
from requests_app.models.scoping import ScopedQuerySet
from requests_app.models.spelling import EXISTS
from requests_app.models.tenants import Tenant
from requests_app.platform.database.rows import Row

#: The fields with which the decision point can be asked about a resource.
ASKED = ("name", "locator", "external_id")
#: The locator of each practice resource. It is no path, so no real resource can have it and no connector can follow it.
#: There is one practice resource for each tenant and service, because a locator is unique there.
PRACTICE_LOCATOR = ":practice"
#: After this time, the result of a test says nothing about now. Every resource in use is tested each night.
TEST_IS_OLD = timedelta(days=2)


def is_own_place(tenant: Tenant, locator: str) -> bool:
    """Return whether a locator is under the tenant's own root, which is named after the tenant's short name."""
    return is_under(tenant.slug, locator)


def is_under(slug: str, locator: str) -> bool:
    root, slash, rest = locator.partition("/")
    return bool(root == slug and slash and rest) and ".." not in locator.split("/")


class ServiceQuerySet(ScopedQuerySet):
    """Services belong to no tenant. Customers see all services.

    The provider's people see the services of their queues.
    """

    service_path = "pk"

    def visible_to(self, actor: Actor) -> Self:
        return self if actor.side is Side.CUSTOMER else super().visible_to(actor)


class Service(Row):
    """A product of the provider.

    This product reads the content of a service with a connector. The content of an *external* service stays in an
    application of the provider. This application asks the decision point, and enforces the windows itself.
    """

    #: The value of `connector` of an external service. No connector has this name.
    EXTERNAL = "external"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.SlugField(_("key"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=80)
    connector = models.CharField(_("connector"), max_length=40)
    is_covered = models.BooleanField(_("covered by Lockbox"), default=True)
    application = models.CharField(
        _("application"), max_length=limits.APPLICATION_MAX, blank=True, default="", db_default=""
    )
    link_template = models.CharField(
        _("link template"), max_length=limits.LINK_TEMPLATE_MAX, blank=True, default="", db_default=""
    )
    guidance = models.TextField(
        _("how to find a resource"), max_length=limits.GUIDANCE_MAX, blank=True, default="", db_default=""
    )
    # The levels of access that the service declares; see domain/levels.py. Empty for the usual ones.
    levels = models.TextField(_("levels of access"), max_length=TEXT_MAX, blank=True, default="", db_default="")
    # A web tool behind a gate: which requests its windows allow (domain/gate_rules.py), and whether the gate tells the
    # tool who asks. Without rules, the service has no gate.
    gate_rules = models.TextField(
        _("rules of the gate"), max_length=gate_rules.TEXT_MAX, blank=True, default="", db_default=""
    )
    gate_identity = models.BooleanField(_("the gate names the engineer"), default=False, db_default=False)
    # Where the proxy of this product finds the tool, if engineers reach the tool through that proxy.
    gate_upstream = models.CharField(
        _("upstream address"), max_length=limits.UPSTREAM_MAX, blank=True, default="", db_default=""
    )
    # Nobody can ask for access to a service that is switched off.
    is_active = models.BooleanField(_("active"), default=True, db_default=True)

    objects = ServiceQuerySet.as_manager()

    class Meta:
        verbose_name = _("service")
        verbose_name_plural = _("services")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=(models.Q(connector="external") & ~models.Q(application=""))
                | (~models.Q(connector="external") & models.Q(application="", link_template="", guidance="")),
                name="service_external_has_application",
            ),
            # Only an external service with an address can have a gate.
            models.CheckConstraint(
                condition=models.Q(gate_rules="", gate_identity=False, gate_upstream="")
                | (models.Q(connector="external") & ~models.Q(gate_rules="") & ~models.Q(link_template="")),
                name="service_gate_has_rules_and_address",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_external(self) -> bool:
        """Whether the content stays in an application of the provider, so that nobody can read it through us."""
        return self.connector == self.EXTERNAL

    @property
    def has_gate(self) -> bool:
        """Whether the service is a web tool: proxies in front of it ask Lockbox about each request."""
        return bool(self.gate_rules)

    @property
    def offers(self) -> dict[str, Offer]:
        """The levels of access that an engineer can ask for in this service, in their order."""
        return {offer.level: offer for offer in offers_of(self.levels, is_external=self.is_external)}

    def offers_for(self, *, is_practice: bool) -> dict[str, Offer]:
        """Return the levels for which an access request can ask. Practice content is read through us, never changed."""
        if not is_practice:
            return self.offers
        found = {level: offer for level, offer in self.offers.items() if not can_change(level)}
        return found or {offer.level: offer for offer in usual(is_external=False)}


class ResourceQuerySet(ScopedQuerySet):
    service_path = "service_id"

    def real(self) -> Self:
        """Leave out the practice resources."""
        return self.filter(is_practice=False)

    def _in_use(self) -> Self:
        return self.filter(is_active=True, service__is_active=True, tenant__is_active=True)

    def unreachable(self) -> Self:
        """Return the resources in use that could not be reached in their last test."""
        return self._in_use().exclude(check_problem="")

    def due_for_check(self, at: datetime) -> Self:
        """Return the resources in use that are to be tested now. The resources that people wait for come first.

        The content of a practice resource ships with the product, and an application holds the content of an external
        service. So neither is tested.
        """
        due = self.real()._in_use().filter(Q(next_check_at=None) | Q(next_check_at__lte=at))
        due = due.exclude(service__connector=Service.EXTERNAL)
        return due.order_by(F("next_check_at").asc(nulls_first=True), "pk")


class Resource(Row):
    """One mailbox, library or database.

    `locator` is its name for the connector; `kind` is a word that people understand. A resource of an external service
    has no locator. Its `external_id` is its name in the application.
    """

    class Kind(models.TextChoices):
        MAILBOX = "mailbox", _("mailbox")
        LIBRARY = "library", _("document library")
        DATABASE = "database", _("database")
        WORKSPACE = "workspace", _("workspace")
        OTHER = "other", _("other")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="resources")
    service = models.ForeignKey(Service, models.PROTECT, related_name="resources")
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    name = models.CharField(_("name"), max_length=200)
    locator = models.CharField(_("locator"), max_length=400, blank=True, default="", db_default="")
    is_active = models.BooleanField(_("active"), default=True)
    # The id of this resource in the provider's own records, and in the application that holds it. A call or a file that
    # repeats it changes this resource.
    external_id = models.CharField(_("external id"), max_length=200, blank=True, default="", db_default="")
    # Its content is made up, and ships with the product. The locator says so too: see PRACTICE_LOCATOR.
    is_practice = models.BooleanField(_("practice"), default=False, db_default=False, editable=False)
    # The last test: when it was, what was wrong (a code, or "" if the resource could be reached), and since when.
    checked_at = models.DateTimeField(_("last tested"), null=True, blank=True, editable=False)
    check_problem = models.CharField(
        _("result of the last test"), max_length=40, blank=True, default="", db_default="", editable=False
    )
    check_failing_since = models.DateTimeField(_("can’t be reached since"), null=True, blank=True, editable=False)
    # None means now. So every new row is due for a test, even if no act has written it.
    next_check_at = models.DateTimeField(_("next test"), null=True, blank=True, editable=False)

    objects = ResourceQuerySet.as_manager()

    class Meta:
        verbose_name = _("resource")
        verbose_name_plural = _("resources")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "service", "locator"], condition=~models.Q(locator=""), name="resource_once"
            ),
            models.CheckConstraint(
                condition=~models.Q(locator="", external_id=""), name="resource_has_locator_or_external_id"
            ),
            models.UniqueConstraint(
                fields=["service", "external_id"],
                condition=~models.Q(external_id=""),
                name="resource_external_id_once",
            ),
            # The operations compare ids and locators without letter case (`spelling.folded`). But two acts at the same
            # moment do not see each other. So the database compares them too, as far as it knows small letters.
            models.UniqueConstraint(
                "tenant",
                "service",
                Lower("locator"),
                condition=~models.Q(locator=""),
                name="resource_once_in_any_case",
                violation_error_message=EXISTS,
            ),
            models.UniqueConstraint(
                "service",
                Lower("external_id"),
                condition=~models.Q(external_id=""),
                name="resource_external_id_in_any_case",
                violation_error_message=EXISTS,
            ),
            # A resource can't become a practice resource, nor a practice resource a real one, by one changed column.
            models.CheckConstraint(
                condition=models.Q(is_practice=True, locator=PRACTICE_LOCATOR, external_id="", is_active=True)
                | (models.Q(is_practice=False) & ~models.Q(locator=PRACTICE_LOCATOR)),
                name="resource_practice_locator",
            ),
            models.CheckConstraint(
                condition=models.Q(check_problem="", check_failing_since=None)
                | (~models.Q(check_problem="") & models.Q(check_failing_since__isnull=False)),
                name="resource_fails_since",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "service", "name"], name="resource_by_name"),
            # For the decision point. The index of the constraint leaves out empty ids, so not every plan can use it.
            models.Index(fields=["service", "external_id"], name="resource_by_external_id"),
            models.Index(fields=["next_check_at"], name="resource_by_next_check"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_in_use(self) -> bool:
        """Whether nobody has switched off the resource, its service or its tenant."""
        return self.is_active and self.service.is_active and self.tenant.is_active

    @property
    def is_reachable(self) -> bool | None:
        """Whether the last test could reach the resource. None means that no test has been done yet."""
        return None if self.checked_at is None else not self.check_problem

    def is_test_old(self, at: datetime) -> bool:
        """Return whether nobody knows if the resource can be reached now, because the last test was too long ago."""
        return self.checked_at is not None and self.checked_at < at - TEST_IS_OLD

    @property
    def is_changed_since_test(self) -> bool:
        """Whether somebody saved the resource or its service after the last test, so that the result may be wrong."""
        return self.checked_at is not None and self.next_check_at is None

    def is_untested_at(self, at: datetime) -> bool:
        """Return whether a test would say if the resource can be reached, but no result is valid now."""
        if self.is_practice or self.is_external:
            return False
        return self.checked_at is None or self.is_changed_since_test or self.is_test_old(at)

    @property
    def is_external(self) -> bool:
        """Whether the content stays in an application of the provider. Practice content is always read through us."""
        return self.service.is_external and not self.is_practice

    @property
    def place(self) -> str:
        """Where the content is: the locator, or the id in the application. Practice content is nowhere: ""."""
        return "" if self.is_practice else self.locator or self.external_id

    @property
    def described(self) -> dict[str, str]:
        """The fields that say which content this is, for a digest, the log, and a text that somebody signs.

        The name alone is not enough, because it could be given to other content.
        """
        place = {"locator": self.locator} if self.locator else {"external_id": self.external_id}
        return {"id": str(self.pk), "kind": str(self.kind), "name": self.name, **place}
