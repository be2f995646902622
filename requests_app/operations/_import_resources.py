"""Judges and writes the rows of an import that are about resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.domain.acts.installation import RESOURCE_ADDED, RESOURCE_CHANGED
from requests_app.domain.imports import Row, some_of
from requests_app.domain.spelling import is_composed, is_plain_path
from requests_app.models import Resource, Service
from requests_app.models.services import ASKED, is_under
from requests_app.operations import _weakening
from requests_app.operations._change import Step
from requests_app.operations._import_judged import Judged, entry_about, new_here, set_values
from requests_app.operations._import_world import Place, Thing, World
from requests_app.operations._rows import differing


def judge_resource(world: World, row: Row) -> Judged:
    """Compare a row with its resource, which is found by its external id, or else by its locator."""
    values = row.values
    found = Judged(row, name=values.get("name") or values.get("external_id") or values.get("locator", ""))
    service = world.service(values.get("service", ""))
    if "service" in values and service is None:
        found.fault("service", "unknown_service", value=values["service"], known=some_of(world.services))
    key = values.get("tenant")
    place = world.place(key) if key is not None else None
    if key is not None and place is None:
        found.fault("tenant", "unknown_tenant", value=key)
    if place is None or key is None or service is None:
        return found
    found.slug = place.slug
    if world.is_ambiguous(key):
        found.fault("tenant", "ambiguous_tenant")
    if service.is_external:
        _require_no_locator(found, service)
    elif "locator" in values:
        _require_place(found, place.slug)
    external_id = values.get("external_id", "")
    thing = place.by_external_id.get((service.key, external_id)) if external_id else None
    if external_id and thing is None:
        _require_free_id(world, found, service, external_id)
    thing = thing or place.by_locator.get((service.key, values.get("locator", "")))
    _require_unmistakable(found, place, service, thing)
    if thing is None:
        _judge_new_resource(world, found, place, service)
    else:
        _judge_known_resource(world, found, place, service, thing)
    return found


def _require_free_id(world: World, found: Judged, service: Service, external_id: str) -> None:
    if not is_composed(external_id):
        found.fault("external_id", "not_composed")
    elif (code := world.why_taken(service, external_id, found.slug)) is not None:
        holder = world.holder_of(service, external_id, found.slug)
        found.fault("external_id", code, value=external_id, other=holder)


def _require_place(found: Judged, slug: str) -> None:
    locator = found.row.values["locator"]
    if not is_under(slug, locator):
        found.fault("locator", "outside_root", root=slug)
    elif not is_plain_path(locator):
        found.fault("locator", "not_a_plain_path")


def _require_no_locator(found: Judged, service: Service) -> None:
    """Refuse a locator in an external service: the external id is the resource's name in the application."""
    if "locator" in found.row.values:
        found.fault("locator", "no_locator", application=service.application)
    if found.row.values.get("external_id") in (".", ".."):
        found.fault("external_id", "not_an_id")


def _judge_new_resource(world: World, found: Judged, place: Place, service: Service) -> None:
    values = found.row.values
    found.is_new = True
    what = found.name or _("the resource")
    for name in ("kind", "name", "external_id" if service.is_external else "locator"):
        if name == "external_id" and name not in values:
            found.fault(name, "needed", because="outside", what=service.name)
        elif name not in values:
            found.fault(name, "needed", because="for_new", what=what)
    locator = values.get("locator", "")
    _require_kind(found)
    _require_free(found, place, locator)
    wanted = {name: values.get(name, "") for name in ("kind", "name", *(() if service.is_external else ("locator",)))}
    wanted |= {"is_active": values.get("active", True)}
    wanted |= {"external_id": values["external_id"]} if "external_id" in values else {}
    # The id is drawn when the row is written, because a row is judged several times.
    resource = Resource(id=None, service=service, **wanted)
    if place.tenant is not None:
        resource.tenant = place.tenant
    if service.key in world.waiting:
        found.waits_for = service.name
    elif place.is_protected and (addition := _weakening.addition(resource, wanted)) is not None:
        found.held.append(addition)
    found.target, found.sets = resource, wanted
    _remember(world, found, place, service, Thing(resource))


