"""Which connector a service's name stands for."""

from __future__ import annotations

import importlib
from pathlib import Path

from django.conf import settings

from requests_app.connectors.base import Connector, ConnectorUnavailable

KINDS = {"maildir": "requests_app.connectors.maildir.Maildir", "folder": "requests_app.connectors.folder.Folder"}


def connector_for(name: str) -> Connector:
    """Return the connector of this name, over the installation's content."""
    if name not in KINDS:
        raise ConnectorUnavailable(f"There is no connector {name!r}.")
    module, _, kind = KINDS[name].rpartition(".")
    found: Connector = getattr(importlib.import_module(module), kind)(Path(settings.CONTENT_ROOT))
    return found
