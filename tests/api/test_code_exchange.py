"""A one-time code for a grant token, at the token endpoint (RFC 6749, section 4.1.3; RFC 7636)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import CodeForeign
from requests_app.doors.api import oauth
from requests_app.models import Client, OneTimeCode, Token
from requests_app.models.people import actor_of_client
from requests_app.models.token_keys import verified
from tests.api.test_token_endpoint import basic
from tests.api.test_token_exchange import exchange
from tests.caller import client_of
from tests.cast import Cast
from tests.ways_in import WayIn
from tests.web.pages import nothing_happens

pytestmark = pytest.mark.django_db


@pytest.fixture
def guard(cast: Cast) -> operations.Made:
    return cast.guard()


@pytest.fixture
def way(cast: Cast, guard: operations.Made) -> WayIn:
    return WayIn(cast, guard.row, cast.in_quillo())


def redeem(way: WayIn, made: operations.Made, secret: str, /, **form: Any) -> Any:
    oauth.TRIES.clear()
    sent = {
        "grant_type": "authorization_code",
        "code": secret,
        "redirect_uri": "https://quillo.example/.lockbox/code",
        "code_verifier": way.verifier,
        **form,
    }
    sent = {name: value for name, value in sent.items() if value is not None}
    return Browser().post("/oauth/token", sent, headers=basic(str(made.row.pk), made.secret))


def tokens_given() -> int:
    return AuditEntry.objects.filter(event="grant.token_issued").count()


def refused(response: Any, error: str, why: str = "", status: int = 400) -> None:
    body = response.json()
    assert (response.status_code, body["error"], body.get("error_description", "")) == (status, error, why)
    assert "no-store" in response["Cache-Control"]
    assert "access_token" not in body


def test_a_code_gives_a_grant_token_of_the_window_and_of_nothing_else(way: WayIn, guard: operations.Made) -> None:
    response = redeem(way, guard, way.issue())
    body = response.json()
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store, private, no-transform")
    assert body["token_type"] == "Bearer"
    assert 0 < body["expires_in"] <= 300
    claims = verified(body["access_token"], typ="at+jwt")
    assert claims is not None
    assert claims["sub"] == str(way.cast.priya.pk)
    assert claims["client_id"] == str(guard.row.pk)
    assert claims["sid"] == str(OneTimeCode.objects.get().pk)
    assert [each["grant_id"] for each in claims["authorization_details"]] == [str(way.grant.pk)]
    entries = AuditEntry.objects.filter(subject_id=str(way.grant.pk)).order_by("-seq")
    assert [entry.event for entry in entries[:2]] == ["grant.token_issued", "grant.entered"]
    # It is no token for this API.
    assert not Token.objects.filter(account=guard.row.account).exists()


def test_a_second_use_gives_nothing_and_the_first_token_is_not_renewed(way: WayIn, guard: operations.Made) -> None:
    code = way.issue()
    first = redeem(way, guard, code).json()["access_token"]
    renewed = exchange(guard, first).json()["access_token"]
    claims = verified(renewed, typ="at+jwt")
    assert claims is not None
    assert claims["sid"] == str(OneTimeCode.objects.get().pk)
    refused(redeem(way, guard, code), "invalid_grant", "code_used")
    given = tokens_given()
    for token in (first, renewed):
        refused(exchange(guard, token), "invalid_request", "grant_token_ended")
    assert tokens_given() == given
    # A second use closes nothing: the engineer comes in again with another code.
    way.grant.refresh_from_db()
    assert way.grant.is_live(clock.now())
    assert redeem(way, guard, way.issue()).status_code == 200


@pytest.mark.parametrize("change", ["verifier", "redirect_uri", "client"])
def test_a_stolen_code_gives_nothing(cast: Cast, way: WayIn, guard: operations.Made, change: str) -> None:
    code, given = way.issue(), tokens_given()
    if change == "client":
        other = cast.guard()
        response = redeem(way, other, code)
    elif change == "verifier":
        response = redeem(way, guard, code, code_verifier=secrets.token_urlsafe(32))
    else:
        response = redeem(way, guard, code, redirect_uri="https://evil.example/.lockbox/code")
    refused(response, "invalid_grant", "code_foreign")
    refused(redeem(way, guard, code), "invalid_grant", "code_used")
    assert tokens_given() == given


def test_a_window_that_has_closed_gives_no_token(cast: Cast, way: WayIn, guard: operations.Made) -> None:
    code = way.issue()
    operations.revoke(way.grant.access_request_id, actor=cast.as_("ada"))
    refused(redeem(way, guard, code), "invalid_grant", "window_not_open")
    assert tokens_given() == 0


@pytest.mark.parametrize("name", ["code", "redirect_uri", "code_verifier"])
def test_a_form_without_all_parts_is_refused_and_uses_no_code_up(way: WayIn, guard: operations.Made, name: str) -> None:
    code = way.issue()
    with nothing_happens():
        refused(redeem(way, guard, code, **{name: None}), "invalid_request")
        refused(redeem(way, guard, code, **{name: ""}), "invalid_request")
    assert OneTimeCode.objects.get().used_at is None
    assert redeem(way, guard, code).status_code == 200


def test_an_unknown_code_is_an_invalid_grant(way: WayIn, guard: operations.Made) -> None:
    with nothing_happens():
        refused(redeem(way, guard, "lockbox_oc_" + "x" * 46), "invalid_grant", "not_found")


def test_a_wrong_secret_uses_no_code_up(way: WayIn, guard: operations.Made) -> None:
    code = way.issue()
    with nothing_happens():
        refused(redeem(way, operations.Made(guard.row, "lockbox_cs_wrong"), code), "invalid_client", status=401)
    assert OneTimeCode.objects.get().used_at is None


def test_a_client_that_guards_nothing_can_redeem_nothing(cast: Cast, way: WayIn) -> None:
    code = way.issue()
    row, secret = client_of(cast, None)
    with nothing_happens():
        refused(redeem(way, operations.Made(row, secret), code), "unauthorized_client")
    assert OneTimeCode.objects.get().used_at is None


def test_a_code_is_exchanged_only_while_it_counts_and_only_by_its_client(cast: Cast, way: WayIn) -> None:
    """The operation itself asks, and not only the endpoint that calls it."""
    unused = way.issue()
    row = OneTimeCode.objects.get()
    with pytest.raises(CodeForeign):
        operations.exchange_code(row.pk, actor=actor_of_client(way.client))
    way.redeem(unused)
    with pytest.raises(CodeForeign):
        operations.exchange_code(row.pk, actor=actor_of_client(cast.guard().row))
    OneTimeCode.objects.update(ended_at=clock.now())
    with pytest.raises(CodeForeign):
        operations.exchange_code(row.pk, actor=actor_of_client(way.client))
    assert tokens_given() == 0


def test_the_metadata_says_what_a_guard_needs_to_know() -> None:
    found = Browser().get(reverse("api:metadata")).json()
    assert found["authorization_endpoint"] == "http://localhost:8000/oauth/authorize"
    assert found["response_types_supported"] == ["code"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True
    assert "authorization_code" in found["grant_types_supported"]
    assert Client.objects.count() == 0
