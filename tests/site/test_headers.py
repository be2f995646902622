"""The headers that every response of every interface has for the browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import global_settings, settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client, override_settings
from django.urls import reverse

from requests_app.doors.api import reader
from tests.cast import PASSWORD, Cast
from tests.site.test_settings import PRODUCTION, setting
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db

NONCE = re.compile(r"'nonce-([A-Za-z0-9+/=]{24})'")
POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "default",
}
HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Permitted-Cross-Domain-Policies": "none",
}


def policy_of(answer: Any) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in answer["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


def faults_of(answer: Any) -> list[str]:
    """Return what is missing in the policy and in the headers, and the page's scripts that have no nonce."""
    policy = policy_of(answer)
    scripts = policy.pop("script-src")
    found = [name for name, value in HEADERS.items() if answer.get(name) != value]
    found += [] if policy == POLICY else [f"policy: {policy}"]
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    tags = re.findall(r"<script\b[^>]*>", body.decode()) if "text/html" in answer["Content-Type"] else []
    if tags:
        nonce = NONCE.fullmatch(scripts)
        found += [] if nonce else [f"script-src: {scripts}"]
        found += [tag for tag in tags if nonce is None or f'nonce="{nonce[1]}"' not in tag]
    elif scripts:
        found.append(f"script-src: {scripts}")
    allowed = dict(part.strip().split("=") for part in answer["Permissions-Policy"].split(","))
    found += [name for name in ("camera", "geolocation", "usb") if allowed[name] != "()"]
    keys = ("publickey-credentials-get", "publickey-credentials-create", "clipboard-write")
    found += [name for name in keys if allowed[name] != "(self)"]
    return found


@pytest.fixture
def a_static_file() -> str:
    path: Path = settings.STATIC_ROOT / "probe.css"
    path.write_text("p { color: red; }\n")
    return "/static/probe.css"


def broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    def fail(_language: str | None) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(reader, "described", fail)
        return Client(raise_request_exception=False).get("/api/")


