"""A person with a real browser, and a watch that collects every fault of the pages that the browser opens."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

from requests_app.doors.web.middleware import STEPPED_UP
from requests_app.models import Person
from tests.factors import a_code, force_login

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page stays open for a few seconds. Optimizing its scripts costs more than it saves in this time.
    "--js-flags=--no-turbofan --no-maglev",
    # This flag replaces Playwright's. Without the last feature, a page takes over the frame of the page before, which
    # saves a sixth of the processor time of each load. The others are Playwright's own.
    "--disable-features=AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,"
    "HttpsFirstBalancedModeAutoEnable,LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,"
    "AvoidCorsURLLoaderRestartOnRedirect,OptimizationHints,NetworkTimeServiceQuerying,PreconnectToSearch,"
    "RenderDocument",
]
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = "There is no Chromium here. Install one, or name it: CHROMIUM=/path bin/test browser"
#: Chromium also reports a violated content policy to the console. This event has the source, too.
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`content policy: ${event.violatedDirective} refused ${event.blockedURI || event.sample}`));
"""
_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")


def find_chromium(wanted: str, of_playwright: str) -> str | None:
    """Return the path of the browser: the one that is set, the distribution's, or Playwright's, in this order."""
    if wanted:
        return shutil.which(wanted)
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    return found or (of_playwright if Path(of_playwright).exists() else None)


def chromium_wanted() -> str:
    return os.environ.get("CHROMIUM", "")


def give_session(context: BrowserContext, base: str, person: Person) -> None:
    """Sign a person in without the form: give the browser the cookie of a new session."""
    client = Client()
    force_login(client, person, is_fresh=True)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": base}])


@dataclass
class Watch:
    """Collects all errors of a browser, and all requests to other hosts."""

    host: str
    complaints: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    def over(self, context: BrowserContext) -> None:
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.complaints.append(f"page error: {error.error}"))
        context.on("request", self._requested)
        context.add_init_script(REPORT_VIOLATIONS)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        refused = _REFUSED.match(message.text)
        if refused and int(refused[1]) in self.expected:
            return
        self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _requested(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.host:
            self.complaints.append(f"request to another host: {request.url}")


@dataclass
class Visitor:
    """One person's tab in a browser."""

    page: Page
    base: str
    email: str
    password: str
    watch: Watch
    secret: str = ""

    def goto(self, path: str) -> Page:
        answer = self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status in {200, *self.watch.expected}, (path, answer.status)
        return self.page

    def change_to(self, person: Person) -> None:
        """Go on as another person, as in a new browser: without cookies and without stored pages.

        The browser keeps its process, which has already compiled axe-core. The password is not known.
        """
        context = self.page.context
        # A file has no script that would send something in between.
        self.page.goto(f"{self.base}/static/icon.svg")
        context.clear_cookies()
        session = context.new_cdp_session(self.page)
        session.send("Network.clearBrowserCache")
        session.detach()
        give_session(context, self.base, person)
        self.email, self.password, self.secret = person.email, "", ""

    def sign_in(self) -> None:
        """Sign in with the form."""
        page = self.page
        page.goto(f"{self.base}/accounts/login/")
        page.get_by_label("Email").fill(self.email)
        page.get_by_label("Password", exact=True).fill(self.password)
        page.get_by_role("button", name="Sign in", exact=True).click()
        if self.secret:
            page.get_by_label("Code").fill(self.code())
            page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page).to_have_url(f"{self.base}/")

    def confirm(self) -> None:
        """Confirm on the step-up page with the password and, if the person has an app, with a code."""
        page = self.page
        page.goto(f"{self.base}/step-up/?next=/")
        page.get_by_label("Your password").fill(self.password)
        if self.secret:
            page.get_by_label("Code").fill(self.code())
        page.get_by_role("button", name="Confirm").click()
        expect(page).to_have_url(f"{self.base}/")

    def forget_proof(self) -> None:
        """Make the last confirmation too old, as if five minutes had passed."""
        key = next(c["value"] for c in self.page.context.cookies() if c["name"] == settings.SESSION_COOKIE_NAME)
        session = SessionStore(session_key=key)
        session.pop(STEPPED_UP, None)
        session.save()

    def code(self) -> str:
        """Return a code of the app. The server accepts it even if it was just used."""
        return a_code(Person.objects.get(email=self.email), secret=self.secret)

    def button(self, name: str, *, within: str = "main") -> None:
        self.page.locator(within).get_by_role("button", name=name).click()

    def link(self, name: str, *, within: str = "main", exact: bool = False) -> None:
        self.page.locator(within).get_by_role("link", name=name, exact=exact).click()

    @contextmanager
    def expecting(self, *statuses: int) -> Iterator[None]:
        """Inside the block, accept responses with these statuses, which would be faults otherwise."""
        self.watch.expected |= set(statuses)
        try:
            yield
        finally:
            # The console reports a message later than the page that causes it.
            self.page.wait_for_timeout(50)
            self.watch.expected -= set(statuses)
