"""One SAML connection: this service provider, its keys, and the identity provider that it asks."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import answers, metadata, questions
from requests_app.identity.sso.saml.answers import Answer, Expected
from requests_app.identity.sso.saml.documents import MOST_METADATA
from requests_app.identity.sso.saml.metadata import IdentityProvider
from requests_app.identity.sso.saml.questions import ServiceKey
from requests_app.platform import outbound
from requests_app.platform.outbound import BadTarget, Unreachable

MOST_KEYS = 2
_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class Question:
    """What this server stores about a question until it is answered."""

    id: str
    relay_state: str
    #: When the question was asked. The person had to authenticate after this time, if `again`.
    asked_at: datetime
    again: bool

    @classmethod
    def new(cls, *, at: datetime, again: bool) -> Question:
        return cls(id=questions.new_id(), relay_state=secrets.token_urlsafe(32), asked_at=at, again=again)


@dataclass(frozen=True, kw_only=True)
class Service:
    """This service provider as one identity provider knows it. The first key signs; each of them decrypts."""

    identity_provider: IdentityProvider
    entity_id: str
    acs: str
    keys: Sequence[ServiceKey]
    email_claim: str = ""
    key_claim: str = ""
    groups_claim: str = ""
    is_proof: bool = False

    def address(self, question: Question) -> str:
        """Return the address at the identity provider. Raise SignOnFailed if its metadata has ended."""
        self.identity_provider.require_valid(question.asked_at)
        return questions.address(
            sso_url=self.identity_provider.sso_url,
            entity_id=self.entity_id,
            acs=self.acs,
            request_id=question.id,
            relay_state=question.relay_state,
            key=self.keys[0],
            at=question.asked_at,
            again=question.again,
        )

    def verified(self, data: bytes, question: Question, *, at: datetime) -> Answer:
        self.identity_provider.require_valid(at)
        expected = Expected(
            issuer=self.identity_provider.entity_id,
            keys=self.identity_provider.keys,
            entity_id=self.entity_id,
            acs=self.acs,
            request_id=question.id,
            at=at,
            decrypting=[each.key for each in self.keys],
            again_since=question.asked_at if question.again else None,
        )
        return answers.verified(data, expected)


def fetched(url: str, *, private: bool, peer: str, at: datetime, signer: str = "") -> IdentityProvider:
    """Read the metadata at this address. Raise SignOnFailed.

    `peer` shares the limit on outgoing calls with the other calls of its tenant. `signer` is the certificate whose key
    must have signed the metadata, or "".
    """
    headers = {"Accept": "application/samlmetadata+xml, application/xml, text/xml;q=0.8"}
    try:
        answer = outbound.get(
            url,
            private=private,
            seconds=_SECONDS,
            query=True,
            headers=headers,
            peer=peer,
            purpose="sign_on",
            most=MOST_METADATA,
        )
    except (Unreachable, BadTarget) as error:
        raise SignOnFailed("unreachable", str(error)) from None
    if answer.status != 200:
        raise SignOnFailed("unreachable", str(answer.status))
    return metadata.read(answer.body, at=at, signer=signer)


def packed(keys: Sequence[ServiceKey]) -> str:
    return json.dumps([{"private": each.private, "certificate": each.certificate} for each in keys])


def unpacked(text: str) -> list[ServiceKey]:
    rows: list[Mapping[str, str]] = json.loads(text) if text else []
    return [ServiceKey(private=row["private"], certificate=row["certificate"]) for row in rows]


def in_file(metadata_file: str, *, at: datetime) -> IdentityProvider:
    """Read the identity provider's metadata in the operator's file. Raise SignOnFailed.

    The files are read each time, so a change has an effect immediately.
    """
    try:
        return metadata.read(Path(metadata_file).read_bytes(), at=at)
    except OSError as error:
        raise SignOnFailed("unreadable", type(error).__name__) from None


def keys_in(key_files: Sequence[str]) -> list[ServiceKey]:
    """Read our keys with their certificates in the operator's files (PEM). Raise SignOnFailed."""
    try:
        return [_in_file(Path(each).read_bytes()) for each in key_files]
    except (OSError, ValueError) as error:
        raise SignOnFailed("unreadable", type(error).__name__) from None


def _in_file(pem: bytes) -> ServiceKey:
    key = serialization.load_pem_private_key(pem, password=None)
    certificate = x509.load_pem_x509_certificate(pem)
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("key and certificate don't fit")
    return ServiceKey.of(key, certificate)
