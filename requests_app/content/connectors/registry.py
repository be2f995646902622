"""Finds the connector of a service. Only this module reads the settings of connectors."""

from pathlib import Path

from django.conf import settings

from requests_app.content.connectors.base import Connector, ConnectorUnavailable
from requests_app.content.connectors.folder import Folder
from requests_app.content.connectors.maildir import Maildir

#: The made-up content of practice resources. It ships with the product, and nothing writes to it.
PRACTICE_ROOT = Path(__file__).parents[1] / "practice"

KINDS: dict[str, type[Folder] | type[Maildir]] = {Maildir.kind: Maildir, Folder.kind: Folder}


def connector_for(service_connector_name: str) -> Connector:
    """Return the connector of this name. Raise ConnectorUnavailable for an unknown name."""
    kind = KINDS.get(service_connector_name)
    if kind is None:
        raise ConnectorUnavailable("The service names a connector that this installation does not have.")
    return kind(Path(settings.CONTENT_ROOT))


def holds_messages(service_connector_name: str) -> bool:
    """Return whether the connector of this name reads mail."""
    kind = KINDS.get(service_connector_name)
    return kind is not None and kind.holds_messages


def practice_connector(*, holds_messages: bool) -> tuple[Connector, str]:
    """Return the connector of a practice resource, and the locator of its made-up content.

    The setting CONTENT_ROOT and the service's connector have no part in this, so it can't lead to real content.
    """
    return (Maildir(PRACTICE_ROOT), "mailbox") if holds_messages else (Folder(PRACTICE_ROOT), "library")
