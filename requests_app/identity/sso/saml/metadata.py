"""Reads an identity provider's metadata, and writes the metadata of this service provider."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from lxml import etree

from requests_app.domain.certificates import fingerprint
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import signatures
from requests_app.identity.sso.saml.documents import MOST_METADATA, Element, children, instant, parsed, text
from requests_app.identity.sso.saml.names import DS, ENC, ENC11, METADATA, PERSISTENT, POST, PROTOCOL, REDIRECT, ds, md

MOST_CERTIFICATES = 10
#: An issuer of this length still fits into the rows of people's identities.
MOST_ENTITY_ID = 280
MOST_URL = 1000

#: A duration of XML Schema. A year and a month have the greatest length that they can have.
_DURATION = re.compile(
    r"P(?=.)(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})D)?"
    r"(?:T(?=.)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})(?:\.\d{1,9})?S)?)?\Z",
    re.ASCII,
)
_UNITS = (
    timedelta(days=366),
    timedelta(days=31),
    timedelta(days=1),
    timedelta(hours=1),
    timedelta(minutes=1),
    timedelta(seconds=1),
)


@dataclass(frozen=True, kw_only=True)
class IdentityProvider:
    """What the metadata says. `certificates` are DER in base64; only their keys count, and not their dates."""

    entity_id: str
    sso_url: str
    certificates: tuple[str, ...]
    valid_until: datetime | None = None
    #: After how long the metadata at an address must be read again (cacheDuration).
    cache_for: timedelta | None = None

    def stored(self) -> dict[str, Any]:
        until = self.valid_until.isoformat() if self.valid_until else None
        found = {"sso_url": self.sso_url, "certificates": list(self.certificates), "valid_until": until}
        return found | ({"cache_seconds": int(self.cache_for.total_seconds())} if self.cache_for is not None else {})

    @classmethod
    def of_stored(cls, entity_id: str, row: dict[str, Any]) -> IdentityProvider:
        until = datetime.fromisoformat(row["valid_until"]) if row.get("valid_until") else None
        seconds = row.get("cache_seconds")
        return cls(
            entity_id=entity_id,
            sso_url=row["sso_url"],
            certificates=tuple(row["certificates"]),
            valid_until=until,
            cache_for=timedelta(seconds=seconds) if seconds is not None else None,
        )

    @property
    def keys(self) -> list[signatures.PublicKey]:
        return [found for each in self.certificates if (found := key_of(each)) is not None]

    @property
    def fingerprints(self) -> list[str]:
        """SHA-256 of each certificate, as identity providers show it."""
        return [fingerprint(each) for each in self.certificates]

    def require_valid(self, at: datetime) -> None:
        """Raise SignOnFailed if the metadata has ended: its keys may have been withdrawn since."""
        if self.valid_until is not None and at >= self.valid_until:
            raise SignOnFailed("stale")


def key_of(certificate: str) -> signatures.PublicKey | None:
    """Return the key of a certificate (DER in base64), or None if it is too weak or of another kind."""
    try:
        key = x509.load_der_x509_certificate(base64.b64decode(certificate, validate=True)).public_key()
    except (ValueError, binascii.Error):
        return None
    return key if signatures.is_strong(key) else None  # type: ignore[return-value]  # is_strong says which kinds


def certificate_of(given: str) -> str:
    """Return a certificate that somebody entered, as PEM or as the text between its lines, as DER in base64.

    Raise SignOnFailed if it is no certificate with a strong key.
    """
    found = "".join(line for line in given.splitlines() if not line.startswith("-----"))
    found = "".join(found.split())
    if key_of(found) is None:
        raise SignOnFailed("signer")
    return found


def read(data: bytes, *, at: datetime, signer: str = "") -> IdentityProvider:
    """Read the metadata of one identity provider. Raise SignOnFailed.

    With the certificate of a `signer`, only what this certificate's key has signed is read. Without one, a signature on
    the metadata is not checked: it has come over TLS, or by hand.
    """
    root = parsed(data, code="metadata", at_most=MOST_METADATA, comments=True)
    if signer:
        root = _signed(root, signer)
    entity = _entity(root)
    roles = [
        each
        for each in children(entity, md("IDPSSODescriptor"))
        if PROTOCOL in each.get("protocolSupportEnumeration", "").split()
    ]
    if len(roles) != 1:
        raise SignOnFailed("metadata", "IDPSSODescriptor")
    name = entity.get("entityID", "")
    if not 1 <= len(name) <= MOST_ENTITY_ID or not name.isprintable() or name != name.strip():
        raise SignOnFailed("metadata", "entityID")
    # A group, a party and its role can each end, and the first end counts.
    levels = list(dict.fromkeys((root, entity, roles[0])))
    ends = [instant(each.get("validUntil"), code="metadata") for each in levels if each.get("validUntil") is not None]
    waits = [_duration(each.get("cacheDuration")) for each in levels if each.get("cacheDuration") is not None]
    result = IdentityProvider(
        entity_id=name,
        sso_url=_sso_url(roles[0]),
        certificates=_certificates(roles[0]),
        valid_until=min(ends, default=None),
        cache_for=min(waits, default=None),
    )
    result.require_valid(at)
    return result


def _signed(root: Element, signer: str) -> Element:
    """Return a copy of the metadata, parsed from what this certificate's key has signed."""
    key = key_of(signer)
    try:
        return signatures.verified(root, [key] if key is not None else [], at_most=MOST_METADATA)
    except SignOnFailed as failure:
        raise SignOnFailed("unsigned", f"{failure.code} {failure.detail}".strip()) from None


