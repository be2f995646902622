"""A site whose host is an IP address. Browsers can't store a passkey for it, and the pages say so."""

from typing import Any

import pytest
from django.urls import reverse

from requests_app.platform import webauthn
from tests.cast import Cast
from tests.web.pages import signed_in
from tests.web.test_passkeys import SET_UP, without_factor

pytestmark = pytest.mark.django_db

MESSAGE = "You can’t add a passkey here"


@pytest.mark.parametrize("number", ["127.0.0.1", "10.1.2.3", "::1", "fd00::7"])
@pytest.mark.parametrize("name", ["web:security", "web:security_add_passkey"])
def test_the_page_says_that_passkeys_need_a_host_name(cast: Cast, settings: Any, number: str, name: str) -> None:
    browser = signed_in(cast, "ada")
    page = browser.get(reverse(name)).content.decode()
    assert MESSAGE not in page
    settings.PASSKEY_RP_ID = number
    page = browser.get(reverse(name)).content.decode()
    assert MESSAGE in page
    assert "data-create=" not in page
    assert f'href="{reverse("web:security_add_passkey")}"' not in page


def test_the_first_sign_in_offers_the_app_alone(cast: Cast, settings: Any) -> None:
    without_factor(cast, "ada")
    browser = signed_in(cast, "ada")
    settings.PASSKEY_RP_ID = "10.1.2.3"
    assert browser.get("/")["Location"] == f"{SET_UP}?next=/"
    page = browser.get(SET_UP).content.decode()
    assert MESSAGE in page
    assert reverse("web:security_add_passkey") not in page
    assert 'name="code"' in page


@pytest.mark.parametrize("name", ["localhost", "lockbox.example.com", "1.example"])
def test_a_name_is_enough(settings: Any, name: str) -> None:
    settings.PASSKEY_RP_ID = name
    assert webauthn.site_has_name()
