"""Adds and changes resources. A resource always stays under the root of its tenant."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import (
    ADD_RESOURCE,
    CHANGE_RESOURCE,
    RENAME_RESOURCE,
    RESOURCE_ADDED,
    RESOURCE_CHANGED,
    SAVE_RESOURCE,
)
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.domain.imports import REASONS
from requests_app.domain.spelling import folded, is_plain_path, overlap
from requests_app.models import AccessRequest, Resource, Service, Tenant
from requests_app.models.services import ASKED, is_own_place
from requests_app.models.spelling import is_taken, maybe_alike
from requests_app.operations import _weakening
from requests_app.operations._announced import Terms, announced, is_announced
from requests_app.operations._change import Step
from requests_app.operations._perform import perform
from requests_app.operations._rows import (
    change_row,
    copy_with,
    differing,
    free_external_id,
    protected_tenant,
    readable,
    require_unchanged,
    validated,
)
from requests_app.platform import bell

_NEW = frozenset({"name", "kind", "locator", "is_active", "external_id"})


def save_resource(*, actor: Actor, resource_id: object = None, is_upsert: bool = False, **wanted: Any) -> Resource:
    """Add a resource, or change its name, its locator, its external id, or whether it is active.

    With `is_upsert`, change the resource of this tenant and service that has the same external id. If no resource has
    it, add one.

    A new resource of a service that is not covered is announced: the customer will not be asked about accesses to it.
    A new name, locator or external id of a resource that exists is announced too: a well-known name could then lead to
    other content, or a harmless name to well-known content.
    """

    def find(current: Step, row_id: object) -> Resource:
        resource = _found(current, row_id) if row_id else _named_or_new(current, wanted, is_upsert=is_upsert)
        current.concerns("resource", resource, resource.tenant_id)
        return resource

    def state(current: Step) -> None:
        if current.row.is_practice:
            raise WrongState(_("A practice resource can’t be changed. Its content is made up."))

    def check(current: Step) -> None:
        resource: Resource = current.row
        wanted.update(readable(resource, wanted))
        if not resource._state.adding and wanted.pop("kind", resource.kind) != resource.kind:
            raise Unacceptable(_("The kind of a resource can’t be changed."), field="kind")
        _require_fitting(resource, wanted)
        current.require_proof(needed=False)

    def announces(current: Step) -> tuple[Change, Terms] | None:
        resource: Resource = current.row
        return _adding(resource, wanted) if resource._state.adding else _changing(resource, wanted)

    with perform(
        SAVE_RESOURCE, resource_id, actor=actor, find=find, state=state, check=check, announces=announces
    ) as current:
        resource: Resource = current.row
        # Tenant and service can't be changed, because windows that are open would then cover something else.
        allowed, event = (_NEW, RESOURCE_ADDED) if resource._state.adding else (_NEW - {"kind"}, RESOURCE_CHANGED)
        _save(current, resource, wanted, allowed=set(allowed), event=event)
    return resource


def _save(current: Step, resource: Resource, wanted: Terms, *, allowed: set[str], event: Event) -> None:
    """Save the resource. A task tests it after the commit: a store that hangs must not hold the locks of this act."""
    resource.next_check_at = None
    change_row(current, resource, wanted, allowed=allowed, event=event)
    bell.ring(bell.CHECK_RESOURCES)


def _found(current: Step, row_id: object) -> Resource:
    row: Resource = Resource.objects.visible_to(current.actor).select_related("tenant", "service").locked().find(row_id)
    return row


def _named_or_new(current: Step, wanted: Terms, *, is_upsert: bool) -> Resource:
    """Take the tenant and the service out of `wanted`. Return their resource with this external id, or a new one."""
    tenant = Tenant.objects.visible_to(current.actor).find(wanted.pop("tenant_id", None))
    service = Service.objects.visible_to(current.actor).find(wanted.pop("service_id", None))
    external_id = str(wanted.get("external_id") or "").strip()
    if is_upsert and external_id:
        same = Resource.objects.filter(tenant=tenant, service=service, external_id=external_id).first()
        if same is not None:
            return _found(current, same.pk)
    return Resource(tenant=tenant, service=service)


def _require_fitting(resource: Resource, wanted: Terms) -> None:
    """Raise Unacceptable if the locator or the external id that the resource would get is not free, or not allowed."""
    if resource.service.is_external:
        _require_no_locator(resource, wanted)
    elif resource._state.adding or wanted.get("locator", resource.locator) != resource.locator:
        _require_place(resource, wanted.get("locator"))
    if "external_id" in wanted:
        # Among the resources of all tenants: the application has only one object with this id. If a second tenant could
        # have a resource with it, that tenant would be asked instead of the owner.
        others = Resource.objects.filter(service=resource.service_id)
        wanted["external_id"] = free_external_id(wanted["external_id"], resource, others)
        if resource._state.adding and not wanted["external_id"]:
            del wanted["external_id"]
    _require_unmistakable(resource, wanted)


def _require_unmistakable(resource: Resource, wanted: Terms) -> None:
    """Raise Unacceptable if a new name, locator or external id is already a text of another kind of another resource.

    The decision point takes all three. It could not tell which resource such a text means, and would deny access that
    was approved. Two resources can have the same name: people choose names, and applications don't rely on them.
    """
    others = Resource.objects.filter(tenant=resource.tenant_id, service=resource.service_id).exclude(pk=resource.pk)
    for field in sorted(ASKED):
        text = wanted.get(field, getattr(resource, field))
        is_new = resource._state.adding or text != getattr(resource, field)
        if text and is_new and is_taken(text, others, *(each for each in ASKED if each != field)):
            raise Unacceptable(REASONS["mistakable"], field=field)


def _require_no_locator(resource: Resource, wanted: Terms) -> None:
    """Raise Unacceptable unless a resource of an external service has an external id and no locator.

    The external id is its name in the application, and is part of a link. A text of dots can't be encoded there.
    """
    named = {"application": resource.service.application}
    if wanted.pop("locator", ""):
        words = _("%(application)s holds the content, so this resource has no locator. Enter its external id.")
        raise Unacceptable(words % named, field="locator")
    external_id = str(wanted.get("external_id", resource.external_id) or "").strip()
    if not external_id:
        words = _("Enter the id that this resource has in %(application)s.") % named
        raise Unacceptable(words, field="external_id")
    if external_id in (".", ".."):
        raise Unacceptable(_("This is not allowed as an external id."), field="external_id")


def _adding(resource: Resource, wanted: Terms) -> tuple[Change, Terms] | None:
    found = _weakening.addition(resource, wanted)
    if found is not None:
        validated(copy_with(resource, wanted))
    return found


def _changing(resource: Resource, wanted: Terms) -> tuple[Change, Terms] | None:
    changed = differing(resource, wanted)["set"]
    if changed in ({}, {"is_active": False}):
        return None
    validated(copy_with(resource, wanted))
    if "is_active" in changed and len(changed) > 1:
        other = {name: value for name, value in changed.items() if name != "is_active"}
        if is_announced(*_weakening.change(resource, other)):
            words = _(
                "The customer is informed before this changes: %(fields)s. First save the other change. Then make this "
                "change."
            )
            raise Unacceptable(words % {"fields": ", ".join(sorted(other))}, field="is_active")
    return _weakening.change(resource, changed)


@announced(ADD_RESOURCE, touches=protected_tenant)
def _add_resource_agreed(current: Step, terms: Terms) -> None:
    resource = Resource(tenant=Tenant.objects.get(pk=terms["tenant"]), service=Service.objects.get(pk=terms["service"]))
    current.tenant_id, current.subject_type, current.subject_id = resource.tenant_id, "resource", str(resource.pk)
    _require_fitting(resource, dict(terms["wanted"]))
    _save(current, resource, terms["wanted"], allowed=set(_NEW), event=RESOURCE_ADDED)


def _tenant_of_change(terms: Terms) -> list[UUID]:
    """Return the tenant, if it has ever had Lockbox on and the change could reduce its protection. Otherwise return [].

    The terms of a new name alone have no other fields, and do not list their fields.
    """
    resource = Resource.objects.real().filter(pk=terms["resource"])
    is_covered = resource.filter(service__is_covered=True).exists()
    if not _weakening.weakens(terms.get("set", ("name",)), is_covered=is_covered):
        return []
    return list(Tenant.objects.ever_on().filter(pk__in=resource.values("tenant")).values_list("pk", flat=True))


def _lock_resource(terms: Terms) -> None:
    list(Resource.objects.filter(pk=terms["resource"]).locked())


def _resource_in_use(terms: Terms, at: datetime) -> bool:
    return AccessRequest.objects.under_way(at).filter(scope__resource=terms["resource"]).exists()


@announced(RENAME_RESOURCE, touches=_tenant_of_change, lock=_lock_resource, waits=_resource_in_use)
def _rename_resource_agreed(current: Step, terms: Terms) -> None:
    resource = Resource.objects.real().get(pk=terms["resource"])
    if resource.name != terms["was"]:
        raise WrongState(_("The resource was renamed after the proposal was made. Propose the change again."))
    _require_unmistakable(resource, {"name": terms["name"]})
    current.tenant_id, current.subject_type, current.subject_id = resource.tenant_id, "resource", str(resource.pk)
    _save(current, resource, {"name": terms["name"]}, allowed={"name"}, event=RESOURCE_CHANGED)


@announced(CHANGE_RESOURCE, touches=_tenant_of_change, lock=_lock_resource, waits=_resource_in_use)
def _change_resource_agreed(current: Step, terms: Terms) -> None:
    resource = Resource.objects.select_related("tenant", "service").get(pk=terms["resource"])
    require_unchanged(resource, terms)
    _require_fitting(resource, dict(terms["set"]))
    current.tenant_id, current.subject_type, current.subject_id = resource.tenant_id, "resource", str(resource.pk)
    _save(current, resource, terms["set"], allowed=set(_NEW - {"kind"}), event=RESOURCE_CHANGED)


def _require_place(resource: Resource, locator: object) -> None:
    """Raise Unacceptable unless the resource is under its tenant's root, and not above or below another resource.

    Otherwise a resource with a harmless name could give access to another tenant's content.
    """
    path = locator if isinstance(locator, str) else ""
    if not is_own_place(resource.tenant, path):
        root = resource.tenant.slug
        raise Unacceptable(
            _("The locator must begin with this tenant's own root: %(root)s/…") % {"root": root}, field="locator"
        )
    if not is_plain_path(path):
        raise Unacceptable(REASONS["not_a_plain_path"], field="locator")
    above = [str(parent) for parent in PurePosixPath(path).parents]
    near = maybe_alike("locator", [path, *above]) | Q(locator__istartswith=f"{folded(path)}/")
    others = Resource.objects.filter(near, tenant=resource.tenant).exclude(pk=resource.pk).exclude(locator="")
    if any(overlap(other, path) for other in others.values_list("locator", flat=True)):
        raise Unacceptable(_("Another resource has this locator, or a locator above or below it."), field="locator")
