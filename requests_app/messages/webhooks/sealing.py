"""The keys of webhooks at rest: they must be read to sign with them, so they are encrypted and not hashed."""

from __future__ import annotations

import json

from django.conf import settings

from requests_app.messages.webhooks.standard import Keys
from requests_app.platform.sealing import Sealer
from requests_app.platform.sealing import Unreadable as Unreadable


def seal(keys: Keys) -> str:
    return _sealer().seal(json.dumps([keys.whsec, keys.whsk]))


def opened(sealed: str) -> Keys:
    """Raises Unreadable."""
    try:
        return Keys.parse(*json.loads(_sealer().opened(sealed)))
    except (ValueError, TypeError):
        raise Unreadable from None


def is_outdated(sealed: str) -> bool:
    """Whether a former key sealed this, so that it must be sealed anew before that one can go."""
    return _sealer().is_outdated(sealed)


def _sealer() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"webhook secrets")