def _judge_known_resource(world: World, found: Judged, place: Place, service: Service, thing: Thing) -> None:
    resource: Resource = thing.resource
    found.target, found.name = resource, resource.name
    named = {name: value for name, value in found.row.values.items() if name not in ("tenant", "service")}
    if resource._state.adding:
        _compare_with_new(found, thing, named)
        return
    wanted = new_here(found, thing.stated, named)
    if wanted.get("kind", resource.kind) != resource.kind:
        found.fault("kind", "cannot_change", now=resource.kind)
    external_id = wanted.get("external_id", resource.external_id)
    if resource.external_id and external_id != resource.external_id:
        found.fault("external_id", "another_external_id", external_id=resource.external_id)
    if wanted.get("locator", resource.locator) != resource.locator:
        _require_free(found, place, wanted["locator"])
    wanted = {_FIELDS.get(name, name): value for name, value in wanted.items() if name != "kind"}
    changed = differing(resource, wanted)["set"]
    if changed.get("is_active") is False:
        # Switching off takes power away, so it never waits.
        found.sets["is_active"] = changed.pop("is_active")
    _now_or_held(world, found, place, changed)
    _remember(world, found, place, service, thing)


#: The columns whose field has another name.
_FIELDS = {"active": "is_active"}


def _now_or_held(world: World, found: Judged, place: Place, changed: dict[str, Any]) -> None:
    resource: Resource = found.target
    is_covered = world.services[found.row.values["service"]].is_covered
    if place.is_protected and _weakening.weakens(changed, is_covered=is_covered):
        assert place.tenant is not None
        resource.tenant = place.tenant
        found.held.append(_weakening.change(resource, changed))
    else:
        found.sets |= changed


def _compare_with_new(found: Judged, thing: Thing, named: dict[str, Any]) -> None:
    """Refuse what differs from the row of the source that adds this resource."""
    first = min((line for _value, line in thing.stated.values()), default=1)
    for name, value in named.items():
        stated, line = thing.stated.get(name, (None, first))
        if stated != value:
            found.fault(name, "contradicts", line=line)


def _require_kind(found: Judged) -> None:
    if found.row.values.get("kind", Resource.Kind.MAILBOX) not in Resource.Kind.values:
        found.fault("kind", "not_a_choice", choices=", ".join(Resource.Kind.values))


def _require_free(found: Judged, place: Place, locator: str) -> None:
    if locator and (other := place.in_the_way(locator)) is not None:
        found.fault("locator", "overlaps", other=other)


def _require_unmistakable(found: Judged, place: Place, service: Service, thing: Thing | None) -> None:
    """Refuse a new text by which the decision point could confuse two resources of the tenant and the service."""
    key = thing.key if thing is not None else None
    for column in ASKED:
        text = found.row.values.get(column, "")
        is_old = thing is not None and getattr(thing.resource, column) == text
        if text and not is_old and place.is_mistakable(service.key, key, column, text):
            found.fault(column, "mistakable")


def _remember(world: World, found: Judged, place: Place, service: Service, thing: Thing) -> None:
    """Add what the row says to what exists, so that the following rows are compared with it too."""
    values = found.row.values
    for name, value in values.items():
        if name not in ("tenant", "service"):
            thing.stated.setdefault(name, (value, found.row.line))
    texts = {name: values[name] for name in ASKED if name in values}
    place.note_texts(service.key, thing.key, **texts)
    if locator := values.get("locator"):
        place.by_locator.setdefault((service.key, locator), thing)
        place.occupy(locator, found.name)
    if external_id := values.get("external_id"):
        place.by_external_id.setdefault((service.key, external_id), thing)
        world.note_resource(service, external_id, place.slug)


def write_resources(current: Step, world: World, judged: Sequence[Judged]) -> list[recorder.Witnessed]:
    entries, new = [], []
    changed: dict[tuple[str, ...], list[Resource]] = {}
    for each in judged:
        resource: Resource = each.target
        if each.is_new and not (each.held or each.waits_for):
            tenant = world.places[each.slug].tenant
            assert tenant is not None
            resource.tenant, resource.pk = tenant, uuid4()
            new.append(resource)
            detail = {"set": {name: str(value) for name, value in each.sets.items()}, "was": {}}
            entries.append(entry_about(current, RESOURCE_ADDED, tenant.pk, "resource", resource, detail))
        elif each.sets and not each.is_new:
            detail = set_values(resource, each.sets)
            changed.setdefault(tuple(each.sets), []).append(resource)
            entries.append(entry_about(current, RESOURCE_CHANGED, resource.tenant_id, "resource", resource, detail))
    Resource.objects.bulk_create(new, batch_size=500)
    for names, resources in changed.items():
        for resource in resources:
            # New resources are due for a test already.
            resource.next_check_at = None
        Resource.objects.bulk_update(resources, [*names, "next_check_at"], batch_size=200)
    return entries
