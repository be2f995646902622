"""Seals what single sign-on stores: a connection's secret, and what the browser carries during a sign-on."""

from __future__ import annotations

from django.conf import settings

from requests_app.platform.sealing import Sealer
from requests_app.platform.sealing import Unreadable as Unreadable


def seal(secret: str) -> str:
    return _secrets().seal(secret)


def opened(sealed: str) -> str:
    """Return the secret in plain. Raises Unreadable."""
    return _secrets().opened(sealed)


def is_outdated(sealed: str) -> bool:
    """Return whether a former key sealed this, so that it must be sealed again before that key can be removed."""
    return _secrets().is_outdated(sealed)


def seal_flow(flow: str) -> str:
    return _flows().seal(flow)


def opened_flow(sealed: str) -> str:
    """Return the flow in plain. Raises Unreadable."""
    return _flows().opened(sealed)


def _secrets() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"single sign-on secrets")


def _flows() -> Sealer:
    return Sealer(settings.WEBHOOK_KEYS, b"single sign-on flows")
