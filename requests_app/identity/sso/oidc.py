"""OpenID Connect Core 1.0 with discovery and PKCE, as a relying party.

No data from the browser is trusted without a check. The code is exchanged over a connection of this server, with a
verifier that only this flow has. The ID token must be signed by the issuer's key, be meant for this client, be current,
and have the nonce of this flow. Claims that the token lacks are requested from UserInfo, which must answer about the
same subject.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from requests_app.domain import clock
from requests_app.identity.sso import id_tokens
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.platform import outbound
from requests_app.platform.outbound import BadTarget, Unreachable

#: Seconds for all calls of one step together. A thread does not wait longer for an issuer that does not answer.
SECONDS = 8.0
_WELL_KNOWN = "/.well-known/openid-configuration"
#: Claims about the token itself. They are not taken from UserInfo, which is about the person.
_OF_THE_TOKEN = frozenset(
    ("iss", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash")
)

#: The claims that the email address is verified. The second one is Entra ID's.
_VERIFIES = ("email_verified", "xms_edov")


@dataclass(frozen=True, kw_only=True)
class Party:
    """This product as the relying party of one issuer: the connection that the administrator entered."""

    issuer: str
    client_id: str
    client_secret: str
    scopes: str
    redirect_uri: str
    private: bool = False
    #: The tenant to which the issuer belongs. All hosts of one tenant share one limit on outgoing calls.
    peer: str = ""
    #: The claims that a sign-in needs. If the ID token lacks one of them, UserInfo is called.
    claims: tuple[str, ...] = ("email", "email_verified")

    @property
    def share(self) -> str:
        """The name under which `outbound` counts the calls to this issuer."""
        return self.peer or self.issuer


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The issuer's metadata (OpenID Connect Discovery 1.0, section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    takes_basic: bool
    sends_issuer: bool
    userinfo_endpoint: str = ""


@dataclass(frozen=True, kw_only=True)
class _Tokens:
    """The tokens that the issuer returned for one sign-on. `access` is "" if there is no token for UserInfo."""

    identity: str
    access: str


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The three random secrets of one sign-on."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Flow:
        return cls(state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48))


def discover(party: Party, *, until: float | None = None) -> Metadata:
    """Return the issuer's metadata. Raise SignOnFailed if it names another issuer (Discovery 1.0, section 4.3)."""
    until = until if until is not None else clock.monotonic() + SECONDS
    found = _document(party.issuer.rstrip("/") + _WELL_KNOWN, party, "discovery", until)
    if found.get("issuer") != party.issuer:
        raise SignOnFailed("issuer", str(found.get("issuer", "")))
    places = {name: found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
    # Optional: an issuer without UserInfo puts all claims into the ID token.
    if found.get("userinfo_endpoint") is not None:
        places["userinfo_endpoint"] = found["userinfo_endpoint"]
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
        userinfo_endpoint=str(places.get("userinfo_endpoint", "")),
    )


def address(party: Party, metadata: Metadata, flow: Flow, *, login_hint: str = "", again: bool = False) -> str:
    """Return the URL at the issuer to which the browser is sent (RFC 6749, section 4.1.1; RFC 7636).

    With `again`, the person must authenticate again, even if they are signed in at the issuer.
    """
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
    """Return the issuer's claims about the person who signed in. Raise SignOnFailed if any check fails.

    `answer` has the parameters with which the browser came back.
    """
    if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
        raise SignOnFailed("state")
    until = clock.monotonic() + SECONDS
    metadata = discover(party, until=until)
    # RFC 9207: the answer must name its issuer, if the issuer's metadata says that it does this.
    if answer.get("iss", party.issuer if not metadata.sends_issuer else "") != party.issuer:
        raise SignOnFailed("mixed_up")
    if answer.get("error"):
        raise SignOnFailed("refused", answer["error"])
    if not answer.get("code"):
        raise SignOnFailed("no_code")
    tokens = _exchanged(party, metadata, flow, answer["code"], until)
    # The keys are fetched each time, so that a withdrawn key signs nobody in, and a new key works immediately.
    keys = _document(metadata.jwks_uri, party, "keys", until)
    claims = id_tokens.verified(
        tokens.identity,
        keys,
        issuer=party.issuer,
        client_id=party.client_id,
        nonce=flow.nonce,
        at=at,
        access_token=tokens.access,
    )
    if metadata.userinfo_endpoint and tokens.access and any(name not in claims for name in party.claims):
        return _joined(claims, _userinfo(party, metadata, tokens.access, keys, subject=claims["sub"], until=until))
    return claims


