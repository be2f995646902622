"""A person's settings: the time zone and the appearance, and where the button for the appearance leads back to."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from requests_app.models import Person
from tests.cast import Cast
from tests.offenders import collected
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db

HERE = "/preferences/"
THEME = "/preferences/theme/"


def settings_of(cast: Cast, name: str = "ada") -> tuple[str, str]:
    return Person.objects.values_list("time_zone", "theme").get(pk=cast.people[name].pk)


def test_the_page_shows_what_is_set_and_every_zone(cast: Cast) -> None:
    page = signed_in(cast, "ada").get(HERE).content.decode()
    assert '<input type="text" name="time_zone" value="UTC"' in page
    assert '<option value="Europe/Berlin"></option>' in page
    assert 'value="system" required id="id_theme_0" checked' in page
    assert reverse("web:security") in page


@pytest.mark.parametrize("name", ["ada", "priya", "pat", "mia", "stella"])
def test_zone_and_theme_are_personal(cast: Cast, name: str) -> None:
    client = signed_in(cast, name)
    with nothing_happens():
        response = client.post(HERE, {"time_zone": "Asia/Kolkata", "theme": "dark"}, follow=True)
    assert response.status_code == 200
    assert "Saved. Times are shown for Asia/Kolkata." in response.content.decode()
    assert 'data-theme="dark"' in response.content.decode()
    assert settings_of(cast, name) == ("Asia/Kolkata", "dark")
    assert settings_of(cast, "otto") == ("UTC", "system")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        ({"time_zone": "UTC\x00"}, "time_zone"),
        ({"theme": "pink"}, "theme"),
        ({"theme": ""}, "theme"),
    ],
)
def test_a_value_that_is_not_offered_is_explained_beside_its_field(
    cast: Cast, wrong: dict[str, str], field: str
) -> None:
    response = signed_in(cast, "ada").post(HERE, {"time_zone": "Asia/Tokyo", "theme": "dark", **wrong})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert settings_of(cast) == ("UTC", "system")


@pytest.mark.parametrize("extra", ["email", "is_staff", "side", "human_id"])
def test_nothing_else_can_be_set(cast: Cast, extra: str) -> None:
    client = signed_in(cast, "ada")
    assert client.post(HERE, {"time_zone": "Asia/Tokyo", "theme": "dark", extra: "1"}).status_code == 400
    assert client.post(THEME, {"theme": "dark", extra: "1"}).status_code == 400
    assert settings_of(cast) == ("UTC", "system")


def test_looking_changes_nothing(cast: Cast) -> None:
    client = signed_in(cast, "ada")
    with nothing_happens():
        assert client.get(HERE, {"time_zone": "Asia/Tokyo", "theme": "dark"}).status_code == 200
        assert client.head(HERE).status_code == 200
        assert client.get(THEME, {"theme": "dark"}).status_code == 405
        assert client.head(THEME).status_code == 405
    assert settings_of(cast) == ("UTC", "system")


def test_the_switch_leads_back_to_its_page(cast: Cast) -> None:
    client = signed_in(cast, "ada")
    response = client.post(THEME, {"theme": "dark", "next": "/tickets/?state=any#x"})
    assert (response.status_code, response["Location"]) == (302, "/tickets/?state=any#x")
    response = client.post(THEME, {"theme": "light"})
    assert (response.status_code, response["Location"]) == (302, HERE)
    assert settings_of(cast) == ("UTC", "light")


def test_an_address_that_leads_elsewhere_is_refused(cast: Cast) -> None:
    cases = [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "http:evil.example",
        "tickets/",
        "@evil.example",
        "http://testserver/",
        "/x\r\nSet-Cookie: a=b",
    ]
    ada = signed_in(cast, "ada")
    with collected() as case:
        for elsewhere in cases:
            with case(elsewhere):
                response = ada.post(THEME, {"theme": "dark", "next": elsewhere})
                assert response.status_code == 400
                assert settings_of(cast) == ("UTC", "system")


def test_an_unknown_theme_is_refused(cast: Cast) -> None:
    client = signed_in(cast, "ada")
    assert client.post(THEME, {"theme": "pink"}).status_code == 422
    assert client.post(THEME, {"next": "/"}).status_code == 400
    assert settings_of(cast) == ("UTC", "system")


def test_the_menu_leads_here(cast: Cast) -> None:
    page = signed_in(cast, "ada").get(HERE).content.decode()
    menu = page.partition('class="menu-panel"')[2].partition("</details>")[0]
    assert f'href="{HERE}"' in menu
    assert f'action="{THEME}"' in menu


def test_a_stranger_has_no_settings(cast: Cast) -> None:
    for method, where in (("get", HERE), ("post", HERE), ("post", THEME)):
        response = getattr(Client(), method)(where, {"theme": "dark"})
        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/login/")
