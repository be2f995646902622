"""SAML in a real browser: the answer comes as a form from another site, without the strict cookies of this one."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from requests_app.domain import clock
from requests_app.models import Domain, Membership, Person
from tests import saml_idp
from tests.browser.axe import check
from tests.browser.conftest import Visit

_PAGE = """<!DOCTYPE html><html lang="en"><title>Sign in</title><form method="post" action="{acs}">
<input type="hidden" name="SAMLResponse" value="{answer}"><input type="hidden" name="RelayState" value="{state}">
<button>Sign in as Ada</button></form></html>"""


class _Page(BaseHTTPRequestHandler):
    """The identity provider's sign-in page."""

    mail = ""

    def do_GET(self) -> None:
        if not self.path.startswith("/sso?"):
            self.send_error(404)
            return
        question = saml_idp.asked(f"http://idp{self.path}")
        says = question.answered(clock.now(), attributes={"mail": [self.mail]})
        answer = base64.b64encode(saml_idp.good(says)).decode()
        body = _PAGE.format(acs=says.acs, answer=answer, state=question.relay_state).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Write nothing."""


@contextmanager
def _identity_provider(mail: str) -> Iterator[str]:
    kind = type("Page", (_Page,), {"mail": mail})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/sso"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.timeout(900)
def test_a_person_signs_in_over_saml(visit: Visit, browser: Browser, live_server: LiveServer, settings: Any) -> None:
    settings.BASE_URL = live_server.url
    administrator = Membership.objects.filter(role="administrator", person__is_active=True).select_related("person")[0]
    tenant, email = administrator.tenant, administrator.person.email
    visitor = visit(email.partition("@")[0])
    visitor.confirm()
    page = visitor.goto(reverse("web:sign_on_saml", args=[tenant.pk]))
    check(page, widths=(360, 1280))
    with _identity_provider(email) as sso_url:
        page.get_by_label("Or the text of the metadata file").fill(saml_idp.metadata(sso_url=sso_url).decode())
        page.get_by_label("Attribute with the email address").fill("mail")
        page.get_by_label("People can sign in with single sign-on").check()
        visitor.button("Save single sign-on")
        expect(page.locator("main")).to_contain_text(saml_idp.ENTITY_ID)
        check(page, widths=(360, 1280))
        Domain.objects.update_or_create(
            name=email.partition("@")[2],
            tenant=tenant,
            defaults={"challenge": "x", "claimed_at": clock.now(), "verified_at": clock.now()},
        )
        context = browser.new_context()
        try:
            other = context.new_page()
            other.goto(live_server.url + reverse("web:sso"))
            other.get_by_label("Your email address at work").fill(email)
            other.get_by_role("button", name="Continue").click()
            other.get_by_role("button", name="Sign in as Ada").click()
            expect(other).to_have_url(f"{live_server.url}/")
            expect(other.locator("body")).to_contain_text(Person.objects.get(email=email).name)
        finally:
            context.close()
