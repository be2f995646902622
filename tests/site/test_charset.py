"""Every interface refuses a body in another encoding than UTF-8, before any code reads the body."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.signals import request_started
from django.db import close_old_connections
from django.test import RequestFactory

from lockbox_site.serving.handler import Handler
from tests.caller import token_of
from tests.cast import Cast
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db

FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
#: Encodings that Python could decode, codecs of Python that do not encode text, and an unknown name.
OTHERS = ("utf-7", "utf-16", "iso-8859-1", "idna", "punycode", "base64", "rot13", "undefined", "x-nothing")
PAGES = ("/preferences/theme/", "/accounts/login/", "/admin/login/")
PROGRAMS = (
    "/oauth/token", "/api/v1/tickets", "/access/v1/evaluation", "/scim/v2/Users",
    "/providers/Microsoft.CustomerLockbox/operations",
)  # fmt: skip
BODY = "+AGE-&theme=dark&grant_type=client_credentials"
MESSAGE = '--x\r\nContent-Disposition: form-data; name="theme"\r\n\r\n+AGE-dark\r\n--x--\r\n'


class Door:
    """Calls the product's handler in the way in which the web server does."""

    def __init__(self, cookies: str = "", token: str = "") -> None:
        self.headers = {"cookie": cookies, "authorization": f"Bearer {token}"} if cookies or token else {}

    def __call__(self, method: str, path: str, body: str = "", *, kind: str) -> tuple[int, str, str]:
        request = RequestFactory(headers=self.headers).generic(method, path, body, content_type="text/plain")
        lines: list[Any] = []

        def start(*parts: Any) -> Callable[[bytes], object]:
            lines.append(parts)
            return bytes

        # This signal would close the test's connection.
        request_started.disconnect(close_old_connections)
        try:
            answer = Handler()({**request.environ, "CONTENT_TYPE": kind}, start)
        finally:
            request_started.connect(close_old_connections)
        [(status, headers)] = lines
        return int(status[:3]), dict(headers)["Content-Type"], b"".join(answer).decode()


@pytest.fixture
def doors(cast: Cast) -> list[Door]:
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in signed_in(cast, "ada").cookies.items())
    return [Door(), Door(cookies, token_of(cast, "ada"))]


@pytest.mark.parametrize("charset", OTHERS)
def test_another_encoding_is_refused_by_every_interface(doors: list[Door], charset: str) -> None:
    for door in doors:
        with nothing_happens():
            for path in PAGES:
                for kind, body in ((FORM, BODY), (PARTS, MESSAGE), ("text/plain", BODY)):
                    status, sent, page = door("POST", path, body, kind=f"{kind}; charset={charset}")
                    assert (status, sent) == (415, "text/html; charset=utf-8"), path
                    assert "UTF-8" in page
            for path in PROGRAMS:
                for kind in (FORM, PARTS, "application/json", "application/scim+json"):
                    status, sent, problem = door("POST", path, BODY, kind=f"{kind}; charset={charset}")
                    assert (status, sent) == (415, "application/problem+json"), path
                    assert json.loads(problem)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("charset", ["UTF-8", "utf8", '"utf-8"', "us-ascii"])
def test_utf_8_is_taken_by_each_of_its_names(doors: list[Door], charset: str) -> None:
    for door in doors:
        status, _sent, answer = door("POST", "/oauth/token", "grant_type=x", kind=f"{FORM}; charset={charset}")
        assert (status, json.loads(answer)["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("charset", OTHERS)
def test_a_query_is_read_in_utf_8_with_any_declared_charset(doors: list[Door], charset: str) -> None:
    _stranger, ada = doors
    status, _sent, page = ada("GET", "/access-requests/?q=%C3%BC%2BAGE-", kind=f"text/plain; charset={charset}")
    assert status == 200
    assert 'value="ü+AGE-"' in page
    assert ada("GET", "/readyz?part=%2BAGE-", kind=f"text/plain; charset={charset}")[0] == 400
