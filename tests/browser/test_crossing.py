"""In a real browser, a hostile site can do nothing but link to pages. The same is true for injected content."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from audit_app.models import AuditEntry
from requests_app.models import Grant, Person

#: Another site than `localhost`, on this machine.
ELSEWHERE = "127.0.0.1"


@dataclass
class Hostile:
    """A hostile site. It shows one page at a time."""

    url: str
    page: list[str] = field(default_factory=lambda: [""])

    def shows(self, html: str) -> str:
        self.page[0] = html
        return self.url


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    page = [""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<!DOCTYPE html><title>Prizes</title><body>{page[0]}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer((ELSEWHERE, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Hostile(f"http://{ELSEWHERE}:{server.server_port}/", page)
    server.shutdown()
    thread.join()
    server.server_close()


def browser_of(browser: Browser, base: str, login: str) -> BrowserContext:
    """Return a browser in which this person is signed in, with the cookie that the sign-in sets."""
    client = Client()
    person = Person.objects.get(email__startswith=f"{login}@")
    client.force_login(person)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    assert settings.SESSION_COOKIE_SAMESITE == "Strict"
    context = browser.new_context()
    context.add_cookies(
        [{"name": cookie.key, "value": cookie.value, "url": base, "httpOnly": True, "sameSite": "Strict"}]
    )
    return context


@pytest.fixture
def ada(browser: Browser, live_server: LiveServer, world: None) -> Iterator[Page]:
    context = browser_of(browser, live_server.url, "ada.keller")
    yield context.new_page()
    context.close()


def test_another_site_gets_nothing_but_a_page_that_is_opened(
    ada: Page, hostile: Hostile, live_server: LiveServer
) -> None:
    base = live_server.url
    assert "://localhost" in base

    # A link, as in webmail: the browser first gets a small page of this site, and then the page as a signed-in person.
    ada.goto(hostile.shows(f'<a href="{base}/preferences/?x=1&amp;y=2">Read</a>'))
    ada.get_by_text("Read").click()
    expect(ada).to_have_url(f"{base}/preferences/?x=1&y=2")
    expect(ada.get_by_role("heading", name="Your settings")).to_be_visible()

    # A form.
    before = AuditEntry.objects.count()
    ada.goto(
        hostile.shows(
            f'<form method="post" action="{base}/preferences/theme/"><input name="theme" value="dark"></form>'
            "<script>document.forms[0].submit()</script>"
        )
    )
    expect(ada.get_by_role("heading", name="This form came from another site")).to_be_visible()
    assert (Person.objects.get(email__startswith="ada.keller@").theme, AuditEntry.objects.count()) == ("system", before)

    # A frame, a call with fetch, and a script that opens a window and wants to control it.
    ada.goto(hostile.shows(f'<iframe src="{base}/"></iframe>'))
    ada.wait_for_timeout(300)
    assert ada.frames[1].url in ("chrome-error://chromewebdata/", "about:blank", "")
    found = ada.evaluate(
        """async (base) => {
          const call = (mode) => fetch(base + "/", {mode, credentials: "include"}).then(() => "read", () => "refused");
          const opened = window.open(base + "/");
          await new Promise((done) => setTimeout(done, 800));
          const hold = opened === null || opened.closed ? "no hold" : "held";
          return [await call("cors"), await call("no-cors"), hold];
        }""",
        base,
    )
    assert found == ["refused", "refused", "no hold"]


def test_no_other_site_makes_an_engineer_look(
    browser: Browser, hostile: Hostile, live_server: LiveServer, world: None
) -> None:
    grant = Grant.objects.get(tenant__slug="fabrikam")
    resource = grant.access_request.scope.all()[0].resource_id
    context = browser_of(browser, live_server.url, grant.access_request.requested_by.email.partition("@")[0])
    page = context.new_page()
    before = AuditEntry.objects.count()
    page.goto(hostile.shows(f'<a href="{live_server.url}/windows/{grant.pk}/{resource}/">Prize</a>'))
    page.get_by_text("Prize").click()
    expect(page.get_by_role("heading", name="This form came from another site")).to_be_visible()
    assert AuditEntry.objects.count() == before
    context.close()


def test_code_injected_into_a_page_does_not_run(ada: Page, live_server: LiveServer) -> None:
    ada.goto(f"{live_server.url}/preferences/")
    found = ada.evaluate(
        """async () => {
          window.ran = [];
          // What the test itself runs may evaluate; what comes after a pause may not.
          await new Promise((done) => setTimeout(done, 50));
          const tried = (act) => { try { act(); return "taken"; } catch (error) { return error.name; } };
          const add = (tag, members) => document.body.append(Object.assign(document.createElement(tag), members));
          const refused = [
            tried(() => { document.body.innerHTML = "<img src=x onerror=ran.push('handler')>"; }),
            tried(() => document.write("<p>x</p>")),
            tried(() => Function("ran.push('eval')")()),
            tried(() => add("script", {src: "/static/js/theme.js"})),
            tried(() => add("script", {textContent: "ran.push('inline')"})),
            tried(() => trustedTypes.createPolicy("default", {createHTML: (text) => text})),
            tried(() => trustedTypes.createPolicy("other", {createHTML: (text) => text})),
          ];
          const link = Object.assign(document.createElement("a"), {href: "javascript:ran.push('link')"});
          document.body.append(link);
          link.click();
          const markup = "<b onclick=\\"ran.push('parsed')\\">x</b><script>ran.push('script')</script>";
          const parsed = new DOMParser().parseFromString(markup, "text/html");
          document.body.append(...parsed.body.childNodes);
          document.body.querySelector("b").click();
          add("base", {href: "https://evil.example/"});
          await new Promise((done) => setTimeout(done, 200));
          return [refused, window.ran, document.baseURI.includes("evil")];
        }"""
    )
    assert found == [
        ["TypeError", "TypeError", "EvalError", "TypeError", "TypeError", "TypeError", "TypeError"],
        [],
        False,
    ]
