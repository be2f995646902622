"""Builds the options for WebAuthn, and checks everything in the answers. Its functions are pure.

The specification is W3C Web Authentication, Level 3: section 7.1 for a new key, section 7.2 for a signature, section
5.1 for the JSON. The device must always verify the person (UV). If it accepted a touch alone, that would show only that
somebody was there.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.webauthn import AttestationObject, AuthenticatorData

from requests_app.domain import errors
from requests_app.domain.base64url import from_text, to_text

#: COSE algorithm numbers (RFC 9053, RFC 8812), in order of preference.
ALGORITHMS = {-7: "ES256", -8: "EdDSA", -257: "RS256"}
RSA_LEAST = 2048
#: The time-out for the browser, in milliseconds. A phone needs some minutes, with its menus.
TIMEOUT_MS = 300_000
#: The limits on an answer, because the caller may be hostile. No real answer reaches them.
_LONGEST_ID = 1023  # section 7.1, step 25
_UNFIT = (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, RecursionError)


@dataclass(frozen=True, kw_only=True)
class Party:
    """The relying party: the site to which passkeys belong, and the origins whose pages may use the passkeys."""

    rp_id: str
    name: str
    origins: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A new key, as its device described it. `public_key` is in COSE. `spki` is the same key in DER (RFC 5280)."""

    credential_id: bytes
    public_key: bytes
    spki: bytes
    algorithm: str
    rp_id: str
    origin: str
    aaguid: str
    is_backup_eligible: bool
    is_backed_up: bool
    sign_count: int


@dataclass(frozen=True, kw_only=True)
class Key:
    """What the database has stored about the key that is expected to have signed."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    is_backup_eligible: bool


@dataclass(frozen=True, kw_only=True)
class Asserted:
    """The result of checking a signature that is valid.

    With `client_data`, `authenticator_data` and `signature`, anybody can verify the signature again.
    """

    sign_count: int
    is_backed_up: bool
    origin: str
    client_data: bytes
    authenticator_data: bytes
    signature: bytes


def own_party() -> Party:
    """Return this site's relying party, from the settings."""
    return Party(rp_id=settings.PASSKEY_RP_ID, name=settings.PROVIDER_NAME, origins=frozenset(settings.PASSKEY_ORIGINS))


def site_has_name() -> bool:
    """Return whether this site can have passkeys. It can't if its address is an IP address in place of a domain."""
    try:
        ipaddress.ip_address(settings.PASSKEY_RP_ID.strip("[]"))
    except ValueError:
        return True
    return False


# --- Options -----------------------------------------------------------------------------------------------


def registration_options(
    *, party: Party, user_id: bytes, email: str, name: str, challenge: bytes, known: Iterable[bytes] = ()
) -> dict[str, Any]:
    """Return PublicKeyCredentialCreationOptionsJSON. `known` has the ids of the keys that the person already has."""
    return {
        "rp": {"id": party.rp_id, "name": party.name},
        "user": {"id": to_text(user_id), "name": email, "displayName": name},
        "challenge": to_text(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in ALGORITHMS],
        "timeout": TIMEOUT_MS,
        "excludeCredentials": _described(known),
        "authenticatorSelection": {"residentKey": "preferred", "userVerification": "required"},
        "attestation": "none",
    }


def assertion_options(*, party: Party, challenge: bytes, known: Iterable[bytes] = ()) -> dict[str, Any]:
    """Return PublicKeyCredentialRequestOptionsJSON. `known` has the ids of the keys that may sign."""
    return {
        "challenge": to_text(challenge),
        "timeout": TIMEOUT_MS,
        "rpId": party.rp_id,
        "allowCredentials": _described(known),
        "userVerification": "required",
    }


def _described(ids: Iterable[bytes]) -> list[dict[str, str]]:
    return [{"type": "public-key", "id": to_text(each)} for each in ids]


# --- Answers -----------------------------------------------------------------------------------------------


def verify_registration(response: object, *, challenge: bytes, party: Party) -> Registered:
    """Check a new key (section 7.1) and return it. Raise a subclass of PasskeyRefused if the check fails.

    No attestation is requested. So the device alone claims what kind of device it is, and that the key can't leave it.
    """
    client_data, answer = _answer(response, "attestationObject")
    origin = _check_client(_client(client_data), "webauthn.create", challenge, party)
    try:
        data = AttestationObject(answer["attestationObject"]).auth_data
        credential = data.credential_data
        if credential is None:
            raise errors.PasskeyUnreadable
        found = bytes(credential.credential_id)
        cose = cbor.encode(dict(credential.public_key))
    except _UNFIT as error:
        raise errors.PasskeyUnreadable from error
    _check_device(data, party)
    if found != answer["rawId"] or not 1 <= len(found) <= _LONGEST_ID:
        raise errors.PasskeyUnreadable
    return Registered(
        credential_id=found,
        public_key=cose,
        spki=spki_of(cose),
        algorithm=algorithm_of(cose),
        rp_id=party.rp_id,
        origin=origin,
        aaguid=str(credential.aaguid),
        is_backup_eligible=data.is_backup_eligible(),
        is_backed_up=data.is_backed_up(),
        sign_count=data.counter,
    )


def credential_of(response: object) -> bytes:
    """Return the id of the key that signed, so that its row can be found. The answer is not checked yet."""
    return _answer(response, "authenticatorData", "signature")[1]["rawId"]


