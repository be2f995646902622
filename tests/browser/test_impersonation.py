"""Both examples in real browsers, Django and Express: support impersonation behind the customer's approval."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from audit_app.models import AuditEntry
from lockbox_site.demo import people
from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.doors.api import oauth
from requests_app.models import AccessRequest, Grant, Resource, Service
from requests_app.work import feed
from tests.browser.test_way_in import browser_of
from tests.guard import node
from tests.guard.conftest import until
from tests.guard.test_with_lockbox import _looking as _looking  # noqa: PLC0414 (a fixture that pytest finds by its name)
from tests.ports import free_port
from tests.sources import ROOT
from tests.stopwatch import in_time

pytestmark = [pytest.mark.real_clock, pytest.mark.slow, pytest.mark.timed]

PASSWORD = "a password of Quillo only"
LEVELS = "names\nview\nact_as | do everything in the workspace that its users can do | log in as a user"
TRIED = "Rebuilt the index of the workspace, and read the application's own log."
WHY = "The log does not say which of the pages were skipped; I need to see those that are missing."
#: Of an hour, on a machine of any speed.
LEFT = re.compile(r"\b(60|59|58) minutes left\.")
EXAMPLE = ROOT / "clients" / "guard-python" / "example"


class Quillo:
    """The Django project, as a process of its own. `made` is its database as `try_it` makes it, for the next test."""

    slash = "/"

    def __init__(self, lockbox: str, place: Path, made: Path) -> None:
        self.place, self.database, self.port = place, place / "quillo.sqlite3", free_port()
        self.url, self.log, self.made = f"http://localhost:{self.port}", place / "quillo.log", made
        self.support = f"{self.url}/support/ws-1041{self.slash}"
        service = Service.objects.get(key=people.QUILLO)
        link = f"{self.url}/support/{{external_id}}{self.slash}"
        Service.objects.filter(pk=service.pk).update(link_template=link)
        guard, desk = tuple(people.client().values()), _desk()
        self.tenant = str(Resource.objects.get(service=service, external_id="ws-1041").tenant_id)
        self.env = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(EXAMPLE.parent), "PYTHONUNBUFFERED": "1",
            "QUILLO_DATA": str(place), "QUILLO_ORIGIN": self.url, "QUILLO_SECRET_KEY": "k" * 60, "LOCKBOX_URL": lockbox,
            "LOCKBOX_CLIENT_ID": guard[0], "LOCKBOX_CLIENT_SECRET": guard[1],
            "LOCKBOX_DESK_ID": desk[0], "LOCKBOX_DESK_SECRET": desk[1],
        }  # fmt: skip
        self.fill()
        self.begin()

    def fill(self) -> None:
        if not self.made.exists():
            self.manage("try_it", "--tenant", self.tenant, "--password", PASSWORD).wait()
            shutil.copy(self.database, self.made)
        shutil.copy(self.made, self.database)
        with closing(sqlite3.connect(self.database)) as database:
            database.execute("UPDATE quillo_workspace SET tenant = ?", (self.tenant.replace("-", ""),))
            database.commit()

    def begin(self) -> None:
        self.process = self.manage("serve", str(self.port))
        until(self._answers, 60)

    def manage(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "manage.py", *words], cwd=EXAMPLE, env=self.env, stdout=log, stderr=log
            )

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(urllib.request.urlopen(f"{self.url}/sign-in{self.slash}").status)
        except urllib.error.URLError:
            return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def sessions(self) -> int:
        """Return how many sessions there are. The test's browsers have one at most."""
        with closing(sqlite3.connect(self.database)) as database:
            return len(database.execute("SELECT 1 FROM django_session").fetchall())

    def write_much(self) -> None:
        """Make the pages so large that nobody can download them in a moment."""
        with closing(sqlite3.connect(self.database)) as database:
            database.execute("UPDATE quillo_page SET body = hex(zeroblob(30000000))")
            database.commit()


