"""A browser calls the API from the customer's approval page: only that page can, on few routes, and without cookies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from lockbox_site.demo.authenticator import Authenticator
from requests_app.models import Passkey
from tests.caller import Caller, caller_for
from tests.cast import Cast, events_in
from tests.isolation.world import routes
from tests.operations.test_approval_pages import ORIGIN, SITE, put

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]

#: All routes that the page can call.
OPEN = {
    *(
        "me",
        "step_up",
        "access_requests",
        "access_request",
        "manifest",
        "approve",
        "deny",
        "passkey_options",
        "passkeys",
    ),
}


def allowed(response: Any) -> str | None:
    granted: str | None = response.get("Access-Control-Allow-Origin")
    assert not response.has_header("Access-Control-Allow-Credentials")
    return granted


def preflight(address: str, origin: str = ORIGIN, method: str = "POST") -> Any:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Sec-Fetch-Site": "cross-site"}
    return Browser().options(address, headers=headers)


def views() -> Iterator[tuple[str, Any]]:
    for route in routes():
        if route.namespace == "api":
            yield route.name, getattr(route.entry.callback, "cls", None)


def test_its_routes_and_no_others_are_open_to_it(cast: Cast) -> None:
    put(cast)
    assert {name for name, view in views() if getattr(view, "for_approval_page", False)} == OPEN
    answer = preflight("/api/v1/me", method="GET")
    assert (answer.status_code, allowed(answer), "Origin" in answer["Vary"]) == (204, ORIGIN, True)
    assert answer["Access-Control-Allow-Methods"] == "GET"
    assert "Authorization" in answer["Access-Control-Allow-Headers"]
    for name in ("log", "tokens", "members"):
        where = reverse(f"api:{name}", args=[] if name == "tokens" else [cast.contoso.pk])
        assert allowed(preflight(where)) is None


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{ORIGIN}.evil.example", f"{ORIGIN}:8443", "null", "*", "", ORIGIN.upper()]
)
def test_another_origin_learns_nothing(cast: Cast, calling: Calling, origin: str) -> None:
    put(cast)
    assert allowed(preflight("/api/v1/me", origin)) is None
    response = calling("ada").get("me", Origin=origin)
    assert (response.status_code, allowed(response), "Origin" in response["Vary"]) == (200, None, True)


def test_an_answer_is_for_the_page_of_the_callers_own_tenant(cast: Cast, calling: Calling) -> None:
    put(cast)
    assert allowed(calling("ada").get("me", Origin=ORIGIN)) == ORIGIN
    assert allowed(calling("ada").get("access-requests", Origin=ORIGIN)) == ORIGIN
    for stranger in ("finn", "priya", "stella"):
        assert allowed(calling(stranger).get("me", Origin=ORIGIN)) is None
    # The page can also read the error for a caller without a valid token, and show it in words.
    nobody = Browser().get("/api/v1/me", headers={"Origin": ORIGIN, "Authorization": "Bearer x"})
    assert (nobody.status_code, allowed(nobody)) == (401, ORIGIN)
    put(cast, origin="")
    assert allowed(calling("ada").get("me", Origin=ORIGIN)) is None


def test_a_cookie_is_no_way_in(cast: Cast) -> None:
    put(cast)
    browser = Browser()
    browser.force_login(cast.ada)
    assert browser.get("/api/v1/me", headers={"Origin": ORIGIN}).status_code == 401


def enrolling(cast: Cast, caller: Caller, device: Authenticator, *, tenant: Any = None) -> Any:
    """Enrol a passkey as the page does: get the options, ask the device, and send the device's response."""
    place = f"tenants/{tenant or cast.contoso.pk}"
    options = caller.post(f"{place}/passkey-options").json()["options"]
    return caller.post(f"{place}/passkeys", {"name": "Own page", "response": device.create(options)})


def test_a_key_of_the_page_is_added_and_is_in_the_log(cast: Cast, calling: Calling) -> None:
    put(cast)
    ada = calling("ada", fresh=False)
    options = ada.post(f"tenants/{cast.contoso.pk}/passkey-options").json()["options"]
    assert options["rp"] == {"id": SITE, "name": "Contoso"}
    assert options["authenticatorSelection"] == {"residentKey": "required", "userVerification": "required"}
    refused = enrolling(cast, ada, Authenticator(origin=ORIGIN))
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert not Passkey.objects.exists()
    ada.step_up()
    made = enrolling(cast, ada, Authenticator(origin=ORIGIN))
    assert made.status_code == 201, made.content
    assert (made.json()["rp_id"], made.json()["origin"]) == (SITE, ORIGIN)
    assert Passkey.objects.get().rp_id == SITE
    assert events_in(cast.contoso)[-1] == "passkey.enrolled"


def test_a_key_of_another_site_or_an_old_challenge_is_refused(cast: Cast, calling: Calling, travel: Any) -> None:
    put(cast)
    ada, eve = calling("ada"), calling("otto")
    ada.step_up()
    eve.step_up()
    place = f"tenants/{cast.contoso.pk}"
    foreign = enrolling(cast, ada, Authenticator(origin="http://localhost:8000"))
    other = enrolling(cast, ada, Authenticator(origin=ORIGIN, rp_id="localhost"))
    unseen = enrolling(cast, ada, Authenticator(origin=ORIGIN, verifies_user=False))
    options = ada.post(f"{place}/passkey-options").json()["options"]
    answer = Authenticator(origin=ORIGIN).create(options)
    theirs = eve.post(f"{place}/passkeys", {"name": "Mine", "response": answer})
    invented = ada.post(
        f"{place}/passkeys",
        {"name": "Mine", "response": Authenticator(origin=ORIGIN).create({**options, "challenge": "A" * 75})},
    )
    travel.by(minutes=5)
    late = ada.post(f"{place}/passkeys", {"name": "Mine", "response": answer})
    for response in (foreign, other, unseen, theirs, invented, late):
        assert 400 <= response.status_code < 500, response.content
    assert not Passkey.objects.exists()


@pytest.mark.parametrize("response", [{}, {"response": {}}, {"response": {"clientDataJSON": "e30"}}, {"response": 1}])
def test_a_malformed_passkey_answer_is_refused(cast: Cast, calling: Calling, response: Any) -> None:
    put(cast)
    ada = calling("ada")
    ada.step_up()
    sent = ada.post(f"tenants/{cast.contoso.pk}/passkeys", {"name": "Mine", "response": response})
    assert 400 <= sent.status_code < 500
    assert not Passkey.objects.exists()


def test_without_a_page_and_for_machines_there_is_nothing_to_ask_for(cast: Cast, calling: Calling) -> None:
    where = f"tenants/{cast.contoso.pk}/passkey-options"
    assert calling("ada").post(where).status_code == 409
    put(cast)
    assert caller_for(cast, "contoso").post(where).status_code == 403
    assert calling("finn").post(where).status_code == 404