def user_of(response: object) -> bytes:
    """Return the id of the key's owner. The device got this id when the key was made."""
    outer = response if isinstance(response, Mapping) else {}
    inner = outer.get("response")
    return from_text(inner.get("userHandle") if isinstance(inner, Mapping) else None)


def verify_assertion(response: object, *, challenge: bytes, party: Party, key: Key) -> Asserted:
    """Check a signature over a challenge (section 7.2) and return the result.

    Raise the subclass of PasskeyRefused for the first check that fails.
    """
    client_data, answer = _answer(response, "authenticatorData", "signature")
    if answer["rawId"] != key.credential_id:
        raise errors.PasskeyUnknown
    origin = _check_client(_client(client_data), "webauthn.get", challenge, party)
    try:
        data = AuthenticatorData(answer["authenticatorData"])
    except _UNFIT as error:
        raise errors.PasskeyUnreadable from error
    _check_device(data, party)
    if data.is_backup_eligible() is not key.is_backup_eligible:
        raise errors.PasskeyBackupChanged
    _verify(key.public_key, answer["authenticatorData"] + hashlib.sha256(client_data).digest(), answer["signature"])
    # If the counter did not increase, the key may have been copied (step 22). Many keys do not count and always send
    # zero.
    if (data.counter or key.sign_count) and data.counter <= key.sign_count:
        raise errors.PasskeyCounter
    return Asserted(
        sign_count=data.counter,
        is_backed_up=data.is_backed_up(),
        origin=origin,
        client_data=client_data,
        authenticator_data=answer["authenticatorData"],
        signature=answer["signature"],
    )


def _answer(response: object, *names: str) -> tuple[bytes, dict[str, bytes]]:
    """Parse an answer in JSON. Return its client data, and its named parts as bytes."""
    outer = response if isinstance(response, Mapping) else {}
    inner = outer.get("response")
    if outer.get("type") != "public-key" or not isinstance(inner, Mapping):
        raise errors.PasskeyUnreadable
    return from_text(inner.get("clientDataJSON")), {
        "rawId": from_text(outer.get("rawId")),
        **{name: from_text(inner.get(name)) for name in names},
    }


def _client(client_data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(client_data)
    except _UNFIT as error:
        raise errors.PasskeyUnreadable from error
    if not isinstance(found, dict):
        raise errors.PasskeyUnreadable
    return found


def _check_client(client: dict[str, Any], kind: str, challenge: bytes, party: Party) -> str:
    """Return the origin of the page that used the key.

    Raise a subclass of PasskeyRefused if the origin does not belong to the party, if the answer is for another
    challenge, or if the page was in a frame of another site.
    """
    if client.get("type") != kind:
        raise errors.PasskeyWrongType
    if not hmac.compare_digest(from_text(client.get("challenge")), challenge):
        raise errors.PasskeyWrongChallenge
    origin = client.get("origin")
    is_known = isinstance(origin, str) and origin in party.origins
    if not is_known or client.get("crossOrigin") not in (None, False) or "topOrigin" in client:
        raise errors.PasskeyWrongOrigin
    return str(origin)


def _check_device(data: AuthenticatorData, party: Party) -> None:
    if not hmac.compare_digest(data.rp_id_hash, hashlib.sha256(party.rp_id.encode()).digest()):
        raise errors.PasskeyWrongSite
    if not (data.is_user_present() and data.is_user_verified()):
        raise errors.PasskeyNotVerified
    if data.is_backed_up() and not data.is_backup_eligible():
        raise errors.PasskeyUnreadable


# --- Keys --------------------------------------------------------------------------------------------------


def algorithm_of(cose: bytes) -> str:
    return ALGORITHMS[_parsed(cose)[3]]


def spki_of(cose: bytes) -> bytes:
    """Return the public key as SubjectPublicKeyInfo in DER, the format that `openssl` reads."""
    key = _parsed(cose)
    public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
    try:
        if key[3] == -7 and key[1] == 2 and key[-1] == 1:
            numbers = int.from_bytes(key[-2]), int.from_bytes(key[-3])
            public = ec.EllipticCurvePublicNumbers(*numbers, ec.SECP256R1()).public_key()
        elif key[3] == -8 and key[1] == 1 and key[-1] == 6:
            public = ed25519.Ed25519PublicKey.from_public_bytes(key[-2])
        elif key[3] == -257 and key[1] == 3:
            public = rsa.RSAPublicNumbers(int.from_bytes(key[-2]), int.from_bytes(key[-1])).public_key()
            if public.key_size < RSA_LEAST:
                raise errors.PasskeyAlgorithm
        else:
            raise errors.PasskeyAlgorithm
    except (*_UNFIT, UnsupportedAlgorithm) as error:
        raise errors.PasskeyUnreadable from error
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _parsed(cose: bytes) -> CoseKey:
    try:
        key = CoseKey.parse(cbor.decode(cose))  # type: ignore[arg-type]  # what is no mapping raises below
    except _UNFIT as error:
        raise errors.PasskeyUnreadable from error
    if key.get(3) not in ALGORITHMS:
        raise errors.PasskeyAlgorithm
    return key


def _verify(cose: bytes, message: bytes, signature: bytes) -> None:
    try:
        _parsed(cose).verify(message, signature)
    except (*_UNFIT, InvalidSignature, UnsupportedAlgorithm) as error:
        raise errors.PasskeyBadSignature from error