class Wiki(Quillo):
    """The Express application."""

    slash = ""

    def fill(self) -> None:
        self.env |= {
            "PORT": str(self.port), "ORIGIN": self.url, "WORKSPACE": "ws-1041", "TENANT": self.tenant,
            "PASSWORD": PASSWORD, "LOCKBOX_SERVICE": "quillo", "LOCKBOX_QUEUE": str(self.place / "lockbox"),
        }  # fmt: skip

    def begin(self) -> None:
        with self.log.open("ab") as log:
            words = [node.program(), str(node.GUARD / "example" / "app.js")]
            self.process = subprocess.Popen(words, env=self.env, stdout=log, stderr=log)
        until(self._answers, 60)


def _desk() -> tuple[str, str]:
    """Return the client with which the application asks for access. A customer has Lockbox on already."""
    made = operations.create_client(name="Quillo support", scopes=["grants:read"], actor=as_(people.STAFF.email))
    made.row.scopes = ["tenant:read", "tickets:read", "tickets:write", "requests:read", "requests:submit"]
    made.row.save()
    return str(made.row.pk), made.secret


@pytest.fixture
def place(
    live_server: LiveServer, world: None, settings: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Path]:
    """Prepare Lockbox. Return its address, a directory for an application, and a database to copy."""
    settings.BASE_URL = live_server.url
    oauth.TRIES.clear()
    Service.objects.filter(key=people.QUILLO).update(levels=LEVELS)
    tenant = Resource.objects.get(service__key=people.QUILLO, external_id="ws-1041").tenant_id
    operations.allow_level(tenant, level="act_as", actor=as_("ines.vogel"))
    return live_server.url, tmp_path, tmp_path_factory.getbasetemp() / "quillo.sqlite3"


def _end(application: Quillo) -> None:
    """End the application, and wait until the server has ended its feed: it could read in the next test's database."""
    application.stop()
    until(lambda: not feed.HUB._followers, 60)


@pytest.fixture
def quillo(place: tuple[str, Path, Path]) -> Iterator[Quillo]:
    found = Quillo(*place)
    yield found
    _end(found)


@pytest.fixture
def wiki(place: tuple[str, Path, Path]) -> Iterator[Wiki]:
    found = Wiki(*place)
    yield found
    _end(found)


def sign_in(page: Page, quillo: Quillo, name: str) -> None:
    page.goto(quillo.url)
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def ask(page: Page, level: str) -> None:
    page.get_by_label("Your case").fill("ZD-4711")
    page.get_by_label("Its address").fill("https://provider.zendesk.com/agent/tickets/4711")
    page.get_by_label("Level").select_option(level)
    page.get_by_label("What did you try").fill(TRIED)
    page.get_by_label("Why do you need").fill(WHY)
    page.get_by_role("button", name="Ask for access").click()
    expect(page.locator("main")).to_contain_text("for ZD-4711: waits for a colleague")


def approved() -> Grant:
    """Approve the newest access request at both stages."""
    row = AccessRequest.objects.latest("submitted_at")
    operations.approve_as_provider(row.pk, actor=as_("pat.doyle"), note="No other way.")
    operations.approve_as_customer(row.pk, actor=as_("ada.keller"))
    return Grant.objects.get(access_request=row)


def reported() -> list[tuple[str, str, str, str]]:
    """Return kind, action, item and code of each access that the application reported, in their order."""
    rows = AuditEntry.objects.filter(event="content.reported")
    details = [json.loads(bytes(row.canonical))["detail"] for row in rows]
    found = {
        each["n"]: (detail["kind"], each["action"], each["item"], each.get("code", ""))
        for detail in details
        for each in detail["accesses"]
    }
    return [access for _number, access in sorted(found.items())]


def opened(context: BrowserContext, base: str, quillo: Quillo, grant: Grant) -> Page:
    """Come in from the window's page at Lockbox, and log in as the customer's user."""
    page = context.new_page()
    page.goto(f"{base}/windows/{grant.pk}/")
    with context.expect_page() as arriving:
        page.locator("main").get_by_role("link", name="Open in Quillo").click()
    there = arriving.value
    expect(there).to_have_url(quillo.support)
    return there


