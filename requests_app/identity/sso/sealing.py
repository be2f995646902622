"""Encrypts what single sign-on stores: a connection's secret, and the cookie with the three secrets of a sign-on."""

from __future__ import annotations

from django.conf import settings

from requests_app.platform.sealing import Sealer
from requests_app.platform.sealing import Unreadable as Unreadable


def seal(secret: str) -> str:
    return _secrets().seal(secret)


def opened(sealed: str) -> str:
    """Decrypt a secret. Raise Unreadable if no key of the settings decrypts it."""
    return _secrets().opened(sealed)


def is_outdated(sealed: str) -> bool:
    """Return whether a former key encrypted this secret.

    Before that key is removed, the secret must be encrypted again.
    """
    return _secrets().is_outdated(sealed)


def seal_flow(flow: str) -> str:
    return _flows().seal(flow)


def opened_flow(sealed: str) -> str:
    """Decrypt the secrets of a sign-on from the cookie. Raise Unreadable if no key of the settings decrypts it."""
    return _flows().opened(sealed)


def _secrets() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"single sign-on secrets")


def _flows() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"single sign-on flows")
