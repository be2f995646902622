"""Lists places in the store that could become resources of a tenant. No content is read."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from requests_app.content import checking
from requests_app.content.connectors.base import (
    Connector,
    ConnectorError,
    ConnectorUnavailable,
    ItemNotFound,
    Malformed,
    Place,
    Places,
    ResourceNotFound,
)
from requests_app.content.connectors.registry import connector_for
from requests_app.domain import errors
from requests_app.domain.actors import Actor
from requests_app.domain.acts.installation import FIND_RESOURCES, RESOURCES_LISTED
from requests_app.domain.errors import ContentUnavailable, TooMany, Unacceptable
from requests_app.models import Resource, Service, Tenant
from requests_app.models.services import is_own_place
from requests_app.operations._change import Step
from requests_app.operations._perform import perform
from requests_app.platform import patience

#: How many places one page has.
PLACES_SHOWN = 50


class NoContent(Unacceptable):
    """The tenant has no directory for its content yet."""


@dataclass(frozen=True)
class FoundPlaces:
    """One page of places, the kind that their resources would have, and where the next page begins."""

    service: Service
    kind: str
    places: tuple[Place, ...]
    next_after: str | None


def find_resources(tenant_id: object, *, service_id: object, after: str = "", actor: Actor) -> FoundPlaces:
    """List what the service's connector finds under the tenant's own root, without what is a resource already.

    The connector is asked outside of any transaction. The names are returned after the tenant's log has them: a name in
    the store can be content, and nobody has been given access.
    """
    services: list[Service] = []

    def check(current: Step) -> None:
        services[:] = [Service.objects.visible_to(current.actor).find(service_id)]
        if services[0].is_external:
            words = _("%(application)s holds the content of this service, so its resources can’t be listed here.")
            raise Unacceptable(words % {"application": services[0].application}, field="service")

    with perform(FIND_RESOURCES, tenant_id, actor=actor.sending(None), check=check) as asked:
        tenant: Tenant = asked.row
    [service] = services
    found, kind = _listed(tenant, service, after or None)
    with perform(FIND_RESOURCES, tenant_id, actor=actor, check=check) as current:
        places = [place.locator for place in found.places]
        current.witness(RESOURCES_LISTED, detail={"service": service.name, "places": places}, text=service.name)
    return FoundPlaces(service, kind, found.places, found.next_after)


def _listed(tenant: Tenant, service: Service, after: str | None) -> tuple[Places, str]:
    taken = list(Resource.objects.real().filter(tenant=tenant).exclude(locator="").values_list("locator", flat=True))
    try:
        connector = connector_for(service.connector)
    except ConnectorUnavailable as error:
        raise ContentUnavailable from error
    try:
        found = checking.bounded(
            connector, lambda: connector.resources(tenant.slug, taken=taken, after=after, limit=PLACES_SHOWN)
        )
    except ResourceNotFound as error:
        raise _missing(connector, tenant) from error
    except ItemNotFound as error:
        words = _("The connector of this service can’t list its resources. Add each of them by its locator.")
        raise Unacceptable(words, field="service") from error
    except Malformed as error:
        raise errors.Malformed from error
    except patience.NoPlace as error:
        words = _("Several tests of this connector have not returned yet. Wait a moment, then try again.")
        raise TooMany(words) from error
    except (ConnectorError, patience.TookTooLong) as error:
        if isinstance(error, ConnectorUnavailable) and connector.is_store_missing():
            raise _missing(connector, tenant) from error
        raise ContentUnavailable from error
    inside = tuple(place for place in found.places if is_own_place(tenant, place.locator))
    return Places(inside, found.next_after), connector.kinds[0]


def _missing(connector: Connector, tenant: Tenant) -> NoContent:
    """Return the refusal for a tenant without a root. Only the operator can make it, so it is no fault that passes."""
    words = _("%(place)s does not exist. Put this customer’s content there, or mount it. Then try again.")
    return NoContent(words % {"place": connector.place_of(tenant.slug)}, field="service")
