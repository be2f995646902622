"""Checks single sign-on of the provider's own people with SAML: the operator's files, and the metadata."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.conf import settings

from lockbox_site.doctor.findings import Found, ok, problem, warning
from lockbox_site.doctor.of_database import bounded
from requests_app.domain import clock
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import metadata, service
from requests_app.queries import sign_on_metadata
from requests_app.queries.single_sign_on import has_provider_saml

#: Metadata that ends within this time is reported.
SOON = dt.timedelta(days=14)


def provider_sign_on() -> Iterator[Found]:
    """Read the operator's files for SAML, as each sign-in of the provider's people does."""
    if not has_provider_saml():
        yield ok("The provider's people don't sign in with SAML.")
        return
    try:
        service.keys_in(settings.SSO_SAML_KEYS)
        found = service.in_file(settings.SSO_SAML_METADATA, at=clock.now()) if settings.SSO_SAML_METADATA else None
        if settings.SSO_SAML_METADATA_SIGNER:
            metadata.certificate_of(settings.SSO_SAML_METADATA_SIGNER)
    except SignOnFailed as failure:
        yield problem(
            f"The provider's people can't sign in: the files for SAML can't be used ({failure.code}).",
            "Correct SSO_SAML_METADATA, SSO_SAML_METADATA_SIGNER or SSO_SAML_KEYS: docs/single-sign-on.md.",
        )
        return
    if found is not None and found.valid_until is not None and found.valid_until - clock.now() < SOON:
        yield warning(
            f"The metadata in SSO_SAML_METADATA is valid until {found.valid_until:%Y-%m-%d %H:%M} UTC.",
            "Get the identity provider's present metadata. Afterwards, nobody can sign in with it.",
        )
        return
    yield ok("The files for SAML can be used.")


@bounded
def provider_metadata() -> Iterator[Found]:
    """Look at the metadata that was last read at the address in the settings."""
    if not settings.SSO_SAML_METADATA_URL:
        yield ok("No metadata for SAML is read at an address for the provider's people.")
        return
    row = sign_on_metadata.provider_row()
    found = sign_on_metadata.pinned_of(row)
    if row is None or found is None:
        yield warning(
            "The provider's SAML metadata has not been read at its address yet.",
            "A worker and the first sign-in read it. customer-lockbox provider_metadata says why it can't be read.",
        )
    elif row.waits_for_confirmation:
        yield problem(
            "The provider's SAML metadata has changed so much that it is not used.",
            "If the change is right, accept it: customer-lockbox provider_metadata.",
        )
    elif found.valid_until is not None and found.valid_until <= clock.now():
        yield problem(
            f"The provider's SAML metadata ended at {found.valid_until:%Y-%m-%d %H:%M} UTC, so nobody can sign in.",
            "The address gives no newer metadata. Run customer-lockbox provider_metadata to see why.",
        )
    elif row.metadata_problem:
        yield warning(
            f"The provider's SAML metadata can't be read at its address ({row.metadata_problem}).",
            "The stored metadata is still used. Check the address: customer-lockbox provider_metadata.",
        )
    else:
        yield ok("The provider's SAML metadata is read at its address.")
