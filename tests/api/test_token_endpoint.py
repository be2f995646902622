"""OAuth 2.0 client credentials (RFC 6749)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.test import Client as Browser

from requests_app.domain.scopes import Scope, in_order
from requests_app.doors.api import oauth
from requests_app.models import Token
from tests.caller import access_token, client_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db

GRANT = {"grant_type": "client_credentials"}


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def test_a_client_gets_a_token_for_an_hour(cast: Cast, travel: Any) -> None:
    at = travel.freeze()
    client, secret = client_of(cast, "contoso", Scope.LOG_READ, Scope.GRANTS_READ)
    response = Browser().post("/oauth/token", GRANT, headers=basic(str(client.pk), secret))
    found = response.json()
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store, private, no-transform")
    assert found.pop("access_token").startswith("lockbox_at_")
    assert found == {"token_type": "Bearer", "expires_in": 3600, "scope": "grants:read log:read"}
    assert (Token.objects.get().expires_at - at).total_seconds() == 3600


def test_two_ways_to_prove_oneself_and_a_repeated_parameter_are_an_invalid_request(cast: Cast) -> None:
    """RFC 6749, sections 2.3, 3.2 and 5.2. The test tries right and wrong secrets."""
    client, secret = client_of(cast, "contoso", Scope.LOG_READ)
    in_body, header = {"client_id": str(client.pk), "client_secret": secret}, basic(str(client.pk), secret)
    two_ways = Browser().post("/oauth/token", {**GRANT, **in_body}, headers=header)
    bearer = Browser().post("/oauth/token", {**GRANT, **in_body}, headers={"Authorization": "Bearer x"})
    repeated = [
        Browser().post("/oauth/token", {**GRANT, name: [value, value]}, headers=header)
        for name, value in (("grant_type", "client_credentials"), ("scope", "log:read"), ("anything", "x"))
    ]
    repeated.append(Browser().post("/oauth/token", {**GRANT, **in_body, "client_secret": [secret, "wrong"]}))
    for response in (two_ways, bearer, *repeated):
        assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})
        assert "no-store" in response["Cache-Control"]
    assert not Token.objects.exists()
    # An id in the body beside the header is allowed, because it proves nothing. An empty secret counts as missing.
    named = {**GRANT, "client_id": str(client.pk), "client_secret": ""}
    assert Browser().post("/oauth/token", named, headers=header).status_code == 200


def test_a_client_may_ask_for_fewer_scopes(cast: Cast) -> None:
    client, secret = client_of(cast, "contoso", Scope.LOG_READ, Scope.GRANTS_READ)
    assert access_token(client, secret, "log:read").json()["scope"] == "log:read"


@pytest.mark.parametrize("scope", ["tokens:manage", "log:read tenant:manage", "no-such-scope"])
def test_a_scope_that_the_client_lacks_is_refused_and_not_left_out(cast: Cast, scope: str) -> None:
    client, secret = client_of(cast, "contoso", Scope.LOG_READ)
    response = access_token(client, secret, scope)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_scope")
    assert not Token.objects.exists()


@pytest.mark.parametrize("secret", ["", "wrong", "lockbox_cs_" + "a" * 46])
def test_a_wrong_secret_gets_nothing(cast: Cast, secret: str) -> None:
    client, _right = client_of(cast)
    response = Browser().post("/oauth/token", GRANT, headers=basic(str(client.pk), secret))
    assert (response.status_code, response.json()) == (401, {"error": "invalid_client"})
    assert not Token.objects.exists()


@pytest.mark.parametrize("name", ["no-id", "", "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_client_is_answered_as_one_with_a_wrong_secret(cast: Cast, name: str) -> None:
    _client, secret = client_of(cast)
    response = Browser().post("/oauth/token", GRANT, headers=basic(name, secret))
    assert (response.status_code, response.json()) == (401, {"error": "invalid_client"})


@pytest.mark.parametrize("header", [b"\xff\xfe:x", b"a:\xff", "é", "===="])
def test_a_client_id_that_is_not_text_is_unknown(cast: Cast, header: bytes | str) -> None:
    """The answer must not be 500. Otherwise anybody could cause server errors."""
    plain = header if isinstance(header, str) else base64.b64encode(header).decode()
    response = Browser(raise_request_exception=False).post(
        "/oauth/token", GRANT, headers={"Authorization": f"Basic {plain}"}
    )
    assert (response.status_code, response.json()) == (401, {"error": "invalid_client"})
    assert response["WWW-Authenticate"] == 'Basic realm="lockbox"'


def test_a_secret_in_an_address_is_refused(cast: Cast) -> None:
    client, secret = client_of(cast)
    response = Browser().post(f"/oauth/token?client_id={client.pk}&client_secret={secret}", GRANT)
    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})
    assert not Token.objects.exists()


@pytest.mark.parametrize("grant", ["password", "implicit", "", "refresh_token"])
def test_there_is_no_other_grant(cast: Cast, grant: str) -> None:
    client, secret = client_of(cast)
    response = Browser().post("/oauth/token", {"grant_type": grant}, headers=basic(str(client.pk), secret))
    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")


def test_the_token_endpoint_accepts_only_post(db: None) -> None:
    for method in ("get", "put", "delete"):
        assert getattr(Browser(), method)("/oauth/token").status_code == 405


def test_tries_are_counted(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "TRIES_MAX", 3)
    client, secret = client_of(cast)
    oauth.TRIES.clear()
    tries = [Browser().post("/oauth/token", GRANT, headers=basic(str(client.pk), "wrong")) for _ in range(4)]
    assert [each.status_code for each in tries] == [401, 401, 401, 429]
    assert 1 <= int(tries[-1]["Retry-After"]) <= 61
    oauth.TRIES.clear()
    assert access_token(client, secret).status_code == 200


def test_the_metadata_name_address_grant_and_scopes(db: None) -> None:
    found = Browser().get("/.well-known/oauth-authorization-server").json()
    assert found["token_endpoint"] == "http://localhost:8000/oauth/token"
    assert found["jwks_uri"] == "http://localhost:8000/.well-known/jwks.json"
    assert found["grant_types_supported"] == [
        "client_credentials",
        "authorization_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ]
    assert found["scopes_supported"] == in_order(Scope)
