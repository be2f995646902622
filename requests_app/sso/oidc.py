"""OpenID Connect Core 1.0 with discovery and PKCE, as a relying party: what is sent, and what is believed.

Nothing that a browser brings back is believed by itself: the code is exchanged over a connection of our own, with a
verifier that only this flow knows, and the token that comes for it must be signed by the issuer's key, be meant for
this client, be of now, and carry the nonce of this flow.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from requests_app import clock, outbound
from requests_app.outbound import BadTarget, Unreachable

#: Signatures that are taken: those with a key of the issuer's alone. "none", and a MAC with our own secret, are not.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: Seconds by which two clocks may differ, and how old a token may be.
LEEWAY, MOST_AGE = 60, 600
#: Seconds for all calls of one step together: a worker waits that long, and no longer, for whoever does not answer.
SECONDS = 8.0
_WELL_KNOWN = "/.well-known/openid-configuration"


class SignOnFailed(Exception):
    """Why a round trip came to nothing. `args[0]` is a stable code, `args[1]` what is added to it in words, or ""."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail[:200]


@dataclass(frozen=True, kw_only=True)
class Party:
    """Both sides of a connection: the issuer, and what it knows this product by."""

    issuer: str
    client_id: str
    client_secret: str
    scopes: str
    redirect_uri: str
    private: bool = False


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What the issuer says of itself (OpenID Connect Discovery 1.0, section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    takes_basic: bool
    sends_issuer: bool


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The three secrets of one round trip."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Flow:
        return cls(state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48))


