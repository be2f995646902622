"""Where an engineer finds the resources of a window that another application holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from requests_app.domain import link_templates
from requests_app.models import AccessRequest, Grant, Resource
from requests_app.queries.receivers import Receiver


@dataclass(frozen=True)
class Place:
    """A resource with its link into the application. Without a link, `url` is "".

    If a guard or a gate receives the browser, the link begins the way in, and the engineer needs no other sign-in.
    """

    resource: Resource
    url: str
    signs_in: bool = False


def places(asked: AccessRequest, grant: Grant, resources: Iterable[Resource], receiver: Receiver | None) -> list[Place]:
    named = {"tenant": asked.tenant.external_id or asked.tenant.slug, "access_request": asked.reference}
    template = asked.service.link_template
    found = []
    for resource in resources:
        link = link_templates.fill(template, {**named, "external_id": resource.external_id})
        if link and receiver is not None:
            found.append(Place(resource, receiver.open_url(grant.pk, link_templates.path_of(link)), signs_in=True))
        else:
            found.append(Place(resource, link))
    return found
