"""Finds the connector of a service. Only this module reads the settings of connectors."""

from pathlib import Path

from django.conf import settings

from requests_app.content.connectors.base import Connector, ConnectorUnavailable
from requests_app.content.connectors.folder import Folder
from requests_app.content.connectors.maildir import Maildir

KINDS: dict[str, type[Folder] | type[Maildir]] = {Maildir.kind: Maildir, Folder.kind: Folder}


def connector_for(service_connector_name: str) -> Connector:
    """Return the connector of this name. Raise ConnectorUnavailable for an unknown name."""
    kind = KINDS.get(service_connector_name)
    if kind is None:
        raise ConnectorUnavailable("The service names a connector that this installation does not have.")
    return kind(Path(settings.CONTENT_ROOT))
