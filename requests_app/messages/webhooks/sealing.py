"""Stores the keys of webhooks encrypted. They can't be hashed, because the product must read them to sign."""

from __future__ import annotations

import json

from django.conf import settings

from requests_app.messages.webhooks.standard import Keys
from requests_app.platform.sealing import Sealer
from requests_app.platform.sealing import Unreadable as Unreadable


def seal(keys: Keys) -> str:
    return _sealer().seal(json.dumps([keys.whsec, keys.whsk]))


def opened(sealed: str) -> Keys:
    """Return the decrypted keys. Raise Unreadable if they can't be decrypted."""
    try:
        return Keys.parse(*json.loads(_sealer().opened(sealed)))
    except (ValueError, TypeError):
        raise Unreadable from None


def seal_header(value: str) -> str:
    """Encrypt the Authorization header that the receiver of a signal stream wants."""
    return _header_sealer().seal(value)


def opened_header(sealed: str) -> str:
    """Return the decrypted header. Raise Unreadable if it can't be decrypted."""
    return _header_sealer().opened(sealed)


def is_header_outdated(sealed: str) -> bool:
    return _header_sealer().is_outdated(sealed)


def is_outdated(sealed: str) -> bool:
    """Return whether these keys were encrypted with a former key of the settings.

    They must be encrypted again before that former key is removed from the settings.
    """
    return _sealer().is_outdated(sealed)


def _header_sealer() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"signal streams")


def _sealer() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"webhook secrets")
