"""Finds who can receive an engineer's browser for a service: the application that has a guard, or a tool's gate.

A receiver is at the origin of the service's link template. A change of the template is announced to customers, so a
code never goes to an address about which customers got no notice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from requests_app.domain import link_templates
from requests_app.domain.errors import NotFound
from requests_app.domain.scopes import Scope
from requests_app.models import Client, Service

#: The path that a guard and a gate keep for themselves at their host.
_RESERVED = "/.lockbox/"
#: The id of a gate in an authorization request begins with this, and the key of its service follows.
_GATE = "gate:"


@dataclass(frozen=True)
class Receiver:
    """Where a one-time code can go. Without a `client`, it is the gate of the service."""

    service: Service
    client: Client | None

    @property
    def client_id(self) -> str:
        return str(self.client.pk) if self.client is not None else f"{_GATE}{self.service.key}"

    @property
    def origin(self) -> str:
        return link_templates.origin_of(self.service.link_template)

    @property
    def redirect_uri(self) -> str:
        """The only address to which a code is sent."""
        return f"{self.origin}{_RESERVED}code"

    def open_url(self, grant_id: UUID, to: str) -> str:
        """Return the address that begins the way in. From there, the browser comes back here with a challenge."""
        return f"{self.origin}{_RESERVED}open?{urlencode({'grant': str(grant_id), 'to': to})}"


def find(client_id: str) -> Receiver | None:
    """Return the receiver that calls itself so in an authorization request, or None."""
    if client_id.startswith(_GATE):
        tool = Service.objects.filter(key=client_id.removeprefix(_GATE)).first()
        return _of_gate(tool) if tool is not None else None
    try:
        client = Client.objects.live().select_related("account", "service").find(client_id)
    except NotFound:
        return None
    return _of_client(client)


def of_services(services: Iterable[Service]) -> dict[UUID, Receiver]:
    """Return, for each of these services, the receiver to which its **Open** button leads. Others are left out.

    If a service has a gate, this is the gate. If several clients guard one service, this is the oldest.
    """
    services = list(services)
    external = {service.pk for service in services if service.is_external}
    found: dict[UUID, Receiver] = {}
    if external:
        clients = Client.objects.live().filter(service__in=external).select_related("account", "service")
        for client in clients.order_by("created_at", "pk"):
            receiver = _of_client(client)
            if receiver is not None:
                found.setdefault(receiver.service.pk, receiver)
    for gate in filter(None, map(_of_gate, services)):
        found[gate.service.pk] = gate
    return found


def of_service(service: Service) -> Receiver | None:
    return of_services([service]).get(service.pk)


def _of_client(client: Client) -> Receiver | None:
    service = client.service
    if service is None or client.tenant_id is not None or Scope.GUARD not in client.scopes:
        return None
    return Receiver(service, client) if service.is_external and service.link_template else None


def _of_gate(service: Service) -> Receiver | None:
    return Receiver(service, None) if service.has_gate and service.is_external and service.link_template else None