@pytest.mark.parametrize("javascript", [True, False])
def test_an_engineer_looks_as_a_customers_user_and_changes_nothing(
    browser: Browser, live_server: LiveServer, quillo: Quillo, javascript: bool
) -> None:
    base = live_server.url
    with browser_of(browser, base, "priya.nair", java_script_enabled=javascript) as context:
        page = context.new_page()
        sign_in(page, quillo, "priya.nair@provider.example")
        page.get_by_role("link", name="Contoso").click()
        expect(page.locator("main")).to_contain_text("You have no access to this workspace now.")
        expect(page.get_by_role("button", name="Log in as")).to_have_count(0)
        ask(page, "view")
        grant = approved()
        there = opened(context, base, quillo, grant)
        there.get_by_role("button", name="Log in as nina@contoso.example").click()
        banner = there.get_by_role("status", name="Support access")
        expect(banner).to_contain_text(
            f"Priya Nair, you see Quillo as nina@contoso.example. {grant.access_request.reference}"
        )
        expect(banner).to_contain_text(LEFT)
        there.get_by_role("link", name="Plan").click()
        expect(there.locator("main")).to_contain_text("The plan for the year")
        there.get_by_label("Body").fill("SECRET")
        there.get_by_role("button", name="Save").click()
        expect(there.get_by_role("heading", name="The customer did not approve this")).to_be_visible()
        there.goto(f"{quillo.url}/pages/plan/?q=SECRET")
        expect(there.get_by_label("Body")).to_have_value("The plan for the year")
        there.get_by_role("button", name="I am done").click()
        expect(there.get_by_role("heading", name="The window is closed")).to_be_visible()
        there.goto(f"{quillo.url}/pages/plan/")
        expect(there).to_have_url(quillo.support)
        expect(there.locator("header")).to_contain_text("priya.nair@provider.example")
    grant.refresh_from_db()
    assert grant.close_reason == "released"
    look = ("access", "view", "GET /pages/<slug:slug>/", "")
    expected = [
        ("access", "view", "POST /hijack/acquire/", ""), ("access", "view", "GET /", ""), look,
        ("refused", "act_as", "POST /pages/<slug:slug>/", "level_too_low"), look,
    ]  # fmt: skip
    until(lambda: len(reported()) >= len(expected))
    assert reported() == expected
    assert "SECRET" not in str(reported())


def test_an_engineer_acts_as_a_customers_user_until_the_customer_revokes_the_window(
    browser: Browser, live_server: LiveServer, quillo: Quillo
) -> None:
    base = live_server.url
    with browser_of(browser, base, "priya.nair") as context:
        page = context.new_page()
        sign_in(page, quillo, "priya.nair@provider.example")
        page.get_by_role("link", name="Contoso").click()
        ask(page, "act_as")
        grant = approved()
        page.reload()
        # This is the way without Lockbox's pages: the browser is signed in there.
        page.get_by_role("link", name="Open", exact=True).click()
        expect(page.locator("main")).to_contain_text(f"Your window {grant.access_request.reference} is open.")
        page.get_by_role("button", name="Log in as nina@contoso.example").click()
        page.get_by_role("link", name="Plan").click()
        page.get_by_label("Body").fill("SECRET")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main > p")).to_have_text("SECRET")
        # The script of the banner would open another page as soon as it sees that the window is closed.
        page.goto("about:blank")
        quillo.write_much()
        cookies = "; ".join(f"{each['name']}={each['value']}" for each in context.cookies(quillo.url))
        with closing(http.client.HTTPConnection("localhost", quillo.port, timeout=30)) as line:
            line.request("GET", "/export/", headers={"Cookie": cookies})
            answer = line.getresponse()
            assert (answer.status, len(answer.read(1000))) == (200, 1000)
            operations.revoke(grant.access_request_id, actor=as_("ada.keller"))
            began = time.monotonic()
            time.sleep(0.7)
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                answer.read()
            in_time(time.monotonic() - began < 1.0)
            answer.close()
        page.goto(f"{quillo.url}/pages/plan/")
        expect(page).to_have_url(quillo.support)
        expect(page.locator("header")).to_contain_text("priya.nair@provider.example")
        expect(page.locator("main")).to_contain_text("for ZD-4711: over")
    assert quillo.sessions() == 1
    look = ("access", "view", "GET /pages/<slug:slug>/", "")
    expected = [
        ("access", "view", "POST /hijack/acquire/", ""), ("access", "view", "GET /", ""), look,
        ("access", "act_as", "POST /pages/<slug:slug>/", ""), look, ("access", "download", "GET /export/", ""),
        ("cut", "download", "GET /export/", "closed"), ("refused", "view", "GET /pages/<slug:slug>/", "window_closed"),
    ]  # fmt: skip
    until(lambda: len(reported()) >= len(expected))
    assert reported() == expected
    assert "SECRET" not in str(reported())


