"""Checks of the operator's files for single sign-on of the provider's own people with SAML."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.conf import settings

from lockbox_site.doctor.findings import Found, ok, problem, warning
from requests_app.domain import clock
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import service

#: Metadata that ends within this time is reported.
SOON = dt.timedelta(days=14)


def provider_sign_on() -> Iterator[Found]:
    """Read the operator's files for SAML, as each sign-in of the provider's people does."""
    if not settings.SSO_SAML_METADATA:
        yield ok("The provider's people don't sign in with SAML.")
        return
    try:
        found, _keys = service.in_files(settings.SSO_SAML_METADATA, settings.SSO_SAML_KEYS, at=clock.now())
    except SignOnFailed as failure:
        yield problem(
            f"The provider's people can't sign in: the files for SAML can't be used ({failure.code}).",
            "Correct the files in SSO_SAML_METADATA and SSO_SAML_KEYS: docs/single-sign-on.md.",
        )
        return
    if found.valid_until is not None and found.valid_until - clock.now() < SOON:
        yield warning(
            f"The metadata in SSO_SAML_METADATA is valid until {found.valid_until:%Y-%m-%d %H:%M} UTC.",
            "Get the identity provider's present metadata. Afterwards, nobody can sign in with it.",
        )
        return
    yield ok("The files for SAML can be used.")
