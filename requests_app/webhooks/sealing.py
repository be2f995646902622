"""The keys of webhooks at rest: they must be read to sign with them, so they are encrypted and not hashed."""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from requests_app.webhooks.standard import Keys


class Unreadable(Exception):
    """No key of the settings opens this: one was changed, and the former one is named nowhere."""


def seal(keys: Keys) -> str:
    return _first().encrypt(json.dumps([keys.whsec, keys.whsk]).encode()).decode()


def opened(sealed: str) -> Keys:
    """Raises Unreadable."""
    try:
        return Keys.parse(*json.loads(MultiFernet(_all()).decrypt(sealed.encode())))
    except (InvalidToken, ValueError, TypeError):
        raise Unreadable from None


def is_outdated(sealed: str) -> bool:
    """Whether a former key sealed this, so that it must be sealed anew before that one can go."""
    try:
        _first().decrypt(sealed.encode())
    except InvalidToken:
        return True
    return False


def _first() -> Fernet:
    return _all()[0]


def _all() -> list[Fernet]:
    # The settings' keys have any length; Fernet's have 32 bytes.
    return [
        Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"webhook secrets\n" + key.encode()).digest()))
        for key in settings.WEBHOOK_KEYS
    ]