def test_an_engineer_looks_as_a_customers_user_in_express(
    browser: Browser, live_server: LiveServer, wiki: Wiki
) -> None:
    base = live_server.url
    with browser_of(browser, base, "priya.nair") as context:
        page = context.new_page()
        sign_in(page, wiki, "priya.nair@provider.example")
        page.get_by_role("link", name="Contoso").click()
        page.get_by_role("button", name="Log in as nina@contoso.example").click()
        expect(page).to_have_url(wiki.support)
        ask(page, "view")
        grant = approved()
        there = opened(context, base, wiki, grant)
        there.get_by_role("button", name="Log in as nina@contoso.example").click()
        banner = there.get_by_role("status", name="Support access")
        expect(banner).to_contain_text("priya.nair@provider.example, you see the wiki as nina@contoso.example.")
        expect(banner).to_contain_text(f"{grant.access_request.reference}, looking only:")
        expect(banner).to_contain_text(LEFT)
        there.get_by_role("link", name="plan").click()
        former = {each["name"]: each["value"] for each in context.cookies(wiki.url)}["wiki"]
        there.get_by_label("Body").fill("SECRET")
        there.get_by_role("button", name="Save").click()
        expect(there.locator("main")).to_contain_text("The customer did not approve this.")
        operations.revoke(grant.access_request_id, actor=as_("ada.keller"))
        expect(there).to_have_url(wiki.support)  # the script of the banner notices the end
        expect(there.locator("main")).to_contain_text("for ZD-4711: over")
        context.clear_cookies()
        context.add_cookies([{"name": "wiki", "value": former, "url": wiki.url}])
        there.goto(f"{wiki.url}/pages/plan")
        expect(there).to_have_url(f"{wiki.url}/sign-in")
    expected = [
        ("access", "view", "POST /impersonate/{workspace}", ""), ("access", "view", "GET /", ""),
        ("access", "view", "GET /pages/{page}", ""), ("refused", "act_as", "POST /pages/{page}", "level_too_low"),
        ("refused", "view", "GET /", "window_closed"),
    ]  # fmt: skip
    until(lambda: len(reported()) >= len(expected))
    assert reported() == expected


def test_customers_work_while_lockbox_is_down(quillo: Quillo, browser: Browser, tmp_path: Path) -> None:
    """Nothing of the guard runs for a customer's own session, and nothing impersonates without a window."""
    quillo.stop()
    quillo.env["LOCKBOX_URL"] = f"http://localhost:{free_port()}"
    quillo.begin()
    assert not (tmp_path / "lockbox").exists()
    with browser_of(browser, quillo.url) as context:
        page = context.new_page()
        sign_in(page, quillo, "nina@contoso.example")
        page.get_by_role("link", name="Plan").click()
        page.get_by_label("Body").fill("Our own words")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main > p")).to_have_text("Our own words")
        expect(page.get_by_role("status")).to_have_count(0)
    assert not (tmp_path / "lockbox").exists()


def test_without_a_window_nobody_becomes_a_customers_user(
    browser: Browser, live_server: LiveServer, quillo: Quillo
) -> None:
    with browser_of(browser, live_server.url) as context:
        page = context.new_page()
        sign_in(page, quillo, "priya.nair@provider.example")
        page.get_by_role("link", name="Contoso").click()
        expect(page).to_have_url(quillo.support)
        token = page.locator("input[name=csrfmiddlewaretoken]").first.input_value()
        answer = page.request.post(
            f"{quillo.url}/hijack/acquire/", form={"user_pk": "2", "csrfmiddlewaretoken": token},
            headers={"Referer": quillo.url}, max_redirects=0,
        )  # fmt: skip
        assert (answer.status, answer.headers["location"]) == (302, "/support/ws-1041/")
        page.goto(quillo.url)
        expect(page).to_have_url(f"{quillo.url}/support/")
        expect(page.locator("header")).to_contain_text("priya.nair@provider.example")