# --- UserInfo --------------------------------------------------------------------------------------------


def _userinfo(
    party: Party, metadata: Metadata, access_token: str, keys: Mapping[str, Any], *, subject: str, until: float
) -> dict[str, Any]:
    """Return the claims that the issuer's UserInfo endpoint has about this subject (Core 1.0, section 5.3).

    The endpoint answers with plain JSON or with a signed JWT. Raise SignOnFailed if it answers about another subject.
    """
    headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json, application/jwt"}
    try:
        answer = outbound.get(
            metadata.userinfo_endpoint,
            private=party.private,
            seconds=_left(until),
            query=True,
            headers=headers,
            peer=party.share,
            purpose="sign_on",
        )
    except (Unreachable, BadTarget) as error:
        raise SignOnFailed("unreachable", f"userinfo: {error.args[0]}") from error
    kind = answer.content_type.partition(";")[0].strip().lower()
    if answer.status != 200:
        raise SignOnFailed("userinfo", str(answer.status))
    if kind == "application/jwt":
        _header, found = id_tokens.signed(answer.body.decode("ascii", "replace").strip(), keys)
        if found.get("iss", party.issuer) != party.issuer:
            raise SignOnFailed("issuer", str(found["iss"]))
        if "aud" in found and party.client_id not in id_tokens.audiences_of(found):
            raise SignOnFailed("audience")
    else:
        found = _json(answer.body)
    if not found:
        raise SignOnFailed("userinfo", kind)
    # Section 5.3.2: otherwise the token of one person could be combined with claims about another person.
    if found.get("sub") != subject:
        raise SignOnFailed("userinfo_subject")
    return found


def _joined(claims: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of the ID token, with the claims that only UserInfo has.

    A claim such as `email_verified` is used only if its source also has the email address that is returned.
    """
    added = {name: value for name, value in more.items() if name not in _OF_THE_TOKEN}
    found = {**added, **claims}
    first, second = (claims, more) if "email" in claims else (more, claims)
    for name in _VERIFIES:
        found.pop(name, None)
        for each in (first, second):
            if name in each and each.get("email") == first.get("email"):
                found[name] = each[name]
                break
    return found


# --- Calls to the issuer ---------------------------------------------------------------------------------


def _exchanged(party: Party, metadata: Metadata, flow: Flow, code: str, until: float) -> _Tokens:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": party.redirect_uri,
        "code_verifier": flow.verifier,
    }
    headers: dict[str, str] = {"Accept": "application/json"}
    if metadata.takes_basic:
        # RFC 6749, section 2.3.1: the client id and the secret are form-encoded before they are joined.
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
            peer=party.share,
            purpose="sign_on",
        )
    except (Unreachable, BadTarget) as error:
        raise SignOnFailed("unreachable", str(error.args[0])) from error
    found = _json(answer.body)
    if answer.status != 200:
        raise SignOnFailed("exchange", str(found.get("error") or answer.status))
    if not isinstance(found.get("id_token"), str):
        raise SignOnFailed("no_token")
    access = found.get("access_token")
    is_bearer = isinstance(access, str) and str(found.get("token_type", "")).lower() == "bearer"
    return _Tokens(identity=found["id_token"], access=str(access) if is_bearer else "")


def _document(url: str, party: Party, what: str, until: float) -> dict[str, Any]:
    try:
        answer = outbound.get(
            url, private=party.private, seconds=_left(until), query=True, peer=party.share, purpose="sign_on"
        )
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
        found = id_tokens.parsed(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_place(url: str, party: Party) -> bool:
    try:
        outbound.Target.parse(url, private=party.private, query=True)
    except BadTarget:
        return False
    return True
