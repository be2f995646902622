"""Which parts of the sign-in library can be reached. None of them changes an account without a log entry."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from requests_app.work import outbox
from tests.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["account_email", "account_signup", "account_set_password"])
def test_unused_routes_of_the_library_are_missing(cast: Cast, name: str) -> None:
    client = Client()
    client.force_login(cast.erik)
    for method in (client.get, client.post):
        assert method(reverse(name), {"email": "ada@contoso.example", "action_add": ""}).status_code == 404
    cast.erik.refresh_from_db()
    assert cast.erik.email == "erik@provider.example"


def test_signed_in_pages_are_not_cached_by_the_browser(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.ada)
    assert "no-store" in client.get("/")["Cache-Control"]


def test_a_reset_link_leads_to_this_site_with_any_host_header(cast: Cast, mailoutbox: list, settings) -> None:
    settings.BASE_URL = "https://lockbox.example"
    Client().post(reverse("account_reset_password"), {"email": cast.ada.email}, headers={"host": "localhost:6666"})
    outbox.drain(limit=10)
    [mail] = mailoutbox
    assert "https://lockbox.example/accounts/password/reset/key/" in mail.body
    assert "6666" not in mail.body
