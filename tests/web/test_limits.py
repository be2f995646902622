"""The page about what this product can't prevent. It is public and complete, and every page links to it."""

from __future__ import annotations

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory

from requests_app.domain.errors import TooMany
from requests_app.doors.web.errors import refusal
from tests.cast import Cast
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["", "ada", "priya", "stella"])
def test_everybody_may_know_the_limits(cast: Cast, name: str) -> None:
    client = signed_in(cast, name) if name else Client()
    response = client.get("/limits/")
    page = response.content.decode()
    assert response.status_code == 200
    for danger in (
        "A photograph of a screen",
        "bypasses the lock",
        "shows you a false page",
        "records nothing",
        "saved a checkpoint",
    ):
        assert danger in page
    assert "Microsoft" in page


def test_the_limits_page_has_no_act() -> None:
    assert Client().head("/limits/").status_code == 200
    assert Client().post("/limits/").status_code == 405


def test_every_page_leads_there(cast: Cast) -> None:
    for page in (Client().get("/accounts/login/"), signed_in(cast, "ada").get("/preferences/")):
        assert '<a href="/limits/">What Lockbox cannot stop</a>' in page.content.decode()


def test_too_many_simultaneous_requests_have_their_own_page() -> None:
    request: HttpRequest = RequestFactory().get("/")
    response = refusal(request, TooMany())
    assert response.status_code == 429
    assert "Too many attempts in a short time" in response.content.decode()
