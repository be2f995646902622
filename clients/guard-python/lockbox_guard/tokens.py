"""Verifies grant tokens with the keys of their issuer."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import Any, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey, RSAKey

from lockbox_guard.feed import clock, instant
from lockbox_guard.lockbox import Lockbox, Refused, Unreachable

#: Each kind of key with the only algorithm that is used with it. The token can't choose.
ALGORITHMS = {("RSA", None): "RS256", ("OKP", "Ed25519"): "EdDSA"}
RSA_BITS_MIN, TOKEN_MAX, CACHED_MAX = 2048, 64 * 1024, 10_000
#: Seconds: the longest life of a token, how far its beginning can be ahead, and between two fetches of the keys.
LIFE_MAX, AHEAD_MAX, FETCH_AFTER = 300, 5, 10.0
TEXTS = ("sub", "email", "name", "jti")
DETAIL_TEXTS = ("grant_id", "reference", "level", "tenant", "tenant_slug", "resource", "identifier", "window_end")
#: Each action with the levels that cover it.
COVERED = {
    "list": ("names", "view", "read", "act_as"),
    "view": ("view", "read", "act_as"),
    "read": ("read", "act_as"),
    "download": ("read", "act_as"),
    "act_as": ("act_as",),
}


class Token(NamedTuple):
    """A token with a good signature. `details` are its resources; `window_end` is in seconds since 1970."""

    claims: dict[str, Any]
    details: list[dict[str, Any]]
    ends_at: float
    window_end: float


class _Registry(jws.JWSRegistry):
    """Without joserfc's warning about the name EdDSA, which RFC 9864 replaces: that name is what tokens have."""

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise Refused("invalid_token")
        return self.algorithms[name]


class Verifier:
    """Checks signature, issuer, audience and times. It remembers the tokens that it has verified by their hash."""

    def __init__(self, lockbox: Lockbox, service: str) -> None:
        self._lockbox, self._service = lockbox, service
        self.audience = f"{lockbox.issuer}/services/{service}"
        self.reset()

    def reset(self) -> None:
        """Start with a new lock: a fork may have copied a locked one."""
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Fetch the keys again for the next token, and verify each token again: a key may have been withdrawn."""
        with self._lock:
            self._keys: dict[str, tuple[str, RSAKey | OKPKey]] = {}
            self._known: dict[bytes, Token] = {}
            self._fetched = float("-inf")

    def verified(self, text: str, now: float) -> Token:
        """Return the token, or raise Refused. `now` is the time at Lockbox."""
        if not text or len(text) > TOKEN_MAX:
            raise Refused("invalid_token" if text else "no_token")
        known, digest = self._known, hashlib.sha256(text.encode("utf-8", "replace")).digest()
        token = known.get(digest)
        if token is None:
            try:
                token = self._verify(text, now)
            except (JoseError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                raise Refused("invalid_token") from error
            if len(known) >= CACHED_MAX:
                known.clear()
            known[digest] = token
        if now >= token.ends_at:
            raise Refused("token_ended")
        return token

    def _verify(self, text: str, now: float) -> Token:
        header = json.loads(base64.urlsafe_b64decode(text.partition(".")[0] + "=="))
        if header.keys() != {"typ", "alg", "kid"} or header["typ"] != "at+jwt":
            raise ValueError("a header that is not that of a grant token")
        algorithm, key = self._key(header["kid"])
        read = jws.deserialize_compact(text.encode(), key, [algorithm], _Registry(algorithms=[algorithm]))
        if header["alg"] != algorithm or read.headers() != header:
            raise ValueError("another algorithm than that of the key")
        claims = json.loads(read.payload or b"")
        begins, ends = int(claims["iat"]), int(claims["exp"])
        is_ours = claims["iss"] == self._lockbox.issuer and claims["aud"] == self.audience
        if not is_ours or begins > now + AHEAD_MAX or ends - begins > LIFE_MAX:
            raise ValueError("another issuer, another audience or another time")
        details = [item for item in claims["authorization_details"]
                   if item["type"] == "lockbox_grant" and item["service"] == self._service]  # fmt: skip
        texts = [claims[name] for name in TEXTS] + [item[name] for item in details for name in DETAIL_TEXTS]
        if not details or not all(isinstance(text, str) and text for text in texts):
            raise ValueError("a claim is missing")
        return Token(claims, details, ends, min(instant(item["window_end"]) for item in details))

    def _key(self, kid: str) -> tuple[str, RSAKey | OKPKey]:
        with self._lock:
            if kid not in self._keys and clock() - self._fetched >= FETCH_AFTER:
                self._fetched = clock()
                try:
                    found = [_usable(jwk) for jwk in self._lockbox.call("/.well-known/jwks.json")[1]["keys"]]
                except (Unreachable, LookupError, TypeError, AttributeError) as error:
                    raise Refused("keys_unavailable") from error
                self._keys = {jwk_id: (algorithm, key) for jwk_id, algorithm, key in filter(None, found)}
            if kid not in self._keys:
                raise Refused("invalid_token" if self._keys else "keys_unavailable")
            return self._keys[kid]


def _usable(jwk: dict[str, Any]) -> tuple[str, str, RSAKey | OKPKey] | None:
    """Return a key's id, its only algorithm, and the key. A key for another purpose gives None."""
    algorithm = ALGORITHMS.get((jwk.get("kty", ""), jwk.get("crv")))
    kid = jwk.get("kid")
    if (
        not algorithm
        or not isinstance(kid, str)
        or jwk.get("alg", algorithm) != algorithm
        or jwk.get("use", "sig") != "sig"
    ):
        return None
    public: dict[str, Any] = {name: jwk[name] for name in ("kty", "crv", "n", "e", "x") if name in jwk}
    try:
        key = RSAKey.import_key(public) if algorithm == "RS256" else OKPKey.import_key(public)
    except (JoseError, ValueError):
        return None
    if isinstance(key, RSAKey) and key.public_key.key_size < RSA_BITS_MIN:
        return None
    return kid, algorithm, key
