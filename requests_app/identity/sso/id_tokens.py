"""Checks what an OpenID provider has signed: ID tokens, and answers of UserInfo (OpenID Connect Core 1.0; RFC 8725).

Nothing here calls another machine.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from requests_app.identity.sso.failures import SignOnFailed

#: The accepted signature algorithms. Each needs a key of the issuer. "none" and a MAC with the client secret are
#: refused.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: The shortest RSA key that is accepted (RFC 7518, section 3.3).
LEAST_RSA_BITS = 2048
#: By how many seconds two clocks may differ, and the greatest age of a token in seconds.
LEEWAY, MOST_AGE = 60, 600


def verified(
    token: str,
    keys: Mapping[str, Any],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    at: datetime,
    access_token: str = "",
) -> dict[str, Any]:
    """Return the claims of an ID token if it is valid (OpenID Connect Core 1.0, section 3.1.3.7).

    Raise SignOnFailed.
    """
    header, claims = signed(token, keys)
    if claims.get("iss") != issuer:
        raise SignOnFailed("issuer", str(claims.get("iss", "")))
    audiences = audiences_of(claims)
    if client_id not in audiences or (len(audiences) > 1 and claims.get("azp") != client_id):
        raise SignOnFailed("audience")
    if claims.get("azp", client_id) != client_id:
        raise SignOnFailed("audience")
    _require_of_now(claims, at.timestamp())
    if access_token and "at_hash" in claims and claims["at_hash"] != _token_hash(access_token, header["alg"]):
        raise SignOnFailed("token_hash")
    if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(claims["nonce"].encode(), nonce.encode()):
        raise SignOnFailed("nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise SignOnFailed("subject")
    return claims


def signed(token: str, keys: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return the header and the claims of a JWT. Raise SignOnFailed unless one of the issuer's keys has signed it."""
    usable, has_weak = _signing(keys)
    try:
        found = jws.deserialize_compact(token, lambda jwt: _key_for(jwt.headers(), usable), algorithms=list(ALGORITHMS))
        header, claims = found.headers(), parsed(found.payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise SignOnFailed("weak_key" if has_weak else "signature", type(error).__name__) from error
    if not isinstance(claims, dict):
        raise SignOnFailed("signature")
    # RFC 8725, section 3.11: an access token, a logout token or a security event is not an ID token.
    if "typ" in header and not (isinstance(header["typ"], str) and header["typ"].upper() == "JWT"):
        raise SignOnFailed("kind", str(header["typ"]))
    return header, claims


def _key_for(header: Mapping[str, Any], usable: list[Key]) -> Key:
    """Return the key that the header of a JWT names.

    If the header names no key, exactly one key of the right kind must exist (Core 1.0, section 10.1).
    """
    kind = {"RS": "RSA", "PS": "RSA", "ES": "EC"}.get(str(header.get("alg"))[:2], "OKP")
    found = [key for key in usable if key.key_type == kind]
    if header.get("kid") is not None:
        found = [key for key in found if key.kid == header["kid"]]
    if len(found) != 1:
        raise ValueError("no such key")
    return found[0]


def audiences_of(claims: Mapping[str, Any]) -> list[Any]:
    audience = claims.get("aud")
    return audience if isinstance(audience, list) else [audience]


def _token_hash(token: str, algorithm: str) -> str:
    """Return the left half of a token's hash, in the form of the claim at_hash (Core 1.0, section 3.1.3.6).

    Ed25519 uses SHA-512.
    """
    name = f"sha{algorithm[2:]}" if algorithm[2:].isdigit() else "sha512"
    digest = hashlib.new(name, token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _require_of_now(claims: Mapping[str, Any], now: float) -> None:
    times = {name: claims.get(name) for name in ("exp", "iat", "nbf", "auth_time")}
    for name, value in times.items():
        if not _is_time(value) and (value is not None or name in ("exp", "iat")):
            raise SignOnFailed("time", name)
    if now >= times["exp"] + LEEWAY:  # type: ignore[operator]  # a number: checked above
        raise SignOnFailed("expired")
    if not now - MOST_AGE <= times["iat"] <= now + LEEWAY:  # type: ignore[operator]  # a number: checked above
        raise SignOnFailed("time", "iat")
    for name in ("nbf", "auth_time"):
        if times[name] is not None and now < times[name] - LEEWAY:  # type: ignore[operator]  # a number: checked above
            raise SignOnFailed("time", name)


def _is_time(value: Any) -> bool:
    """Return whether a claim is a time in seconds.

    Infinity and NaN are refused: a token with such a time would never expire.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def _signing(keys: Mapping[str, Any]) -> tuple[list[Key], bool]:
    """Return the issuer's signing keys, and whether a key was left out because it is too short.

    Encryption keys, symmetric keys and unknown kinds of keys are left out too, because the issuer can't have signed
    with them.
    """
    found = keys.get("keys")
    if not isinstance(found, list) or len(found) > 100:
        raise SignOnFailed("keys")
    usable, has_weak = [], False
    for each in found:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig" or each.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        try:
            if each["kty"] == "RSA" and _bits(each["n"]) < LEAST_RSA_BITS:
                has_weak = True
                continue
            usable.append(JWKRegistry.import_key(each))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return usable, has_weak


def _bits(modulus: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4)), "big").bit_length()


def parsed(text: bytes) -> Any:
    """Parse JSON (RFC 8259). NaN and Infinity, which Python's parser accepts, are refused."""
    return json.loads(text, parse_constant=_no_json)


def _no_json(name: str) -> None:
    raise ValueError(name)