def _entity(root: Element) -> Element:
    """Return the one identity provider in the document, which can also be a group of parties."""
    entity = root
    if root.tag == md("EntitiesDescriptor"):
        found = [each for each in children(root, md("EntityDescriptor")) if children(each, md("IDPSSODescriptor"))]
        if len(found) != 1:
            raise SignOnFailed("metadata", "several")
        entity = found[0]
    if entity.tag != md("EntityDescriptor"):
        raise SignOnFailed("metadata", "root")
    return entity


def _duration(value: str) -> timedelta:
    found = _DURATION.match(value)
    if found is None:
        raise SignOnFailed("metadata", "cacheDuration")
    return sum((unit * int(count) for unit, count in zip(_UNITS, found.groups(), strict=True) if count), timedelta())


def _sso_url(role: Element) -> str:
    places = [each for each in children(role, md("SingleSignOnService")) if each.get("Binding") == REDIRECT]
    url = places[0].get("Location", "") if places else ""
    if not url.startswith(("https://", "http://")) or len(url) > MOST_URL or not url.isascii() or not url.isprintable():
        raise SignOnFailed("metadata", "SingleSignOnService")
    if any(each in url for each in " \"'<>\\#"):
        raise SignOnFailed("metadata", "SingleSignOnService")
    return str(url)


def _certificates(role: Element) -> tuple[str, ...]:
    found: list[str] = []
    for descriptor in children(role, md("KeyDescriptor")):
        if descriptor.get("use", "signing") != "signing":
            continue
        for certificate in descriptor.iter(ds("X509Certificate")):
            value = "".join(text(certificate, code="metadata").split())
            if value not in found and key_of(value) is not None:
                found.append(value)
    if not 1 <= len(found) <= MOST_CERTIFICATES:
        # A certificate with a weak key is left out, as if it were not there.
        raise SignOnFailed("metadata", "certificates")
    return tuple(found)


def written(*, entity_id: str, acs: str, certificates: Sequence[str], organisation: str) -> bytes:
    """Write this service provider's metadata. The first certificate signs; for all of them it can be encrypted.

    It isn't signed: who reads it comes over TLS, and a signature by a key that is in the document proves nothing more.
    """
    root = etree.Element(md("EntityDescriptor"), nsmap={None: METADATA, "ds": DS}, entityID=entity_id)
    role = etree.SubElement(
        root,
        md("SPSSODescriptor"),
        AuthnRequestsSigned="true",
        WantAssertionsSigned="true",
        protocolSupportEnumeration=PROTOCOL,
    )
    for use in ("signing", "encryption"):
        for certificate in certificates:
            descriptor = etree.SubElement(role, md("KeyDescriptor"), use=use)
            data = etree.SubElement(etree.SubElement(descriptor, ds("KeyInfo")), ds("X509Data"))
            etree.SubElement(data, ds("X509Certificate")).text = certificate
            if use == "encryption":
                for method in (f"{ENC11}aes256-gcm", f"{ENC11}aes128-gcm", f"{ENC}rsa-oaep-mgf1p"):
                    etree.SubElement(descriptor, md("EncryptionMethod"), Algorithm=method)
    etree.SubElement(role, md("NameIDFormat")).text = PERSISTENT
    etree.SubElement(role, md("AssertionConsumerService"), Binding=POST, Location=acs, index="0", isDefault="true")
    owner = etree.SubElement(root, md("Organization"))
    for name, value in (("OrganizationName", organisation), ("OrganizationDisplayName", organisation)):
        line = etree.SubElement(owner, md(name))
        line.text = value
        line.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    url = etree.SubElement(owner, md("OrganizationURL"))
    url.text = entity_id.partition("/sign-in/")[0]
    url.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))
