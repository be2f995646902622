"""Reads for the pages that show content: a window and its resources."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.models import Grant, Resource
from requests_app.queries import access


@dataclass(frozen=True)
class Window:
    """One of the actor's own grants with its resources, in the order that the access request has."""

    grant: Grant
    resources: list[Resource]
    is_live: bool
    opens_later: bool

    def resource(self, resource_id: UUID) -> Resource:
        """Return one of this window's resources.

        Raise NotFound for every other id, whether a resource with that id exists or not.
        """
        found = next((resource for resource in self.resources if resource.pk == resource_id), None)
        if found is None:
            raise NotFound
        return found


def window(grant_id: object, *, actor: Actor, at: datetime) -> Window:
    """Return a window for the engineer to whom it belongs.

    Raise NotAllowed for everybody else who may see that the window exists.
    """
    grant = access.grant(grant_id, actor=actor)
    access_request = grant.access_request
    where = {"tenant_id": grant.tenant_id, "service_id": access_request.service_id}
    policy.require_role(actor, frozenset({Role.ENGINEER}), **where)
    if access_request.requester_human != actor.human_id:
        raise NotAllowed(_("This window belongs to another engineer."))
    resources = [line.resource for line in access_request.scope.all()]
    is_live = grant.is_live(at) and (access_request.ticket is None or access_request.ticket.is_live)
    opens_later = grant.closed_at is None and at < grant.opens_at
    return Window(grant, resources, is_live, opens_later)


def resource(resource_id: UUID, *, actor: Actor) -> Resource:
    """Return a resource that the actor may see.

    Whether an open window covers the resource is checked later, by the operation.
    """
    return cast(Resource, Resource.objects.visible_to(actor).find(resource_id))