def discover(party: Party, *, until: float | None = None) -> Metadata:
    """Read the issuer's own document. One that names another issuer is none (section 4.3)."""
    until = until if until is not None else clock.monotonic() + SECONDS
    found = _document(party.issuer.rstrip("/") + _WELL_KNOWN, party, "discovery", until)
    if found.get("issuer") != party.issuer:
        raise SignOnFailed("issuer", str(found.get("issuer", "")))
    places = {name: found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
    for name, url in places.items():
        if not isinstance(url, str) or not _is_place(url, party):
            raise SignOnFailed("endpoint", name)
    methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    challenges = found.get("code_challenge_methods_supported")
    if isinstance(challenges, list) and "S256" not in challenges:
        raise SignOnFailed("pkce")
    return Metadata(
        authorization_endpoint=str(places["authorization_endpoint"]),
        token_endpoint=str(places["token_endpoint"]),
        jwks_uri=str(places["jwks_uri"]),
        takes_basic="client_secret_basic" in methods,
        sends_issuer=found.get("authorization_response_iss_parameter_supported") is True,
    )


def address(party: Party, metadata: Metadata, flow: Flow, *, login_hint: str = "", again: bool = False) -> str:
    """Where the browser is sent (RFC 6749, section 4.1.1; RFC 7636). `again` has the person prove themselves anew."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": party.client_id,
        "redirect_uri": party.redirect_uri,
        "scope": party.scopes,
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"login_hint": login_hint} if login_hint else {}),
        **({"prompt": "login"} if again else {}),
    }
    glue = "&" if "?" in metadata.authorization_endpoint else "?"
    return f"{metadata.authorization_endpoint}{glue}{urlencode(query)}"


def complete(party: Party, flow: Flow, answer: Mapping[str, str], *, at: datetime) -> dict[str, Any]:
    """The claims about who came back, for the answer that the browser brought. Raises SignOnFailed."""
    if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
        raise SignOnFailed("state")
    until = clock.monotonic() + SECONDS
    metadata = discover(party, until=until)
    # RFC 9207: with several issuers an answer must say whose it is, where its issuer can.
    if answer.get("iss", party.issuer if not metadata.sends_issuer else "") != party.issuer:
        raise SignOnFailed("mixed_up")
    if answer.get("error"):
        raise SignOnFailed("refused", answer["error"])
    if not answer.get("code"):
        raise SignOnFailed("no_code")
    token = _exchanged(party, metadata, flow, answer["code"], until)
    # Asked for each time: a key that the issuer has taken back signs nobody in, and a new one does at once.
    keys = _document(metadata.jwks_uri, party, "keys", until)
    return verified(token, keys, party, nonce=flow.nonce, at=at)


def verified(token: str, keys: Mapping[str, Any], party: Party, *, nonce: str, at: datetime) -> dict[str, Any]:
    """OpenID Connect Core 1.0, section 3.1.3.7. Raises SignOnFailed."""
    try:
        known = KeySet.import_key_set({"keys": _signing(keys)})
        found = jws.deserialize_compact(token, known, algorithms=list(ALGORITHMS))
        claims = json.loads(found.payload)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SignOnFailed("signature", type(error).__name__) from error
    if not isinstance(claims, dict):
        raise SignOnFailed("signature")
    if claims.get("iss") != party.issuer:
        raise SignOnFailed("issuer", str(claims.get("iss", "")))
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if party.client_id not in audiences or (len(audiences) > 1 and claims.get("azp") != party.client_id):
        raise SignOnFailed("audience")
    if claims.get("azp", party.client_id) != party.client_id:
        raise SignOnFailed("audience")
    _require_of_now(claims, at.timestamp())
    if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(claims["nonce"].encode(), nonce.encode()):
        raise SignOnFailed("nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise SignOnFailed("subject")
    return claims


def _require_of_now(claims: Mapping[str, Any], now: float) -> None:
    times = {name: claims.get(name) for name in ("exp", "iat", "nbf")}
    for name, value in times.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number and (value is not None or name != "nbf"):
            raise SignOnFailed("time", name)
    if now >= times["exp"] + LEEWAY:  # type: ignore[operator]  # a number, as was looked at above
        raise SignOnFailed("expired")
    if not now - MOST_AGE <= times["iat"] <= now + LEEWAY:  # type: ignore[operator]  # the same
        raise SignOnFailed("time", "iat")
    if times["nbf"] is not None and now < times["nbf"] - LEEWAY:
        raise SignOnFailed("time", "nbf")


def _signing(keys: Mapping[str, Any]) -> list[Any]:
    """Those that sign: a key for encryption signs nothing, and a shared one is no issuer's."""
    found = keys.get("keys")
    if not isinstance(found, list) or len(found) > 100:
        raise SignOnFailed("keys")
    signing = [each for each in found if isinstance(each, dict) and each.get("use", "sig") == "sig"]
    return [each for each in signing if each.get("kty") in ("RSA", "EC", "OKP")]


def _exchanged(party: Party, metadata: Metadata, flow: Flow, code: str, until: float) -> str:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": party.redirect_uri,
        "code_verifier": flow.verifier,
    }
    headers: dict[str, str] = {"Accept": "application/json"}
    if metadata.takes_basic:
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        pair = ":".join(urlencode({"": each})[1:] for each in (party.client_id, party.client_secret))
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": party.client_id, "client_secret": party.client_secret}
    try:
        answer = outbound.post(
            metadata.token_endpoint,
            urlencode(form).encode(),
            private=party.private,
            content_type="application/x-www-form-urlencoded",
            headers=headers,
            seconds=_left(until),
            query=True,
        )
    except (Unreachable, BadTarget) as error:
        raise SignOnFailed("unreachable", str(error.args[0])) from error
    found = _json(answer.body)
    if answer.status != 200:
        raise SignOnFailed("exchange", str(found.get("error") or answer.status))
    if not isinstance(found.get("id_token"), str):
        raise SignOnFailed("no_token")
    return str(found["id_token"])


def _document(url: str, party: Party, what: str, until: float) -> dict[str, Any]:
    try:
        answer = outbound.get(url, private=party.private, seconds=_left(until), query=True)
    except (Unreachable, BadTarget) as error:
        raise SignOnFailed("unreachable", f"{what}: {error.args[0]}") from error
    found = _json(answer.body) if answer.status == 200 else {}
    if not found:
        raise SignOnFailed("document", f"{what}: {answer.status}")
    return found


def _left(until: float) -> float:
    if (left := until - clock.monotonic()) <= 0:
        raise Unreachable("timeout")
    return left


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_place(url: str, party: Party) -> bool:
    try:
        outbound.Target.parse(url, private=party.private, query=True)
    except BadTarget:
        return False
    return True
