"""Reads what an import compares its rows with: what the rows are about, and what they refer to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Length, Replace
from django.db.models.lookups import GreaterThan

from requests_app.domain import clock
from requests_app.domain.acts.installation import ADD_SERVICE, CHANGE_PLAN, CHANGE_SERVICE
from requests_app.domain.imports import ROLE, Row
from requests_app.domain.spelling import folded
from requests_app.models import Invitation, Person, Plan, Resource, Service, Tenant
from requests_app.models.services import ASKED
from requests_app.models.spelling import maybe_alike
from requests_app.operations import _weakening

#: How many values one query compares a column with. For more than this many, all rows are read.
_AT_ONCE = 500


@dataclass
class Place:
    """A tenant that rows name, in the database or only in the source, with its resources.

    `stated` has the values that the source gives the tenant, each with its line.
    """

    slug: str
    tenant: Tenant | None
    stated: dict[str, tuple[Any, int]] = field(default_factory=dict)
    by_locator: dict[tuple[str, str], Thing] = field(default_factory=dict)
    by_external_id: dict[tuple[str, str], Thing] = field(default_factory=dict)
    #: For each service, column and folded text: the resources that have it.
    texts: defaultdict[tuple[str, str, str], set[object]] = field(default_factory=lambda: defaultdict(set))
    #: Each locator, and each path above one, with the name of a resource that is there. The paths are folded.
    taken: dict[str, str] = field(default_factory=dict)
    above: dict[str, str] = field(default_factory=dict)

    @property
    def is_protected(self) -> bool:
        """Whether the tenant has ever had Lockbox on, so that changes that weaken it are announced."""
        return self.tenant is not None and (self.tenant.lockbox_on or self.tenant.lockbox_first_on_at is not None)

    def occupy(self, locator: str, name: str) -> None:
        locator = folded(locator)
        self.taken.setdefault(locator, name)
        for parent in _parents(locator):
            self.above.setdefault(parent, name)

    def note_texts(self, service: str, key: object, **texts: str) -> None:
        """Remember the name, the locator and the external id of a resource. `key` is one value for each resource."""
        for column, text in texts.items():
            if text:
                self.texts[service, column, folded(text)].add(key)

    def is_mistakable(self, service: str, key: object, column: str, text: str) -> bool:
        """Return whether another resource of the service has this text in another column."""
        holders = (self.texts.get((service, other, folded(text)), ()) for other in ASKED if other != column)
        # Many resources can have one name. At most two of them are looked at.
        return any(holder != key for some in holders for holder in some)

    def in_the_way(self, locator: str) -> str | None:
        """Return the name of a resource at this locator, or above or below it. Return None if nothing is there."""
        locator = folded(locator)
        parents = (self.taken.get(parent) for parent in _parents(locator))
        return self.taken.get(locator) or self.above.get(locator) or next(filter(None, parents), None)


def _parents(locator: str) -> Iterator[str]:
    """Yield each path above this one: for "a/b/c", these are "a/b" and "a"."""
    while "/" in locator:
        locator = locator.rpartition("/")[0]
        yield locator


@dataclass
class Thing:
    """A resource, in the database or only in the source, with what the source says about it."""

    resource: Resource
    stated: dict[str, tuple[Any, int]] = field(default_factory=dict)

    @property
    def key(self) -> object:
        """One value for each resource: its id, or something of its own for a resource that is only in the source."""
        return self.resource.pk or id(self)


@dataclass
class Somebody:
    """One of the provider's people, by their address: with an account, or invited, or only in the source.

    `stated` has what the source says about them, each value with its line, and `new_name` the name that they get.
    """

    email: str
    person: Person | None = None
    invitations: list[Invitation] = field(default_factory=list)
    stated: dict[str, tuple[Any, int]] = field(default_factory=dict)
    stated_roles: set[tuple[str, str]] = field(default_factory=set)
    new_name: str = ""
    is_given_a_role: bool = False
    is_leaving: bool = False

    @property
    def name(self) -> str:
        return self.get("name")

    @property
    def time_zone(self) -> str:
        return self.get("time_zone")

    def get(self, name: str) -> str:
        rows: list[Any] = [self.person] if self.person is not None else self.invitations[:1]
        return str(getattr(rows[0], name)) if rows else ""

    @property
    def is_active(self) -> bool:
        return self.person.is_active if self.person is not None else bool(self.invitations)

    @property
    def is_staff(self) -> bool:
        return self.person.is_staff if self.person is not None else self.offer("staff", None) is not None

    def offer(self, role: str, service: Service | None) -> Invitation | None:
        """Return the invitation to this role, in the queue of this service if one is given."""
        for row in self.invitations:
            is_there = service is None or any(each.pk == service.pk for each in row.services.all())
            if row.role == role and row.withdrawn_at is None and is_there:
                return row
        return None


class World:
    """What exists for these rows. It is read once, and the rows that were judged are added to it."""

    def __init__(self, rows: Collection[Row]) -> None:
        self.plans = {plan.name: plan for plan in Plan.objects.all()}
        self.services = {service.key: service for service in Service.objects.all()}
        self.losing: set[str] = set()
        # Services that are proposed and not there yet, and the keys of all services that new resources must wait for.
        self.coming: dict[str, Service] = {}
        self.waiting: set[str] = set()
        self._add_what_waits()
        self._service_names = {folded(service.name): service.key for service in self.services.values()}
        self._service_keys = {folded(key): key for key in self.services}
        keys = {row.values["tenant"] for row in rows if "tenant" in row.values}
        stated = {row.values[name] for row in rows for name in _NAMES if name in row.values}
        found = list(_tenants(keys | stated))
        self._by_slug = {tenant.slug: tenant for tenant in found}
        self._by_external_id = {tenant.external_id: tenant for tenant in found if tenant.external_id}
        # The short names of the tenants that have this text as short name or external id.
        self._holders: defaultdict[str, set[str]] = defaultdict(set)
        for tenant in found:
            self._note_ids(tenant)
        self.named = {tenant.name: tenant.slug for tenant in found}
        self.places: dict[str, Place] = {}
        self._fill(keys, rows)
        self._taken_ids = self._external_ids(rows)
        self._stated: dict[tuple[str, str], dict[str, tuple[Any, int]]] = {}
        self._people: dict[str, Somebody] = {}
        # The active members of the staff, without those whom the source switches off.
        self.staff: set[UUID] = set()
        if emails := {row.values["email"].lower() for row in rows if "email" in row.values}:
            self._add_people(emails, rows)

    def place(self, key: str) -> Place | None:
        """Return the tenant with this short name or external id. Return None if nothing is there."""
        tenant = self._by_slug.get(key) or self._by_external_id.get(key)
        return self.places.get(tenant.slug if tenant is not None else key)

    def is_ambiguous(self, key: str) -> bool:
        by_slug, by_id = self._by_slug.get(key), self._by_external_id.get(key)
        return by_slug is not None and by_id is not None and by_slug != by_id

    def stated(self, kind: str, name: str) -> dict[str, tuple[Any, int]]:
        """Return what the source has said so far about a plan or a service, each value with its line."""
        return self._stated.setdefault((kind, name), {})

    def _add_what_waits(self) -> None:
        keys = {str(service.pk): service.key for service in self.services.values()}
        for act, terms in _weakening.pending(clock.now(), CHANGE_PLAN, ADD_SERVICE, CHANGE_SERVICE):
            if act == ADD_SERVICE.name and terms["key"] not in self.services:
                self.coming[terms["key"]] = Service(**terms)
                self.waiting.add(terms["key"])
            elif act == CHANGE_SERVICE.name and "connector" in terms["set"]:
                self.waiting.add(keys.get(terms["row"], ""))
            elif _weakening.loses_lockbox(act, terms):
                self.losing.add(terms["row"])

    def _add_people(self, emails: set[str], rows: Collection[Row]) -> None:
        for person in Person.objects.get_queryset().filter(email__in=emails):
            self.somebody(person.email).person = person
        invited = Invitation.objects.filter(tenant=None, email__in=emails).expected(clock.now())
        for row in invited.select_related("proposal").prefetch_related("services").order_by("created_at", "pk"):
            self.somebody(row.email).invitations.append(row)
        for row in rows:
            if row.kind == ROLE.name and not row.values.get("taken") and "email" in row.values:
                self.somebody(row.values["email"].lower()).is_given_a_role = True
        staff = Person.objects.active().humans().filter(is_staff=True)
        self.staff = set(staff.values_list("pk", flat=True))

    def somebody(self, email: str) -> Somebody:
        return self._people.setdefault(email, Somebody(email))

    def is_known(self, email: str) -> bool:
        """Return whether somebody has this address: an account, or an invitation that is open."""
        who = self.somebody(email.lower())
        return bool(who.person or who.invitations)

    def service(self, key: str) -> Service | None:
        return self.services.get(key) or self.coming.get(key)

    def alike_key(self, key: str) -> str | None:
        """Return the key of the service that differs from this one only in letter case. The key counts as taken now."""
        other = self._service_keys.setdefault(folded(key), key)
        return other if other != key else None

    def name_service(self, key: str, name: str) -> str | None:
        """Return the key of the other service with this name, in any letter case. Otherwise note the name as taken."""
        holder = self._service_names.setdefault(folded(name), key)
        return holder if holder != key else None

    def is_of_another(self, key: str, slug: str) -> bool:
        """Return whether a tenant other than `slug` has this text as its short name or external id, in any case."""
        return bool(self._holders[folded(key)] - {slug})

    def hold(self, key: str, slug: str) -> None:
        """Remember that this tenant has, or will have, this text as its short name or external id."""
        self._holders[folded(key)].add(slug)

    def add_tenant(self, tenant: Tenant) -> Place:
        place = Place(tenant.slug, None)
        self.places[tenant.slug] = place
        self.note_tenant(tenant)
        return place

    def note_tenant(self, tenant: Tenant) -> None:
        """Remember the name and the external id that the tenant has or will have."""
        self.named[tenant.name] = tenant.slug
        self._note_ids(tenant)
        if tenant.external_id:
            self._by_external_id.setdefault(tenant.external_id, tenant)

    def _note_ids(self, tenant: Tenant) -> None:
        for key in filter(None, (tenant.slug, tenant.external_id)):
            self.hold(key, tenant.slug)

    def why_taken(self, service: Service, external_id: str, slug: str) -> str | None:
        """Return the fault of giving this external id to a resource of this tenant. Return None if it is free.

        It is not free if another resource has it in any letter case, in the database or in the source.
        """
        others = self._taken_ids[service.key, folded(external_id)] - {(slug, external_id)}
        if any(holder != slug for holder, _id in others):
            return "of_another_tenant"
        return "alike" if others else None

    def holder_of(self, service: Service, external_id: str, slug: str) -> str:
        """Return the short name of another tenant that has a resource with this external id. Return "" for none."""
        others = self._taken_ids[service.key, folded(external_id)]
        return min((holder for holder, _id in others if holder != slug), default="")

    def note_resource(self, service: Service, external_id: str, slug: str) -> None:
        self._taken_ids[service.key, folded(external_id)].add((slug, external_id))

    def _fill(self, keys: Iterable[str], rows: Collection[Row]) -> None:
        by_pk: dict[UUID, Place] = {}
        for key in keys:
            tenant = self._by_slug.get(key) or self._by_external_id.get(key)
            if tenant is not None and tenant.pk not in by_pk:
                by_pk[tenant.pk] = self.places[tenant.slug] = Place(tenant.slug, tenant)
        for some in _parts(list(by_pk)):
            of_tenants = Resource.objects.real().filter(tenant__in=some).order_by()
            near = of_tenants.filter(_maybe_in_the_way(rows)) if len(rows) <= _AT_ONCE else of_tenants
            known = near.values_list("tenant_id", "service__key", "pk", "locator", "external_id", "name")
            for tenant_id, service, pk, locator, external_id, name in known:
                place = by_pk[tenant_id]
                place.note_texts(service, pk, locator=locator, external_id=external_id, name=name)
                if locator:
                    place.occupy(str(PurePosixPath(locator)), name)
            self._add_things(of_tenants, by_pk, rows)

    def _add_things(self, of_tenants: QuerySet[Any], by_pk: dict[UUID, Place], rows: Collection[Row]) -> None:
        """Add the resources that the rows may be about. For a few rows of a large tenant, read only those."""
        if len(rows) <= _AT_ONCE:
            ids = [row.values["external_id"] for row in rows if "external_id" in row.values]
            locators = [row.values["locator"] for row in rows if "locator" in row.values]
            of_tenants = of_tenants.filter(Q(external_id__in=ids) | Q(locator__in=locators))
        keys = {service.pk: service.key for service in self.services.values()}
        for resource in of_tenants:
            place, thing, service = by_pk[resource.tenant_id], Thing(resource), keys[resource.service_id]
            if resource.locator:
                place.by_locator[service, resource.locator] = thing
            if resource.external_id:
                place.by_external_id[service, resource.external_id] = thing

    def _external_ids(self, rows: Collection[Row]) -> defaultdict[tuple[str, str], set[tuple[str, str]]]:
        found: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        ids = {row.values["external_id"] for row in rows if "external_id" in row.values}
        if not ids:
            return found
        named = Resource.objects.filter(service__in=[service.pk for service in self.services.values()])
        named = named.exclude(external_id="").order_by()
        if len(ids) <= _AT_ONCE:
            named = named.filter(maybe_alike("external_id", ids))
        for service, external_id, slug in named.values_list("service__key", "external_id", "tenant__slug"):
            found[service, folded(external_id)].add((slug, external_id))
        return found


def _maybe_in_the_way(rows: Collection[Row]) -> Q:
    """Return a condition for the resources at, above or below the locators of these rows, or with one of their texts.

    A large tenant has far more resources than a few rows are about. A batch reads them while nobody else can write.
    """
    texts = {row.values[column] for row in rows for column in ASKED if row.values.get(column)}
    paths = {folded(row.values["locator"]) for row in rows if row.values.get("locator")}
    above = {parent for path in paths for parent in _parents(path)}
    near = Q(pk__in=())
    for column in ASKED if texts else ():
        near |= maybe_alike(column, texts | above if column == "locator" else texts)
    if paths:
        # What is below one of the paths has more slashes than it. So in a flat tree, nothing more is read.
        slashes = Length(F("locator")) - Length(Replace(F("locator"), Value("/")))
        near |= Q(GreaterThan(slashes, min(path.count("/") for path in paths)))
    return near


#: The columns whose values must be those of one tenant.
_NAMES = ("tenant_name", "tenant_external_id")


def _tenants(values: set[str]) -> QuerySet[Any]:
    """Return the tenants with one of these values as short name, external id or name."""
    rows = Tenant.objects.select_related("plan").order_by()
    if len(values) > _AT_ONCE:
        return rows
    return rows.filter(maybe_alike("slug", values) | maybe_alike("external_id", values) | Q(name__in=values))


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    yield from (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
