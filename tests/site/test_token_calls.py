"""Calls with a token pass by the middlewares of browsers, and nobody sees a difference."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.test import Client as Browser
from django.test import RequestFactory
from django.utils.module_loading import import_string
from structlog.testing import capture_logs

from lockbox_site import token_calls
from requests_app.domain.scopes import Scope
from requests_app.doors.api import quota
from requests_app.doors.api.me import Me
from tests.caller import caller_for
from tests.cast import Cast

TOKEN = {"Authorization": "Bearer lockbox_pat_x"}
#: Nonces and instants, which differ in each answer.
_NEW = re.compile(r"nonce[-=][^' >]+|\d{4}-\d\d-\d\dT[\d:.+]+")
CALLS: list[tuple[str, str, dict[str, str]]] = [
    ("get", "/api/v1/me", {}),
    ("head", "/api/v1/me", {}),
    ("options", "/api/v1/me", {}),
    ("get", "/api/v1/access-requests/{row}", {}),
    ("get", "/api/v1/access-requests/{row}", {"Accept-Encoding": "gzip"}),
    ("get", "/api/v1/access-requests/{row}", {"Accept-Language": "de, en;q=0.5"}),
    ("get", "/api/v1/access-requests", {}),
    ("get", "/api/v1/access-requests?state=nothing", {}),
    # Refused by the view, by the framework, and for the token.
    ("get", "/api/v1/access-requests/00000000-0000-4000-8000-000000000000", {}),
    ("get", "/api/v1/tenants", {}),
    ("get", "/api/v1/me", {"Accept": "text/html"}),
    ("delete", "/api/v1/me", {}),
    ("get", "/api/v1/me", {"Authorization": "Bearer lockbox_pat_x"}),
    ("post", "/api/v1/access-requests/{row}/approve", {}),
    ("post", "/api/v1/me/step-up", {"Content-Type": "text/plain"}),
    # No such address, and one that a slash would complete.
    ("get", "/api/v1/nothing", {}),
    ("get", "/api/v1/me/", {}),
    ("post", "/api/v1/nothing", {}),
    # No such host.
    ("get", "/api/v1/me", {"Host": "elsewhere.example"}),
]


def _around() -> list[str]:
    """Return the middlewares that a call passes by."""
    names = settings.MIDDLEWARE
    first = names.index("lockbox_site.token_calls.TokenCallMiddleware")
    assert names[-1] == "lockbox_site.token_calls.AfterAllMiddleware"
    return list(names[first + 1 : -1])


def test_each_middleware_has_a_reason_to_be_passed_by() -> None:
    """If you add a middleware behind the first one, calls with a token pass it by, too."""
    assert list(token_calls.PASSED_BY) == _around()


@pytest.mark.parametrize(
    "sent",
    [
        {"Cookie": f"{settings.SESSION_COOKIE_NAME}=x"},
        {"Cookie": "theme=dark"},
        {"Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Dest": "empty"},
    ],
)
def test_a_request_of_a_browser_passes_nothing_by(sent: dict[str, str]) -> None:
    plain = RequestFactory().get("/api/v1/me", headers=TOKEN)
    assert token_calls.is_token_call(plain)
    assert not token_calls.is_token_call(RequestFactory().get("/api/v1/me", headers={**TOKEN, **sent}))


@pytest.mark.parametrize("path", ["/", "/access-requests/", "/admin/", "/access/v1/evaluation", "/scim/v2/Users"])
def test_a_token_has_no_effect_at_other_addresses(path: str) -> None:
    assert not token_calls.is_token_call(RequestFactory().get(path, headers=TOKEN))


@pytest.mark.parametrize("given", [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}])
def test_without_a_token_nothing_is_passed_by(given: dict[str, str]) -> None:
    assert not token_calls.is_token_call(RequestFactory().get("/api/v1/me", headers=given))


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path", "sent"), CALLS)
def test_every_call_is_answered_as_with_all_middlewares(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, method: str, path: str, sent: dict[str, str]
) -> None:
    caller = caller_for(cast, "ada", Scope.REQUESTS_READ, Scope.DECISIONS_WRITE)
    path = path.format(row=cast.confirmed().pk)
    headers = {"Authorization": f"Bearer {caller.secret}", "X-Request-ID": "the-same-call", **sent}
    found = []
    for rule in (token_calls.is_token_call, lambda _request: False):
        monkeypatch.setattr(token_calls, "is_token_call", rule)
        quota.CALLS.clear()
        with capture_logs() as lines:
            browser = Browser(raise_request_exception=False)
            response = getattr(browser, method)(path, headers=headers)
        # The order of the headers counts, too.
        named = [(name, _NEW.sub("", value)) for name, value in response.items() if name != "RateLimit"]
        body = _NEW.sub("", response.content.decode("latin-1"))
        found.append((response.status_code, named, body, response.cookies.output(), lines))
    assert found[0] == found[1]


@pytest.mark.django_db
def test_a_failure_after_the_token_was_read_is_answered_as_with_all_middlewares(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view does not end, so it does not say itself that nobody may store the answer."""

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Me, "get", fail)
    caller = caller_for(cast, "ada", Scope.REQUESTS_READ)
    headers, found = {"Authorization": f"Bearer {caller.secret}", "X-Request-ID": "the-same-call"}, []
    for rule in (token_calls.is_token_call, lambda _request: False):
        monkeypatch.setattr(token_calls, "is_token_call", rule)
        response = Browser(raise_request_exception=False).get("/api/v1/me", headers=headers)
        named = [(name, _NEW.sub("", value)) for name, value in response.items()]
        found.append((response.status_code, named, _NEW.sub("", response.content.decode())))
        assert (response.status_code, response["Cache-Control"]) == (500, "private, no-store")
    assert found[0] == found[1]


@pytest.mark.django_db
def test_a_call_with_a_token_runs_none_of_them(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = caller_for(cast, "ada", Scope.REQUESTS_READ)
    ran: list[str] = []
    for name in _around():
        middleware: Any = import_string(name)
        if hasattr(middleware, "process_request"):
            monkeypatch.setattr(middleware, "process_request", lambda *_, name=name: ran.append(name))
    browser = Browser()
    assert browser.get("/api/v1/me", headers={"Authorization": f"Bearer {caller.secret}"}).status_code == 200
    # Only the check of the host, which this module calls itself.
    assert ran == ["django.middleware.common.CommonMiddleware"]