def test_every_interface_sends_the_headers(cast: Cast, a_static_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, stella, stranger = signed_in(cast, "ada"), signed_in(cast, "stella"), Client(enforce_csrf_checks=True)
    doors: dict[str, tuple[int, Callable[[], Any]]] = {
        "a page": (200, lambda: ada.get("/")),
        "a page that leads elsewhere": (302, lambda: stranger.get("/")),
        "the portal": (200, lambda: stella.get("/admin/")),
        "the sign-in": (200, lambda: stranger.get("/accounts/login/")),
        "a new password": (200, lambda: stranger.get("/accounts/password/reset/")),
        "the API's page": (200, lambda: stranger.get("/api/")),
        "the API's document": (200, lambda: stranger.get("/api/v1/openapi.json")),
        "the API": (401, lambda: stranger.get("/api/v1/me")),
        "nothing of the API's": (401, lambda: stranger.get("/api/v1/nothing")),
        "the token endpoint": (400, lambda: stranger.post("/oauth/token")),
        "the decision point": (401, lambda: stranger.post("/access/v1/evaluation")),
        "a description": (200, lambda: stranger.get("/.well-known/authzen-configuration")),
        "a style sheet": (200, lambda: Client().get(a_static_file)),
        "a probe": (200, lambda: stranger.get("/healthz")),
        "400": (400, lambda: stranger.get("/", headers={"Host": "evil.example"})),
        "403, a forged form": (403, lambda: stranger.post("/accounts/login/", {"login": "a@b.example"})),
        "403, from another site": (403, lambda: stranger.post("/", headers={"Sec-Fetch-Site": "cross-site"})),
        "404": (404, lambda: ada.get("/no-such-page")),
        "405": (405, lambda: ada.get("/preferences/theme/")),
        "413": (413, lambda: ada.post("/preferences/", {"time_zone": "x" * 1024 * 1024})),
        "500": (500, lambda: broken(monkeypatch, RuntimeError("x"))),
        "503": (503, lambda: broken(monkeypatch, OperationalError("x"))),
    }
    found = {}
    for door, (status, knock) in doors.items():
        answer = knock()
        assert answer.status_code == status, (door, answer.status_code)
        if faults := faults_of(answer):
            found[door] = faults
    assert found == {}


def test_a_fault_is_noticed(client: Client) -> None:
    answer = client.get("/accounts/login/")
    assert faults_of(answer) == []
    answer["Content-Security-Policy"] = answer["Content-Security-Policy"].replace("'nonce-", "'unsafe-inline' 'nonce-")
    del answer["Cross-Origin-Resource-Policy"]
    answer["Permissions-Policy"] = answer["Permissions-Policy"].replace("camera=()", "camera=*")
    assert [fault.partition(":")[0] for fault in faults_of(answer)][:2] == [
        "Cross-Origin-Resource-Policy",
        "script-src",
    ]
    assert "camera" in faults_of(answer)


def test_no_two_answers_have_the_same_nonce(client: Client) -> None:
    nonces = {policy_of(client.get("/accounts/login/"))["script-src"] for _ in range(5)}
    assert len(nonces) == 5


def test_no_origin_may_read_an_answer(cast: Cast) -> None:
    """No response lets another site read it with CORS: neither a certain site nor all sites."""
    fields = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for address in ("/", "/api/", "/api/v1/me", "/oauth/token", "/access/v1/evaluation", "/accounts/login/"):
        for method in ("get", "options"):
            answer = getattr(signed_in(cast, "ada"), method)(address, headers=fields)
            assert [name for name in answer.headers if name.lower().startswith("access-control-")] == [], address


def test_in_production_transport_security_is_asked_for_a_year_with_all_names_below(tmp_path: Path) -> None:
    names = ("HSTS_SECONDS", "HSTS_INCLUDE_SUBDOMAINS", "HSTS_PRELOAD", "SSL_REDIRECT")
    values = {f"SECURE_{name}": setting(tmp_path, f"SECURE_{name}", **PRODUCTION) for name in names}
    assert values["SECURE_HSTS_SECONDS"] >= 365 * 86400
    with override_settings(**values):
        answer = Client().get("/accounts/login/", secure=True)
        plain = Client().get("/accounts/login/?next=/x")
        # A program gets an error instead of a redirect, because it has sent its token without encryption.
        called = [Client().get(f"/{place}me", headers={"Authorization": "Bearer x"}) for place in settings.FOR_PROGRAMS]
    assert answer["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert (plain.status_code, plain["Location"]) == (301, "https://testserver/accounts/login/?next=/x")
    assert {(answer.status_code, answer.json()["code"]) for answer in called} == {(403, "tls_required")}
    assert [fault for answer in called for fault in faults_of(answer)] == []


def test_cookies_are_for_this_host_alone_and_for_no_script_and_for_no_other_site(cast: Cast, tmp_path: Path) -> None:
    production = {
        name: setting(tmp_path, name, **PRODUCTION)
        for name in ("SESSION_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_NAME", "CSRF_COOKIE_SECURE")
    }
    with override_settings(**production):
        client = Client()
        client.get("/accounts/login/", secure=True)
        client.post("/accounts/login/", {"login": cast.mia.email, "password": PASSWORD}, secure=True)
        cookies = dict(client.cookies)
    assert cookies.keys() <= {"__Host-sessionid", "__Host-csrftoken"}
    assert "__Host-csrftoken" in cookies
    for cookie in cookies.values():
        flags = (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"])
        assert flags == (True, True, "Strict", "/", "")


def test_no_cookie_has_the_name_that_a_django_application_on_the_same_host_uses(tmp_path: Path) -> None:
    for kind in ("SESSION", "CSRF", "LANGUAGE"):
        used = {setting(tmp_path, f"{kind}_COOKIE_NAME", **surroundings) for surroundings in ({}, PRODUCTION)}
        assert len(used) == 2
        assert getattr(global_settings, f"{kind}_COOKIE_NAME") not in used


def test_only_the_two_cookies_are_ever_set(cast: Cast) -> None:
    client = Client()
    client.get("/accounts/login/")
    client.force_login(cast.ada)
    client.get("/")
    client.post("/preferences/", {"time_zone": "Asia/Tokyo", "theme": "dark"}, follow=True)
    assert set(client.cookies) <= {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}


def test_the_sign_in_is_guarded_against_forged_requests() -> None:
    answer = Client(enforce_csrf_checks=True).post("/accounts/login/", {"login": "a@b.example", "password": "x"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/evil.example"],
)
def test_the_sign_in_leads_to_no_other_site(cast: Cast, elsewhere: str) -> None:
    client = Client()
    page = client.get("/accounts/login/", {"next": elsewhere}).content.decode()
    # Only the form and the link to the other way of signing in contain the address. Both refuse it later.
    assert "evil.example" not in re.sub(r"<input[^>]*>|/sign-in/\?next=[^\"]*", "", page)
    sent = {"login": cast.mia.email, "password": PASSWORD, "next": elsewhere}
    answer = client.post("/accounts/login/", sent)
    assert answer.status_code == 302
    assert answer["Location"] == "/"
    # It is refused for a person who is signed in, too, and when signing out.
    for address in ("/accounts/login/", "/accounts/logout/"):
        answer = client.get(address, {"next": elsewhere})
        assert "evil.example" not in answer.get("Location", "")


def test_a_body_that_is_larger_than_any_form_is_not_read(cast: Cast) -> None:
    """Uploaded files count too, which Django's own limit ignores."""
    for name, address in (("ada", "/preferences/"), ("stella", "/admin/"), ("ada", "/accounts/login/")):
        large = SimpleUploadedFile("large.bin", b"x" * (1024 * 1024))
        with nothing_happens():
            answer = signed_in(cast, name).post(address, {"time_zone": "UTC", "theme": "dark", "file": large})
        assert answer.status_code == 413
    for address in ("/oauth/token", "/api/v1/access-requests", "/access/v1/evaluation"):
        large = SimpleUploadedFile("large.bin", b"x" * (1024 * 1024))
        answer = Client().post(address, {"grant_type": "client_credentials", "file": large})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    cast.ada.refresh_from_db()
    assert cast.ada.theme != "dark"


def test_a_length_that_is_no_number_is_as_none(cast: Cast) -> None:
    answer = Client().post(reverse("account_login"), {}, CONTENT_LENGTH="many")
    assert answer.status_code == 200


def test_trace_is_not_answered(cast: Cast) -> None:
    for address in ("/", "/accounts/login/", "/api/v1/me", "/admin/"):
        answer = Client().generic("TRACE", address, headers={"X-Secret": "hunter2"})
        assert answer.status_code in (302, 401, 403, 404, 405), address
        assert b"hunter2" not in answer.content


def test_an_error_tells_nothing_of_the_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, status in ((RuntimeError("hunter2"), 500), (OperationalError("hunter2"), 503)):
        answer = broken(monkeypatch, error)
        assert answer.status_code == status
        assert [
            word for word in ("hunter2", "Traceback", "reader.py", "Error") if word in answer.content.decode()
        ] == []
