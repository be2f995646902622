"""A sign-in over SAML, step by step, with an identity provider of our own: helpers for several files of tests."""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock
from requests_app.identity.sso.saml.questions import ServiceKey
from requests_app.models import Domain, SignOn
from requests_app.operations import Connection
from requests_app.platform import outbound
from tests import saml_idp
from tests.cast import Cast
from tests.saml_idp import Question, Says, asked, good

ELSEWHERE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
_NEW_KEY = ServiceKey.new
_KEYS: dict[int, ServiceKey] = {}


def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each key of the service provider once for all tests: a key takes half a second."""
    made = iter(range(100))

    def new(name: str, *, at: dt.datetime) -> ServiceKey:
        number = next(made)
        if number not in _KEYS:
            _KEYS[number] = _NEW_KEY(name, at=at)
        return _KEYS[number]

    monkeypatch.setattr(ServiceKey, "new", new)


def connected(cast: Cast) -> Cast:
    """Let Contoso use SAML, with its verified domain. Return the cast."""
    connect(cast)
    Domain.objects.create(
        tenant=cast.contoso, name="contoso.example", challenge="x", claimed_at=clock.now(), verified_at=clock.now()
    )
    return cast


class Address:
    """What the address of the metadata shows, and how often it was asked. A test can change what it shows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.body, self.asked = saml_idp.metadata(), list[str]()
        #: Runs while the address is read.
        self.meanwhile: Callable[[], object] = lambda: None
        monkeypatch.setattr(outbound, "get", self._get)

    def _get(self, url: str, **options: Any) -> outbound.Answer:
        self.asked.append(url)
        self.meanwhile()
        if not self.body:
            raise outbound.Unreachable("timeout")
        return outbound.Answer(200, "application/xml", self.body)


def connect(cast: Cast, **more: Any) -> SignOn:
    fields: dict[str, Any] = {"protocol": "saml", "email_claim": "mail", "key_claim": "", "is_on": True, "role_map": {}}
    row = SignOn.objects.filter(tenant=cast.contoso).first()
    if row is None or not row.is_saml:
        fields["metadata"] = saml_idp.metadata().decode()
    connection = Connection(**{**fields, **more})
    was = row.changed_at if row else None
    return operations.set_sign_on(cast.contoso.pk, connection=connection, was=was, actor=cast.as_("ines"))


def onward(page: Any) -> str:
    found = re.search(r'<a class="button button-primary" href="([^"]+)"', page.content.decode())
    assert found is not None, page.content.decode()
    return found[1].replace("&amp;", "&")


def begin(browser: Client, **form: str) -> Question:
    page = browser.post(reverse("web:sso"), {"email": "somebody@contoso.example", **form})
    assert page.status_code == 200, page.content.decode()
    return asked(onward(page))


def says(question: Question, **more: Any) -> Says:
    fields = {"attributes": {"mail": ["Ada@contoso.example"]}}
    return question.answered(clock.now(), **{**fields, **more})


def send(browser: Client, question: Question, data: bytes, **form: str) -> Any:
    """Send an answer as the identity provider's page makes the browser send it: without the site's cookies."""
    url = urlsplit(question.xml.get("AssertionConsumerServiceURL")).path
    fields = {"SAMLResponse": base64.b64encode(data).decode(), "RelayState": question.relay_state, **form}
    return send_form(url, fields)


def send_form(url: str, fields: dict[str, str]) -> Any:
    return Client(enforce_csrf_checks=True).post(url, fields, headers=ELSEWHERE)


def comes(browser: Client | None = None, **more: Any) -> Any:
    """Do a whole sign-in, and return the last page."""
    browser = browser or Client()
    question = begin(browser)
    page: Any = send(browser, question, good(says(question, **more)))
    if page.status_code == 200:
        page = browser.get(onward(page))
    page.browser = browser
    return page


def who(browser: Client) -> str:
    return str(browser.session.get("_auth_user_id", ""))


def who_after(browser: Client, page: Any) -> str:
    browser.get(onward(page))
    return who(browser)
