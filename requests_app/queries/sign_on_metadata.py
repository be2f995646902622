"""Reads how the metadata of SAML identity providers is: which is due, which needs somebody, and the provider's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q

from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import service
from requests_app.identity.sso.saml.metadata import IdentityProvider
from requests_app.models import ProviderSignOn, SignOn

#: A connection whose metadata is stored: a tenant's, or the provider's own.
Pinned = SignOn | ProviderSignOn
#: How often the metadata at an address is read again. If it must not be kept for so long, it is read earlier, but not
#: earlier than LEAST.
EVERY, LEAST = timedelta(hours=1), timedelta(minutes=10)
#: How long before its end metadata must be renewed, and how long its address may fail before people hear of it.
ENDS_SOON, FAILS_FOR = timedelta(days=2), timedelta(days=1)


def provider_row() -> ProviderSignOn | None:
    """Return the metadata of the provider's own identity provider, or None if it is a file or was never read."""
    url = settings.SSO_SAML_METADATA_URL
    return ProviderSignOn.objects.filter(metadata_url=url).first() if url else None


def of_provider(*, at: datetime) -> IdentityProvider:
    """Return the provider's own identity provider: from the operator's file, or as it was last read at its address.

    Raise SignOnFailed.
    """
    if settings.SSO_SAML_METADATA:
        return service.in_file(settings.SSO_SAML_METADATA, at=at)
    found = pinned_of(provider_row())
    if found is None:
        raise SignOnFailed("unread")
    return found


def used_by_provider(*, at: datetime) -> IdentityProvider | None:
    """Return what `of_provider` does, or None if nothing can be used now."""
    try:
        return of_provider(at=at)
    except SignOnFailed:
        return None


def pinned_of(row: Pinned | None) -> IdentityProvider | None:
    """Return the identity provider in a row, or None if no metadata was accepted yet."""
    if row is None or not row.identity_provider:
        return None
    return IdentityProvider.of_stored(row.issuer, row.pinned)


def signer_of(row: Pinned) -> str:
    """Return the certificate whose key must have signed the metadata, or "" if no signature is required."""
    return row.metadata_signer if isinstance(row, SignOn) else str(settings.SSO_SAML_METADATA_SIGNER)


def due(*, at: datetime) -> list[SignOn]:
    """Return the tenants' connections whose metadata must be read again at its address, the longest unread first."""
    rows = SignOn.objects.filter(
        Q(metadata_checked_at=None) | Q(metadata_checked_at__lte=at - LEAST), protocol=SignOn.Protocol.SAML
    )
    rows = rows.exclude(metadata_url="").order_by(F("metadata_checked_at").asc(nulls_first=True))
    return [row for row in rows if is_due(row, at=at)]


def is_due(row: Pinned, *, at: datetime) -> bool:
    found = pinned_of(row)
    waits = EVERY if found is None or found.cache_for is None else max(LEAST, min(EVERY, found.cache_for))
    return row.metadata_checked_at is None or row.metadata_checked_at <= at - waits


def watched() -> list[Pinned]:
    """Return the connections in use whose metadata is stored: those of tenants, and the provider's own."""
    rows = SignOn.objects.filter(protocol=SignOn.Protocol.SAML, is_on=True).order_by("pk")
    return [*rows, *filter(None, [provider_row()])]


def trouble_of(row: Pinned, *, at: datetime) -> Iterator[tuple[str, datetime]]:
    """Yield what is wrong with a SAML connection's metadata, and the time that names this trouble.

    "ended" and "ends" are about validUntil, after which nobody can sign in. "unread" is about an address that has
    failed for a day. An address that answers renews its metadata in time, even if each one is valid for a day only.
    """
    found = pinned_of(row)
    until = found.valid_until if found is not None else None
    if until is not None and until <= at:
        yield "ended", until
    elif until is not None and until <= at + ENDS_SOON and (row.metadata_problem or not row.metadata_url):
        yield "ends", until
    since = row.metadata_failing_since
    if row.metadata_url and since is not None and since <= at - FAILS_FOR:
        yield "unread", since


def in_trouble(*, at: datetime) -> int:
    """Return for how many tenants the metadata has ended, ends soon, can't be read, or waits for a confirmation."""
    rows = [row for row in watched() if isinstance(row, SignOn)]
    return sum(1 for row in rows if row.waits_for_confirmation or any(trouble_of(row, at=at)))


def problems(*, at: datetime) -> Counter[str]:
    """Count the metadata that can't be read, that waits for a confirmation, and that has ended or ends soon.

    The provider's own metadata counts, too.
    """
    found = Counter({"unread": 0, "changed": 0, "ended": 0, "ends": 0})
    for row in watched():
        if row.metadata_problem:
            found["changed" if row.waits_for_confirmation else "unread"] += 1
        found.update(trouble for trouble, _since in trouble_of(row, at=at) if trouble != "unread")
    return found
