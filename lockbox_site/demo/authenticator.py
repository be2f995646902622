"""A passkey in software, for the demo and the tests. It answers as a phone or a security key would.

It is the device and also the person who touches it, so its signatures only show that the format is right. The answers
follow WebAuthn, Level 3 (JSON as in section 5.1), with the attestation "none".
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2.cose import ES256, RS256, CoseKey, EdDSA
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData

from requests_app.domain.base64url import from_text, to_text

FLAG = AuthenticatorData.FLAG
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
_COSE: dict[str, type[CoseKey]] = {"ES256": ES256, "EdDSA": EdDSA, "RS256": RS256}


def _made(algorithm: str) -> PrivateKey:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(kw_only=True)
class Authenticator:
    """One key on one device. Tests change its fields between two answers, to simulate a faulty device."""

    origin: str
    algorithm: str = "ES256"
    aaguid: bytes = bytes(16)
    is_backup_eligible: bool = False
    is_backed_up: bool = False
    verifies_user: bool = True
    #: Many devices do not count signatures and always send zero.
    counts: bool = True
    sign_count: int = 0
    rp_id: str = ""
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: PrivateKey | None = None
    #: The user handle that the device got with the key. Without one, it sends none.
    user_handle: bytes = b""

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Make a key. Takes PublicKeyCredentialCreationOptionsJSON, and returns RegistrationResponseJSON."""
        self.rp_id = self.rp_id or options["rp"]["id"]
        self.key = self.key or _made(self.algorithm)
        self.user_handle = from_text(options.get("user", {}).get("id", ""))
        cose = _COSE[self.algorithm].from_cryptography_key(self.key.public_key())
        credential = AttestedCredentialData.create(Aaguid(self.aaguid), self.credential_id, cose)
        data = AuthenticatorData.create(self._rp_hash, self._flags | FLAG.AT, self._counted(), credential)
        return self._answer(
            clientDataJSON=self._client("webauthn.create", options["challenge"]),
            attestationObject=AttestationObject.create("none", data, {}),
        )

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Sign a challenge. Takes PublicKeyCredentialRequestOptionsJSON, and returns AuthenticationResponseJSON."""
        self.rp_id = self.rp_id or options["rpId"]
        client_data = self._client("webauthn.get", options["challenge"])
        data = bytes(AuthenticatorData.create(self._rp_hash, self._flags, self._counted()))
        signature = self._signed(data + hashlib.sha256(client_data).digest())
        handle = {"userHandle": self.user_handle} if self.user_handle else {}
        return self._answer(clientDataJSON=client_data, authenticatorData=data, signature=signature, **handle)

    def sign(self, challenge: bytes, *, rp_id: str) -> dict[str, Any]:
        """Sign a challenge for this relying party, with default options."""
        return self.get({"challenge": to_text(challenge), "rpId": rp_id})

    @property
    def _rp_hash(self) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest()

    @property
    def _flags(self) -> AuthenticatorData.FLAG:
        flags = FLAG.UP
        flags |= FLAG.UV if self.verifies_user else FLAG(0)
        flags |= FLAG.BE if self.is_backup_eligible else FLAG(0)
        return flags | (FLAG.BS if self.is_backed_up else FLAG(0))

    def _counted(self) -> int:
        self.sign_count += 1 if self.counts else 0
        return self.sign_count

    def _client(self, kind: str, challenge: str) -> bytes:
        from_text(challenge)
        client_data = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(client_data, separators=(",", ":")).encode()

    def _signed(self, message: bytes) -> bytes:
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(message)
        assert self.key is not None, "a key signs after it was made"
        return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def _answer(self, **parts: bytes) -> dict[str, Any]:
        return {
            "id": to_text(self.credential_id),
            "rawId": to_text(self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {name: to_text(bytes(part)) for name, part in parts.items()},
        }
