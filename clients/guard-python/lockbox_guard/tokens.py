"""Verifies grant tokens with the keys of their issuer."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from lockbox_guard.feed import clock, instant
from lockbox_guard.lockbox import Lockbox, Refused

RSA_BITS_MIN, TOKEN_MAX, CACHED_MAX = 2048, 64 * 1024, 10_000
#: Seconds: the longest life of a token, how far its beginning can be ahead, and between two fetches of the keys.
LIFE_MAX, AHEAD_MAX, FETCH_AFTER = 300, 5, 10.0
TEXTS = ("sub", "email", "name", "jti")
DETAIL_TEXTS = ("grant_id", "reference", "level", "tenant", "tenant_slug", "resource", "identifier", "window_end")
#: Each kind of key with its class and the only algorithm that is used with it. The token can't choose.
KEYS: dict[Any, Any] = {("RSA", None): (RSAKey, "RS256"), ("OKP", "Ed25519"): (OKPKey, "EdDSA")}


class Token(NamedTuple):
    """A token with a good signature. `details` are its resources; `window_end` is in seconds since 1970."""

    claims: dict[str, Any]
    details: list[dict[str, Any]]
    ends_at: float
    window_end: float


class Verifier:
    """Checks signature, issuer, audience and times. It remembers the tokens that it has verified by their hash."""

    def __init__(self, lockbox: Lockbox, service: str) -> None:
        self._lockbox, self._service, self._lock = lockbox, service, threading.Lock()
        self.audience = f"{lockbox.issuer}/services/{service}"
        self.forget()

    def forget(self) -> None:
        """Fetch the keys again for the next token, and verify each token again: a key may have been withdrawn."""
        with self._lock:
            self._keys, self._known, self._fetched = dict[str, Any](), dict[bytes, Token](), float("-inf")

    def verified(self, text: str, now: float) -> Token:
        """Return the token, or raise Refused. `now` is the time at Lockbox."""
        if not text or len(text) > TOKEN_MAX:
            raise Refused("invalid_token" if text else "no_token")
        known, digest = self._known, hashlib.sha256(text.encode("utf-8", "replace")).digest()
        token = known.get(digest)
        if token is None:
            try:
                token = self._verify(text, now)
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                raise Refused("invalid_token") from error
            if len(known) >= CACHED_MAX:
                known.clear()
            known[digest] = token
        if now >= token.ends_at:
            raise Refused("token_ended", grant=token.details[0]["grant_id"])
        return token

    def _verify(self, text: str, now: float) -> Token:
        head, body, signature = text.split(".")
        header = json.loads(_decoded(head))
        key, algorithm = self._key(header["kid"])
        if header != {"typ": "at+jwt", "alg": algorithm, "kid": header["kid"]}:
            raise ValueError("a header that is not that of a grant token")
        if not JWSRegistry.algorithms[algorithm].verify(f"{head}.{body}".encode(), _decoded(signature), key):
            raise ValueError("an altered token")
        claims = json.loads(_decoded(body))
        begins, ends = int(claims["iat"]), int(claims["exp"])
        is_ours = claims["iss"] == self._lockbox.issuer and claims["aud"] == self.audience
        details = [item for item in claims["authorization_details"]
                   if item["type"] == "lockbox_grant" and item["service"] == self._service]  # fmt: skip
        texts = [claims[name] for name in TEXTS] + [item[name] for item in details for name in DETAIL_TEXTS]
        is_whole = details and all(isinstance(text, str) and text for text in texts)
        if not is_ours or not is_whole or begins > now + AHEAD_MAX or ends - begins > LIFE_MAX:
            raise ValueError("another issuer, another audience, another time, or a claim is missing")
        return Token(claims, details, ends, min(instant(item["window_end"]) for item in details))

    def _key(self, kid: str) -> Any:
        with self._lock:
            if kid not in self._keys and clock() - self._fetched >= FETCH_AFTER:
                self._fetched = clock()
                try:
                    # A cache on the way could still have a key that was withdrawn.
                    _, found = self._lockbox.call("/.well-known/jwks.json", None, **{"Cache-Control": "no-cache"})
                    self._keys = dict(_usable(found["keys"]))
                except (JoseError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                    raise Refused("keys_unavailable") from error
            if kid not in self._keys:
                raise Refused("invalid_token" if self._keys else "keys_unavailable")
            return self._keys[kid]


def _usable(jwks: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield each key's id, with the key and its only algorithm. Leave out keys for other purposes, and small ones."""
    for jwk in jwks:
        kind, algorithm = KEYS.get((jwk["kty"], jwk.get("crv")), (None, None))
        if kind and jwk.get("alg", algorithm) == algorithm and jwk.get("use", "sig") == "sig":
            key = kind.import_key(jwk)
            if algorithm == "EdDSA" or key.public_key.key_size >= RSA_BITS_MIN:
                yield jwk["kid"], (key, algorithm)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
