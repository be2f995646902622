"""The authorization endpoint: where it sends a browser, with what, and to whom it sends nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.conf import settings
from django.test import Client as Browser
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import CodeForeign
from requests_app.models import OneTimeCode, QueueAssignment
from tests.cast import Cast
from tests.site.test_crossing import sent
from tests.ways_in import WayIn, way_in
from tests.web.pages import nothing_happens, only_a_refusal, queries_of, same_queries, signed_in

pytestmark = pytest.mark.django_db

HOME = "https://quillo.example/.lockbox/code"


def ask(browser: Any, way: WayIn, more: str = "", headers: dict[str, str] | None = None, **changes: Any) -> Any:
    address = f"{reverse('web:authorize')}?{urlencode(way.asked(**changes))}{more}"
    return browser.get(address, headers=headers or {})


def main_of(response: Any) -> str:
    """Return what the page says, without its frame, which names its own address."""
    return str(response.content.decode().partition("<main")[2])


def answer_of(response: Any) -> dict[str, str]:
    """Return the parameters with which the browser is sent to the application, and to nobody else."""
    assert response.status_code == 302
    place = urlsplit(response["Location"])
    assert f"{place.scheme}://{place.netloc}{place.path}" == HOME
    assert not place.fragment
    pairs = parse_qsl(place.query)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_an_engineer_is_sent_back_with_a_code_the_state_and_the_issuer(cast: Cast) -> None:
    way = way_in(cast)
    response = ask(signed_in(cast, "priya"), way, state="/a b?x=1&y=é")
    found = answer_of(response)
    assert (found["state"], found["iss"]) == ("/a b?x=1&y=é", settings.BASE_URL)
    assert way.redeem(found["code"]).grant == way.grant


def test_no_cache_and_no_other_site_learns_the_address_with_the_code(cast: Cast) -> None:
    way, priya = way_in(cast), signed_in(cast, "priya")
    for headers in ({}, sent("cross-site"), sent("same-origin")):
        response = ask(priya, way, headers=headers)
        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response["X-Frame-Options"] == "DENY"


def test_after_a_page_of_this_site_a_small_page_continues(cast: Cast) -> None:
    """The policy of the sign-in form (`form-action`) lets no redirect lead to another site."""
    way = way_in(cast)
    response = ask(signed_in(cast, "priya"), way, headers=sent("same-origin"))
    assert response.status_code == 200
    url = response.context["url"]
    assert url.startswith(f"{HOME}?code=lockbox_oc_")
    assert f'content="0; url={url.replace("&", "&amp;")}"' in response.content.decode()


def test_a_person_who_is_not_signed_in_signs_in_first_and_then_continues(cast: Cast) -> None:
    way = way_in(cast)
    with nothing_happens():
        response = ask(Browser(), way)
    place = urlsplit(response["Location"])
    assert (response.status_code, place.netloc, place.path) == (302, "", reverse("account_login"))
    assert dict(parse_qsl(place.query))["next"] == f"{reverse('web:authorize')}?{urlencode(way.asked())}"
    assert not OneTimeCode.objects.exists()


def test_a_link_of_another_site_needs_a_second_request_before_a_cookie_counts(cast: Cast) -> None:
    way = way_in(cast)
    with nothing_happens():
        response = ask(Browser(), way, headers=sent("cross-site"))
    assert response.status_code == 200
    assert "http-equiv" in response.content.decode()
    assert not OneTimeCode.objects.exists()


@pytest.mark.parametrize(
    "headers",
    [
        sent("cross-site", "no-cors", "image"),
        sent("cross-site", "cors", "empty"),
        sent("cross-site", "navigate", "iframe"),
        sent("same-site", "no-cors", "script"),
    ],
)
def test_no_site_gets_a_code_in_a_frame_a_picture_or_a_call(cast: Cast, headers: dict[str, str]) -> None:
    way, priya = way_in(cast), signed_in(cast, "priya")
    with nothing_happens():
        assert ask(priya, way, headers=headers).status_code == 403
    assert not OneTimeCode.objects.exists()


def test_only_a_get_that_a_person_asked_for_gives_a_code(cast: Cast) -> None:
    way, priya = way_in(cast), signed_in(cast, "priya")
    address = f"{reverse('web:authorize')}?{urlencode(way.asked())}"
    assert priya.head(address).status_code == 405
    assert priya.post(address).status_code == 405
    assert priya.get(address, headers={"Sec-Purpose": "prefetch;prerender"}).status_code == 425
    assert not OneTimeCode.objects.exists()


# --- Nobody is sent to an address that is not registered --------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/.lockbox/code"},
        {"redirect_uri": "https://quillo.example.evil.example/.lockbox/code"},
        {"redirect_uri": "https://quillo.example@evil.example/.lockbox/code"},
        {"redirect_uri": "https://quillo.example/.lockbox/code/../../x"},
        {"redirect_uri": "https://quillo.example/.lockbox/code#x"},
        {"redirect_uri": "https://quillo.example:444/.lockbox/code"},
        {"redirect_uri": "http://quillo.example/.lockbox/code"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": ""},
        {"redirect_uri": None},
        {"client_id": "9f7d4c3e-0000-4000-8000-000000000000"},
        {"client_id": "x"},
        {"client_id": "gate:quillo"},
        {"client_id": None},
    ],
)
def test_no_unknown_address_and_no_unknown_client_gets_the_browser(cast: Cast, changes: dict[str, Any]) -> None:
    way = way_in(cast)
    with nothing_happens():
        response = ask(signed_in(cast, "priya"), way, **changes)
    assert response.status_code == 400
    assert "Location" not in response
    assert "evil.example" not in main_of(response)
    assert not OneTimeCode.objects.exists()


@pytest.mark.parametrize(
    "more", ["&redirect_uri=https%3A%2F%2Fevil.example%2F", f"&redirect_uri={HOME}", "&client_id=x"]
)
def test_a_repeated_address_or_client_gets_a_page(cast: Cast, more: str) -> None:
    way = way_in(cast)
    with nothing_happens():
        response = ask(signed_in(cast, "priya"), way, more)
    assert response.status_code == 400
    assert not OneTimeCode.objects.exists()


@pytest.mark.parametrize("change", ["removed", "no scope", "no template", "service of a connector"])
def test_a_client_that_guards_nothing_any_more_gets_nobody(cast: Cast, change: str) -> None:
    way = way_in(cast)
    asked = way.asked()
    service = cast.quillo()
    if change == "removed":
        operations.remove_client(way.client.pk, actor=cast.as_("stella"))
    elif change == "no scope":
        way.client.scopes = ["grants:read"]
        way.client.save()
    elif change == "no template":
        type(service).objects.filter(pk=service.pk).update(link_template="")
    else:
        type(way.client).objects.filter(pk=way.client.pk).update(service=cast.exchange)
    priya = signed_in(cast, "priya")
    with nothing_happens():
        response = priya.get(f"{reverse('web:authorize')}?{urlencode(asked)}")
    assert response.status_code == 400
    assert not OneTimeCode.objects.exists()


# --- Errors of RFC 6749, section 4.1.2.1 ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "x" * 42}, "invalid_request"),
        ({"code_challenge": "=" * 43}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"grant": None}, "invalid_request"),
        ({"grant": "x"}, "invalid_request"),
    ],
)
def test_a_request_that_is_not_well_formed_gets_the_error_of_the_rfc(
    cast: Cast, changes: dict[str, Any], error: str
) -> None:
    way = way_in(cast)
    with nothing_happens():
        found = answer_of(ask(signed_in(cast, "priya"), way, **changes))
    assert (found["error"], found["state"], found["iss"]) == (error, "/contoso/support/7", settings.BASE_URL)
    assert "code" not in found
    assert not OneTimeCode.objects.exists()


@pytest.mark.parametrize("name", ["state", "grant", "code_challenge", "code_challenge_method", "response_type"])
def test_a_parameter_that_is_sent_twice_is_an_error(cast: Cast, name: str) -> None:
    way = way_in(cast)
    found = answer_of(ask(signed_in(cast, "priya"), way, f"&{name}=x"))
    assert found["error"] == "invalid_request"
    assert not OneTimeCode.objects.exists()


def test_other_parameters_are_ignored_as_the_rfc_demands(cast: Cast) -> None:
    assert "code" in answer_of(ask(signed_in(cast, "priya"), way_in(cast), "&scope=x&nonce=1&nonce=2"))


# --- Who has no such window -------------------------------------------------------------------------------------


def test_a_closed_window_gets_a_page_that_says_so(cast: Cast) -> None:
    way = way_in(cast)
    operations.revoke(way.grant.access_request_id, actor=cast.as_("ada"))
    priya = signed_in(cast, "priya")
    with only_a_refusal():
        response = ask(priya, way)
    assert (response.status_code, "Location" in response) == (403, False)
    text = response.content.decode()
    assert "The window is closed" in text
    assert "Ada Test" in text
    assert not OneTimeCode.objects.exists()


ABSENT = "9f7d4c3e-0000-4000-8000-000000000000"


def test_an_engineer_of_another_queue_gets_the_page_for_what_does_not_exist(cast: Cast) -> None:
    way, erik = way_in(cast), signed_in(cast, "erik")
    with nothing_happens():
        response, missing = ask(erik, way), ask(erik, way, grant=ABSENT)
    assert (response.status_code, missing.status_code) == (404, 404)
    assert main_of(response) == main_of(missing)
    assert not OneTimeCode.objects.exists()


@pytest.mark.parametrize("name", ["ada", "frida", "nils"])
def test_a_customer_is_sent_to_no_application_and_learns_of_none(cast: Cast, name: str) -> None:
    way, browser = way_in(cast), signed_in(cast, name)
    with nothing_happens():
        response, missing = ask(browser, way), ask(browser, way, client_id=ABSENT)
    assert (response.status_code, missing.status_code) == (400, 400)
    assert main_of(response).partition("Reference")[0] == main_of(missing).partition("Reference")[0]
    assert not OneTimeCode.objects.exists()


def test_a_colleague_of_the_queue_is_refused_and_the_log_says_so(cast: Cast) -> None:
    way = way_in(cast)
    QueueAssignment.objects.create(service=cast.quillo(), person=cast.samir, role="engineer", given_at=clock.now())
    samir = signed_in(cast, "samir")
    with only_a_refusal():
        assert ask(samir, way).status_code == 403
    assert not OneTimeCode.objects.exists()


# --- The Open button --------------------------------------------------------------------------------------------

OPEN = "https://quillo.example/.lockbox/open"


def open_links(response: Any) -> list[str]:
    text = response.content.decode()
    return [part.split('"')[0].replace("&amp;", "&") for part in text.split('href="')[1:] if part.startswith("http")]


def test_the_open_button_leads_through_the_guard_if_there_is_one(cast: Cast) -> None:
    grant = cast.in_quillo()
    reference, priya = grant.access_request.reference, signed_in(cast, "priya")
    page = reverse("web:window", args=[grant.pk])
    plain = f"/contoso/support/7?for={reference}"
    assert f"https://quillo.example{plain}" in open_links(priya.get(page))
    assert open_links(priya.get("/")) == []
    cast.guard()
    guarded = f"{OPEN}?{urlencode({'grant': grant.pk, 'to': plain})}"
    assert guarded in open_links(priya.get(page))
    assert guarded in open_links(priya.get("/"))
    assert "I am done" in priya.get(page).content.decode()


def test_a_removed_guard_leaves_the_plain_link(cast: Cast) -> None:
    way, priya = way_in(cast), signed_in(cast, "priya")
    operations.remove_client(way.client.pk, actor=cast.as_("stella"))
    links = open_links(priya.get(reverse("web:window", args=[way.grant.pk])))
    assert not any(link.startswith(OPEN) for link in links)
    assert any(link.startswith("https://quillo.example/contoso/") for link in links)


def test_more_windows_need_no_more_queries(cast: Cast) -> None:
    way, priya = way_in(cast), signed_in(cast, "priya")

    def grow() -> None:
        for _ in range(4):
            cast.in_quillo()

    same_queries(lambda: queries_of(priya, "/"), grow)
    assert len(open_links(priya.get("/"))) == 5
    assert AuditEntry.objects.filter(event="act.refused").count() == 0
    assert way.grant


def test_the_page_of_the_access_request_says_that_a_code_was_refused(cast: Cast) -> None:
    way = way_in(cast)
    with pytest.raises(CodeForeign):
        way.redeem(way.issue(), verifier="x" * 43)
    page = signed_in(cast, "ada").get(reverse("web:access_request", args=[way.grant.access_request_id]))
    assert "tried “Use a one-time code” and was refused" in page.content.decode()
