"""Adds and changes resources. A resource always stays under the root of its tenant."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Proposal as Change
from requests_app.domain.acts.installation import (
    ADD_RESOURCE,
    RENAME_RESOURCE,
    RESOURCE_ADDED,
    RESOURCE_CHANGED,
    SAVE_RESOURCE,
)
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.models import AccessRequest, AccessRequestResource, Resource, Service, Tenant
from requests_app.models.services import is_own_place
from requests_app.operations._announced import Terms, announced, is_announced
from requests_app.operations._change import Step
from requests_app.operations._perform import perform
from requests_app.operations._rows import change_row, copy_with, protected_tenant, validated


def save_resource(*, actor: Actor, resource_id: object = None, **wanted: Any) -> Resource:
    """Add a resource, or change its name or whether it is active.

    A new resource of a service that is not covered is announced: the customer will not be asked about accesses to it.
    """

    # Tenant and service can't be changed, because windows that are open would then cover something else.
    allowed, event = {"name", "is_active"}, RESOURCE_CHANGED
    if not resource_id:
        allowed, event = {"name", "kind", "locator", "is_active"}, RESOURCE_ADDED

    def find(current: Step, row_id: object) -> Resource:
        if row_id:
            resource: Resource = Resource.objects.visible_to(current.actor).locked().find(row_id)
        else:
            tenant = Tenant.objects.visible_to(current.actor).find(wanted.pop("tenant_id", None))
            service = Service.objects.visible_to(current.actor).find(wanted.pop("service_id", None))
            resource = Resource(tenant=tenant, service=service)
        current.concerns("resource", resource, resource.tenant_id)
        return resource

    def state(current: Step) -> None:
        if current.row.is_practice:
            raise WrongState(_("A practice resource can’t be changed. Its content is made up."))

    def check(current: Step) -> None:
        if not resource_id:
            _require_place(current.row, wanted.get("locator"))
        current.require_proof(needed=False)

    def announces(current: Step) -> tuple[Change, Terms] | None:
        return _renaming(current.row, wanted) if resource_id else _adding(current.row, wanted)

    with perform(
        SAVE_RESOURCE, resource_id, actor=actor, find=find, state=state, check=check, announces=announces
    ) as current:
        resource: Resource = current.row
        change_row(current, resource, wanted, allowed=allowed, event=event)
    return resource


def _adding(resource: Resource, wanted: Terms) -> tuple[Change, Terms] | None:
    if resource.service.is_covered:
        return None
    validated(copy_with(resource, wanted))
    of = {"tenant": str(resource.tenant_id), "tenant_name": resource.tenant.name}
    of |= {"service": str(resource.service_id), "service_name": resource.service.name}
    return ADD_RESOURCE, {**of, "name": wanted.get("name", ""), "wanted": wanted}


def _renaming(resource: Resource, wanted: Terms) -> tuple[Change, Terms] | None:
    if wanted.get("name", resource.name) == resource.name:
        return None
    terms = {"resource": str(resource.pk), "was": resource.name, "name": wanted["name"]}
    validated(copy_with(resource, {"name": wanted["name"]}))
    is_both = wanted.get("is_active", resource.is_active) != resource.is_active
    if is_both and is_announced(RENAME_RESOURCE, terms):
        words = _("The customer is informed before a name changes. First save the other change. Then change the name.")
        raise Unacceptable(words, field="is_active")
    return RENAME_RESOURCE, terms


@announced(ADD_RESOURCE, touches=protected_tenant)
def _add_resource_agreed(current: Step, terms: Terms) -> None:
    resource = Resource(tenant=Tenant.objects.get(pk=terms["tenant"]), service=Service.objects.get(pk=terms["service"]))
    _require_place(resource, terms["wanted"].get("locator"))
    current.tenant_id, current.subject_type, current.subject_id = resource.tenant_id, "resource", str(resource.pk)
    allowed = {"name", "kind", "locator", "is_active"}
    change_row(current, resource, terms["wanted"], allowed=allowed, event=RESOURCE_ADDED)


def _tenant_of_resource(terms: Terms) -> list[UUID]:
    """Return the tenant of the resource, if an access request has ever named the resource. Otherwise return []."""
    resource = Resource.objects.real().filter(pk=terms["resource"])
    if not AccessRequestResource.objects.filter(resource=terms["resource"]).exists():
        return []
    return list(Tenant.objects.ever_on().filter(pk__in=resource.values("tenant")).values_list("pk", flat=True))


def _lock_resource(terms: Terms) -> None:
    list(Resource.objects.filter(pk=terms["resource"]).locked())


def _resource_in_use(terms: Terms, at: datetime) -> bool:
    return AccessRequest.objects.under_way(at).filter(scope__resource=terms["resource"]).exists()


@announced(RENAME_RESOURCE, touches=_tenant_of_resource, lock=_lock_resource, waits=_resource_in_use)
def _rename_resource_agreed(current: Step, terms: Terms) -> None:
    resource = Resource.objects.real().get(pk=terms["resource"])
    if resource.name != terms["was"]:
        raise WrongState(_("The resource was renamed after the proposal was made. Propose the change again."))
    current.tenant_id, current.subject_type, current.subject_id = resource.tenant_id, "resource", str(resource.pk)
    change_row(current, resource, {"name": terms["name"]}, allowed={"name"}, event=RESOURCE_CHANGED)


def _require_place(resource: Resource, locator: object) -> None:
    """Raise Unacceptable unless the resource is under its tenant's root, and not above or below another resource.

    Otherwise a resource with a harmless name could give access to another tenant's content.
    """
    path = PurePosixPath(locator if isinstance(locator, str) else "")
    if not is_own_place(resource.tenant, str(path)):
        root = resource.tenant.slug
        raise Unacceptable(
            _("The locator must begin with this tenant's own root: %(root)s/…") % {"root": root}, field="locator"
        )
    above = [str(parent) for parent in path.parents]
    others = Resource.objects.filter(tenant=resource.tenant)
    if others.filter(Q(locator__in=[str(path), *above]) | Q(locator__startswith=f"{path}/")).exists():
        raise Unacceptable(_("Another resource has this locator, or a locator above or below it."), field="locator")
