"""Requests that another site makes a browser send. They are recognised by the headers of Fetch Metadata."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from lockbox_site import crossing
from requests_app.models import Person
from tests.caller import token_of
from tests.cast import Cast
from tests.offenders import collected
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db


def sent(site: str, mode: str = "navigate", dest: str = "document") -> dict[str, str]:
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}


ELSEWHERE = ("cross-site", "same-site", "new-word")


def theme_of(cast: Cast) -> str:
    return Person.objects.values_list("theme", flat=True).get(pk=cast.ada.pk)


@pytest.mark.parametrize("site", ELSEWHERE)
def test_no_other_site_changes_anything(cast: Cast, site: str) -> None:
    ada, stella = signed_in(cast, "ada"), signed_in(cast, "stella")
    with nothing_happens():
        for mode, dest in (("navigate", "document"), ("cors", "empty"), ("no-cors", "empty")):
            headers = sent(site, mode, dest)
            assert ada.post("/preferences/theme/", {"theme": "dark"}, headers=headers).status_code == 403
            assert stella.post("/admin/", headers=headers).status_code == 403
            for method in ("put", "patch", "delete", "options"):
                assert getattr(ada, method)("/preferences/", headers=headers).status_code == 403
            signing_in = Client().post("/accounts/login/", {"login": "a@b.example"}, headers=headers)
            assert signing_in.status_code == 403
            assert ada.post("/accounts/logout/", headers=headers).status_code == 403
    assert theme_of(cast) == "system"
    assert ada.get("/").status_code == 200


def test_no_other_site_embeds_or_reads_a_page(cast: Cast) -> None:
    modes = [
        ("navigate", "iframe"),
        ("navigate", "object"),
        ("no-cors", "image"),
        ("no-cors", "script"),
        ("cors", "empty"),
    ]
    with collected() as case:
        for site in ELSEWHERE:
            for mode, dest in modes:
                with case(site, mode, dest):
                    for client, address in (
                        (signed_in(cast, "ada"), "/"),
                        (signed_in(cast, "stella"), "/admin/"),
                        (Client(), "/api/"),
                    ):
                        answer = client.get(address, headers=sent(site, mode, dest))
                        assert answer.status_code == 403
                        assert cast.ada.name not in answer.content.decode()


@pytest.mark.parametrize("headers", [sent("same-origin"), sent("none"), sent("same-origin", "cors", "empty"), {}])
def test_the_pages_themselves_a_typed_address_and_an_old_browser_pass(cast: Cast, headers: dict[str, str]) -> None:
    ada = signed_in(cast, "ada")
    assert ada.get("/", headers=headers).status_code == 200
    assert ada.post("/preferences/theme/", {"theme": "dark"}, headers=headers).status_code == 302
    assert theme_of(cast) == "dark"


def test_a_link_from_another_site_gets_a_page_that_reloads_the_address(cast: Cast) -> None:
    """The browser sends no cookies with a request that begins on another site.

    So the answer is a small page, which requests the same address again from this site.
    """
    for address in ("/", "/access-requests/?state=any&x=%22", "/accounts/password/reset/key/a-b/"):
        answer = Client().get(address, headers=sent("cross-site"))
        assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
        assert not answer.cookies
        shown = address.replace("&", "&amp;")
        page = answer.content.decode()
        assert f'<meta http-equiv="refresh" content="0; url={shown}">' in page
        assert f'href="{shown}"' in page
        # The second response contains no such page.
        assert "refresh" not in Client().get(address, headers=sent("same-origin"), follow=True).content.decode()


@pytest.mark.parametrize("address", ["//evil.example/", "//evil.example//x", "/%0d%0aX: y", '/"><script>1</script>'])
def test_the_step_leads_to_no_other_site_and_writes_nothing_into_the_page(address: str) -> None:
    request: dict[str, Any] = {"PATH_INFO": address, "headers": sent("cross-site")}
    page = Client().get("/", **request).content.decode()
    assert 'content="0; url=/' in page
    assert "url=//" not in page
    assert "<script>1" not in page


def test_a_browser_that_sends_its_cookies_anyway_gets_the_page(cast: Cast) -> None:
    """A browser does this if the link is on a host of the same site, or if its cookies are older and not yet strict."""
    for site in ("same-site", "cross-site"):
        answer = signed_in(cast, "ada").get("/", headers=sent(site))
        assert answer.status_code == 200
        assert "refresh" not in answer.content.decode()


def test_no_other_sites_link_makes_somebody_look_at_content(cast: Cast) -> None:
    """With such a link, a stranger could make an engineer's browser record an access in the log."""
    grant = cast.opened()
    resource = grant.access_request.scope.get().resource
    place = [grant.pk, resource.pk]
    for client in (signed_in(cast, "priya"), Client()):
        for site in ELSEWHERE:
            with nothing_happens():
                for name in ("window_resource", "window_item", "window_raw"):
                    answer = client.get(reverse(f"web:{name}", args=place), {"id": "x"}, headers=sent(site))
                    assert answer.status_code == 403
    # Other sites can link to the window's page, because it only says what the window covers.
    assert (
        signed_in(cast, "priya").get(reverse("web:window", args=[grant.pk]), headers=sent("same-site")).status_code
        == 200
    )


def test_programs_are_left_alone_and_no_cookie_counts_where_they_call(cast: Cast) -> None:
    token = token_of(cast, "ada")
    for site in ELSEWHERE:
        headers = sent(site, "cors", "empty")
        assert Client().get("/api/v1/me", headers={**headers, "Authorization": f"Bearer {token}"}).status_code == 200
        assert Client().post("/oauth/token", headers=headers).status_code == 400
    signed = signed_in(cast, "ada")
    assert settings.SESSION_COOKIE_NAME in signed.cookies
    for address in ("/api/v1/me", "/api/v1/access-requests", "/providers/Microsoft.CustomerLockbox/operations"):
        assert signed.get(address).status_code == 401
    assert signed.post("/access/v1/evaluation").status_code == 401


def test_a_refused_request_is_in_the_security_log(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    log = SimpleNamespace(warning=lambda event, **fields: events.append((event, fields)))
    monkeypatch.setattr(crossing, "security_log", log)
    signed_in(cast, "ada").post("/preferences/?secret=hunter2", headers=sent("cross-site"))
    known = {"site": "cross-site", "mode": "navigate", "dest": "document", "method": "POST", "path": "/preferences/"}
    assert events == [("crossing.refused", known)]
