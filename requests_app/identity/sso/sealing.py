"""Encrypts what single sign-on stores: the secret of a connection, and the cookie with the secrets of one sign-on."""

from __future__ import annotations

from django.conf import settings

from requests_app.platform.sealing import Sealer
from requests_app.platform.sealing import Unreadable as Unreadable


def seal(secret: str) -> str:
    return _secrets().seal(secret)


def opened(sealed: str) -> str:
    """Return the decrypted secret. Raises Unreadable."""
    return _secrets().opened(sealed)


def is_outdated(sealed: str) -> bool:
    """Return whether a former key encrypted this secret. It must be encrypted again before that key is removed."""
    return _secrets().is_outdated(sealed)


def seal_flow(flow: str) -> str:
    return _flows().seal(flow)


def opened_flow(sealed: str) -> str:
    """Return the decrypted flow. Raises Unreadable."""
    return _flows().opened(sealed)


def _secrets() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"single sign-on secrets")


def _flows() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"single sign-on flows")
