"""What a forged, stale or misdirected identity token comes to: nothing."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from requests_app.outbound import Answer
from requests_app.sso import oidc
from requests_app.sso.oidc import Party, SignOnFailed

ISSUER, CLIENT, NONCE, NOW = "https://idp.example", "lockbox", "n" * 43, 1_790_000_000
PARTY = Party(
    issuer=ISSUER,
    client_id=CLIENT,
    client_secret="s" * 40,
    scopes="openid",
    redirect_uri="https://lockbox.example/sign-in/callback/x/",
)
KEY, OTHER = RSAKey.generate_key(2048, {"kid": "k"}), RSAKey.generate_key(2048, {"kid": "k"})
CURVE = ECKey.generate_key("P-256", {"kid": "e"})
AT = dt.datetime.fromtimestamp(NOW, tz=dt.UTC)
CLAIMS = {"iss": ISSUER, "aud": CLIENT, "sub": "s", "nonce": NONCE, "iat": NOW, "exp": NOW + 300}


def token(key: Any = KEY, alg: str = "RS256", **claims: Any) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    header = {"alg": alg, "kid": key.kid} if hasattr(key, "kid") and key.kid else {"alg": alg}
    return jws.serialize_compact(header, json.dumps(said), key, algorithms=[alg])


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def keys(*more: Any) -> dict[str, Any]:
    return dict(KeySet([KEY, CURVE, *more]).as_dict(private=False))


def verified(given: str, **options: Any) -> dict[str, Any]:
    return oidc.verified(given, options.pop("keys", keys()), PARTY, nonce=NONCE, at=AT)


def test_one_that_is_signed_for_us_now_is_believed() -> None:
    assert verified(token())["sub"] == "s"
    assert verified(token(CURVE, "ES256"))["sub"] == "s"
    assert verified(token(aud=[CLIENT, "other"], azp=CLIENT))["sub"] == "s"
    assert verified(token(exp=NOW - 59, iat=NOW - 500, nbf=NOW + 59))["sub"] == "s"


@pytest.mark.parametrize(
    ("code", "claims"),
    [
        ("issuer", {"iss": "https://evil.example"}),
        ("issuer", {"iss": f"{ISSUER}/"}),
        ("issuer", {"iss": None}),
        ("audience", {"aud": "other"}),
        ("audience", {"aud": None}),
        ("audience", {"aud": [CLIENT, "other"]}),
        ("audience", {"aud": [CLIENT, "other"], "azp": "other"}),
        ("audience", {"azp": "other"}),
        ("expired", {"exp": NOW - 60}),
        ("time", {"exp": None}),
        ("time", {"exp": "soon"}),
        ("time", {"exp": True}),
        ("time", {"iat": None}),
        ("time", {"iat": NOW - 601}),
        ("time", {"iat": NOW + 61}),
        ("time", {"nbf": NOW + 61}),
        ("nonce", {"nonce": None}),
        ("nonce", {"nonce": "x" * 43}),
        ("nonce", {"nonce": 7}),
        ("subject", {"sub": None}),
        ("subject", {"sub": ""}),
        ("subject", {"sub": "s" * 256}),
        ("subject", {"sub": "a\nb"}),
    ],
)
def test_one_that_is_wrong_in_one_thing_is_refused(code: str, claims: dict[str, Any]) -> None:
    with pytest.raises(SignOnFailed) as refused:
        verified(token(**claims))
    assert refused.value.code == code


def test_a_signature_that_is_not_the_issuers_is_none() -> None:
    header, body, signature = token().split(".")
    # The public key as the secret of a MAC, and our own secret.
    mac = _b64(b'{"alg":"HS256","kid":"k"}') + "." + body
    with_public = f"{mac}.{_b64(hmac.digest(KEY.as_pem(private=False), mac.encode(), 'sha256'))}"
    shared = OctKey.import_key(PARTY.client_secret)
    for forged in (
        token(OTHER),
        f"{header}.{body}.",
        f"{header}.{body}.{signature[:-4]}AAAA",
        f"{header}.{body[:-2]}AA.{signature}",
        "eyJhbGciOiJub25lIn0." + body + ".",
        "eyJhbGciOiJOb05lIn0." + body + "." + signature,
        with_public,
        token(shared, "HS256"),
        "",
        "a.b.c",
        "." * 5,
    ):
        with pytest.raises(SignOnFailed) as refused:
            verified(forged)
        assert refused.value.code == "signature", forged
    # One that the issuer's list holds a shared key for, or only one for encryption.
    encrypts, shares = {**KEY.as_dict(private=False), "use": "enc"}, shared.as_dict()
    cases: list[tuple[str, list[Any]]] = [(token(shared, "HS256"), [shares]), (token(), [encrypts]), (token(), [])]
    for given, listed in cases:
        with pytest.raises(SignOnFailed):
            verified(given, keys={"keys": listed})


DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("issuer", {"issuer": "https://other.example"}),
        ("endpoint", {"token_endpoint": "http://idp.example/token"}),
        ("endpoint", {"token_endpoint": "https://127.0.0.1/token"}),
        ("endpoint", {"jwks_uri": "https://[::ffff:10.0.0.1]/keys"}),
        ("endpoint", {"jwks_uri": "https://169.254.169.254/keys"}),
        ("endpoint", {"authorization_endpoint": "javascript:alert(1)"}),
        ("pkce", {"code_challenge_methods_supported": ["plain"]}),
    ],
)
def test_a_document_of_discovery_that_leads_astray_is_refused(
    monkeypatch: pytest.MonkeyPatch, code: str, change: dict[str, Any]
) -> None:
    body = json.dumps({**DOCUMENT, **change}).encode()
    monkeypatch.setattr(oidc.outbound, "get", lambda url, **_: Answer(200, "application/json", body))
    with pytest.raises(SignOnFailed) as refused:
        oidc.discover(PARTY)
    assert refused.value.code == code


def test_an_issuer_that_says_whose_its_answers_are_must_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({**DOCUMENT, "authorization_response_iss_parameter_supported": True}).encode()
    monkeypatch.setattr(oidc.outbound, "get", lambda url, **_: Answer(200, "application/json", body))
    flow = oidc.Flow.new()
    for answer in (
        {"state": flow.state, "code": "c"},
        {"state": flow.state, "code": "c", "iss": "https://evil.example"},
    ):
        with pytest.raises(SignOnFailed) as refused:
            oidc.complete(PARTY, flow, answer, at=AT)
        assert refused.value.code == "mixed_up"
