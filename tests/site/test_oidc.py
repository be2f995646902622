"""ID tokens that are forged, old, or meant for somebody else are refused."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from requests_app.identity.sso import id_tokens, oidc
from requests_app.identity.sso.oidc import Party, SignOnFailed
from requests_app.platform.outbound import Answer
from tests.offenders import collected

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


def token(key: Any = KEY, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    words = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    named = {"alg": alg, "kid": key.kid} if hasattr(key, "kid") and key.kid else {"alg": alg}
    whole = {name: value for name, value in {**named, **(header or {})}.items() if value is not None}
    return jws.serialize_compact(whole, json.dumps(words), key, algorithms=[alg])


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def keys(*more: Any) -> dict[str, Any]:
    return dict(KeySet([KEY, CURVE, *more]).as_dict(private=False))


def verified(given: str, **options: Any) -> dict[str, Any]:
    whose = {"issuer": PARTY.issuer, "client_id": PARTY.client_id}
    return id_tokens.verified(given, options.pop("keys", keys()), **whose, nonce=NONCE, at=AT, **options)


def test_a_valid_identity_token_is_accepted() -> None:
    assert verified(token())["sub"] == "s"
    assert verified(token(CURVE, "ES256"))["sub"] == "s"
    assert verified(token(aud=[CLIENT, "other"], azp=CLIENT))["sub"] == "s"
    assert verified(token(exp=NOW - 59, iat=NOW - 500, nbf=NOW + 59))["sub"] == "s"


def test_an_identity_token_with_one_fault_is_refused() -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
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
        ("time", {"nbf": "now"}),
        ("time", {"auth_time": NOW + 61}),
        ("time", {"auth_time": False}),
        ("nonce", {"nonce": None}),
        ("nonce", {"nonce": "x" * 43}),
        ("nonce", {"nonce": 7}),
        ("subject", {"sub": None}),
        ("subject", {"sub": ""}),
        ("subject", {"sub": "s" * 256}),
        ("subject", {"sub": "a\nb"}),
    ]
    with collected() as case:
        for code, claims in cases:
            with case(code, claims):
                with pytest.raises(SignOnFailed) as refused:
                    verified(token(**claims))
                assert refused.value.code == code


def test_a_time_that_is_no_finite_number_is_refused() -> None:
    with collected() as case:
        for name in ["exp", "iat", "nbf", "auth_time"]:
            for value in ["NaN", "Infinity", "-Infinity", "1e999"]:
                with case(name, value):
                    words = json.dumps({**CLAIMS, name: "here"}).replace('"here"', value)
                    given = jws.serialize_compact({"alg": "RS256", "kid": "k"}, words, KEY, algorithms=["RS256"])
                    with pytest.raises(SignOnFailed) as refused:
                        verified(given)
                    assert refused.value.code == ("time" if value == "1e999" else "signature")


def test_a_token_of_another_kind_is_refused() -> None:
    cases: list[Any] = ["at+jwt", "logout+jwt", "secevent+jwt", "application/at+jwt", "JWE", "", 7, ["JWT"]]
    assert verified(token(header={"typ": "JWT"}))["sub"] == "s"
    assert verified(token(header={"typ": "jwt"}))["sub"] == "s"
    with collected() as case:
        for typ in cases:
            with case(typ):
                # The library refuses a header that is not text.
                head = _b64(json.dumps({"alg": "RS256", "kid": "k", "typ": typ}).encode()) + "." + token().split(".")[1]
                signature = token_signature(head)
                with pytest.raises(SignOnFailed) as refused:
                    verified(f"{head}.{signature}")
                assert refused.value.code in ({"kind"} if isinstance(typ, str) else {"kind", "signature"})


def token_signature(head: str) -> str:
    private = KEY.private_key
    return _b64(private.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256()))


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("bits", [1024, 2047])
def test_an_rsa_key_under_2048_bits_signs_nobody_in(bits: int) -> None:
    weak = RSAKey.import_key(rsa.generate_private_key(65537, bits).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ), {"kid": "w"})  # fmt: skip
    for alg in ("RS256", "PS256"):
        with pytest.raises(SignOnFailed) as refused:
            verified(token(weak, alg), keys=keys(weak))
        assert refused.value.code == "weak_key"
    # The issuer's other keys are still accepted.
    assert verified(token(), keys=keys(weak))["sub"] == "s"


def test_a_key_that_is_not_understood_keeps_nobody_out() -> None:
    strange = [
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "x"},
        {"kty": "OKP", "crv": "X448", "x": "AA", "kid": "y"},
        {"kty": "RSA", "kid": "z"},
        {"kty": "RSA", "kid": "z", "n": 7, "e": "AQAB"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        "no key",
    ]
    assert verified(token(), keys={"keys": [*strange, *keys()["keys"]]})["sub"] == "s"


def test_without_a_name_the_only_key_of_its_kind_is_taken() -> None:
    nameless = {"kid": None}
    assert verified(token(header=nameless))["sub"] == "s"
    assert verified(token(CURVE, "ES256", header=nameless))["sub"] == "s"
    for given in (token(header=nameless), token(OTHER, header=nameless)):
        with pytest.raises(SignOnFailed) as refused:
            verified(given, keys=keys(RSAKey.generate_key(2048, {"kid": "second"})))
        assert refused.value.code == "signature"


@pytest.mark.parametrize(("key", "alg", "bits"), [(KEY, "RS256", 256), (KEY, "PS384", 384), (CURVE, "ES256", 256)])
def test_an_access_token_that_the_identity_token_does_not_know_is_refused(key: Any, alg: str, bits: int) -> None:
    digest = hashlib.new(f"sha{bits}", b"access").digest()
    at_hash = _b64(digest[: len(digest) // 2])
    assert verified(token(key, alg, at_hash=at_hash), access_token="access")["sub"] == "s"
    assert verified(token(key, alg), access_token="access")["sub"] == "s"
    for words, given in ((at_hash, "another"), (_b64(digest), "access"), ("", "access"), (7, "access")):
        with pytest.raises(SignOnFailed) as refused:
            verified(token(key, alg, at_hash=words), access_token=given)
        assert refused.value.code == "token_hash"


# --- UserInfo -----------------------------------------------------------------------------------------------


def complete(
    monkeypatch: pytest.MonkeyPatch,
    value: Any,
    *,
    kind: str = "application/json",
    status: int = 200,
    exchanged: dict[str, Any] | None = None,
    **claims: Any,
) -> tuple[dict[str, Any], list[str]]:
    """Sign in at an issuer whose UserInfo answers in this way. Return the claims, and the calls of UserInfo."""
    flow, calls = oidc.Flow.new(), []
    given = token(nonce=flow.nonce, **claims)
    tokens = {"id_token": given, "access_token": "access", "token_type": "Bearer", **(exchanged or {})}
    body = value if isinstance(value, bytes) else json.dumps(value).encode()

    def get(url: str, **options: Any) -> Answer:
        if url.endswith("/userinfo"):
            calls.append(options["headers"]["Authorization"])
            return Answer(status, kind, body)
        document = keys() if url.endswith("/keys") else {**DOCUMENT, "userinfo_endpoint": f"{ISSUER}/userinfo"}
        return Answer(200, "application/json", json.dumps(document).encode())

    monkeypatch.setattr(oidc.outbound, "get", get)
    monkeypatch.setattr(oidc.outbound, "post", lambda *_, **__: Answer(200, "", json.dumps(tokens).encode()))
    return oidc.complete(PARTY, flow, {"state": flow.state, "code": "c"}, at=AT), calls


def signed(**claims: Any) -> bytes:
    return jws.serialize_compact({"alg": "RS256", "kid": "k"}, json.dumps(claims), KEY, algorithms=["RS256"]).encode()


ADA: dict[str, Any] = {"sub": "s", "email": "ada@x.example", "email_verified": True}


def test_userinfo_says_what_the_identity_token_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    claims, question = complete(monkeypatch, {**ADA, "nonce": "other", "iss": "other", "exp": 1})
    assert (claims["email"], claims["email_verified"], question) == ("ada@x.example", True, ["Bearer access"])
    assert (claims["iss"], claims["exp"]) == (ISSUER, NOW + 300)
    # UserInfo is not called if no claim is missing, or if there is no usable access token.
    assert complete(monkeypatch, b"", email="a@x.example", email_verified=False)[1] == []
    assert complete(monkeypatch, b"", exchanged={"access_token": None})[1] == []
    assert complete(monkeypatch, b"", exchanged={"token_type": "DPoP"})[1] == []


@pytest.mark.parametrize("kind", ["application/jwt", "application/jwt; charset=utf-8"])
def test_userinfo_may_be_signed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for more in ({}, {"iss": ISSUER, "aud": CLIENT}, {"aud": ["x", CLIENT]}):
        assert complete(monkeypatch, signed(**ADA, **more), kind=kind)[0]["email"] == "ada@x.example"


def test_userinfo_that_is_wrong_in_one_thing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("userinfo_subject", {**ADA, "sub": "other"}, {}),
        ("userinfo_subject", {"email": "ada@x.example"}, {}),
        ("userinfo_subject", {**ADA, "sub": ["s"]}, {}),
        ("userinfo", b"<html>", {}),
        ("userinfo", b"[]", {}),
        ("userinfo", ADA, {"status": 302}),
        ("userinfo", ADA, {"status": 401}),
        ("userinfo", signed(**ADA), {}),
        ("signature", ADA, {"kind": "application/jwt"}),
        ("signature", b"a.b.c.d.e", {"kind": "application/jwt"}),
        ("signature", token(OTHER, **ADA).encode(), {"kind": "application/jwt"}),
        ("userinfo_subject", signed(**{**ADA, "sub": "other"}), {"kind": "application/jwt"}),
        ("issuer", signed(**ADA, iss="https://evil.example"), {"kind": "application/jwt"}),
        ("audience", signed(**ADA, aud="other"), {"kind": "application/jwt"}),
    ]
    with collected() as case:
        for code, words, options in cases:
            with case(code, words, options):
                with pytest.raises(SignOnFailed) as refused:
                    complete(monkeypatch, words, **options)
                assert refused.value.code == code


@pytest.mark.parametrize(
    ("token_says", "userinfo_says", "verified_is"),
    [
        ({}, {"email": "a@x.example", "email_verified": True}, True),
        ({"email": "a@x.example"}, {"email": "a@x.example", "email_verified": True}, True),
        ({"email": "a@x.example"}, {"email": "b@x.example", "email_verified": True}, None),
        ({"email": "a@x.example"}, {"email_verified": True}, None),
        ({"email_verified": True}, {"email": "a@x.example"}, None),
        ({"email_verified": True}, {"email": "a@x.example", "email_verified": False}, False),
        ({"email": "a@x.example", "email_verified": False}, {"email_verified": True}, False),
    ],
)
def test_an_address_is_verified_by_the_claim_beside_it(
    monkeypatch: pytest.MonkeyPatch, token_says: dict[str, Any], userinfo_says: dict[str, Any], verified_is: Any
) -> None:
    claims, _asked = complete(monkeypatch, {"sub": "s", **userinfo_says}, **token_says)
    assert claims.get("email_verified") is verified_is
    # The same is true for the claim that Entra ID uses instead.
    token_says, userinfo_says = (
        {name.replace("email_verified", "xms_edov"): value for name, value in words.items()}
        for words in (token_says, userinfo_says)
    )
    claims, _asked = complete(monkeypatch, {"sub": "s", **userinfo_says}, **token_says)
    assert claims.get("xms_edov") is verified_is


def test_a_signature_by_another_key_is_refused() -> None:
    header, body, signature = token().split(".")
    # Tokens with a MAC: the public key as its secret, and our own secret.
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
    # The issuer's list contains a shared key, a key only for encryption, or no key.
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


def test_a_document_of_discovery_that_leads_astray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("issuer", {"issuer": "https://other.example"}),
        ("endpoint", {"token_endpoint": "http://idp.example/token"}),
        ("endpoint", {"token_endpoint": "https://127.0.0.1/token"}),
        ("endpoint", {"jwks_uri": "https://[::ffff:10.0.0.1]/keys"}),
        ("endpoint", {"jwks_uri": "https://169.254.169.254/keys"}),
        ("endpoint", {"userinfo_endpoint": "https://169.254.169.254/userinfo"}),
        ("endpoint", {"userinfo_endpoint": "http://idp.example/userinfo"}),
        ("endpoint", {"userinfo_endpoint": 7}),
        ("endpoint", {"authorization_endpoint": "javascript:alert(1)"}),
        ("pkce", {"code_challenge_methods_supported": ["plain"]}),
    ]
    with collected() as case:
        for code, change in cases:
            with case(code, change):
                answer = Answer(200, "application/json", json.dumps({**DOCUMENT, **change}).encode())
                monkeypatch.setattr(oidc.outbound, "get", lambda url, answer=answer, **_: answer)
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
