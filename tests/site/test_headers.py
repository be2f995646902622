"""What a browser is told with every page."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def policy_of(header: str) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in header.split(";") if part.strip())
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize("address", ["/accounts/login/", "/healthz", "/no-such-page", "/admin/login/"])
def test_every_page_carries_the_headers(client: Client, address: str) -> None:
    answer = client.get(address)
    assert policy_of(answer["Content-Security-Policy"]) == {
        "default-src": "'self'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_the_sign_in_is_guarded_against_forged_requests() -> None:
    answer = Client(enforce_csrf_checks=True).post("/accounts/login/", {"login": "a@b.example", "password": "x"})
    assert answer.status_code == 403
