"""A real browser on its way from a window into an application at another site, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from audit_app.models import AuditEntry
from lockbox_site.demo import people
from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.domain import one_time_codes
from requests_app.models import Grant, OneTimeCode, Person, Resource, Service
from tests.browser.conftest import PATIENCE_MS
from tests.browser.test_crossing import Hostile
from tests.browser.test_crossing import hostile as hostile
from tests.browser.visiting import Visitor, Watch, give_session
from tests.stand_in import SESSION, TRY, Application, application

TRIED = "Rebuilt the index of the workspace, and read the application's own log."
WHY = "The log does not say which of the pages were skipped; I need to see those that are missing."


@pytest.fixture
def quillo(live_server: LiveServer, world: None) -> Iterator[Application]:
    """Run Quillo at a loopback port, with the client of its guard."""
    with application() as found:
        service = Service.objects.get(key=people.QUILLO)
        Service.objects.filter(pk=service.pk).update(link_template=f"{found.url}/support/{{tenant}}/{{external_id}}")
        found.lockbox, found.issuer = live_server.url, settings.BASE_URL
        found.client_id, found.secret = people.client().values()
        yield found


@pytest.fixture
def window(quillo: Application) -> Grant:
    """Return an open window of an engineer on one workspace."""
    service = Service.objects.get(key=people.QUILLO)
    resource = Resource.objects.get(service=service, external_id="ws-1041")
    report = operations.Report(
        tenant_id=resource.tenant_id,
        service_id=service.pk,
        title="Pages are missing",
        body="Since Monday, on the board.",
    )
    ticket = operations.open_ticket(report, actor=as_("mia.weber"))
    ask = operations.Ask(
        ticket_id=ticket.pk,
        resource_ids=[resource.pk],
        level="read",
        window_for=3600,
        tried=TRIED,
        justification=WHY,
    )
    row = operations.submit(ask, actor=as_("priya.nair"))
    operations.approve_as_provider(row.pk, actor=as_("pat.doyle"), note="No other way.")
    operations.approve_as_customer(row.pk, actor=as_("ada.keller"))
    return Grant.objects.get(access_request=row)


@contextmanager
def browser_of(browser: Browser, base: str, login: str = "", **options: object) -> Iterator[BrowserContext]:
    """Open a browser, in which this person is signed in. Demand that no page violates its policy."""
    context = browser.new_context(**options)  # type: ignore[arg-type]  # options of a browser
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch(urlsplit(base).netloc)
    watch.over(context)
    if login:
        give_session(context, base, Person.objects.get(email__startswith=f"{login}@"))
    yield context
    context.close()
    assert [each for each in watch.complaints if "content policy" in each or "page error" in each] == []


def opened_from(context: BrowserContext, page: Page) -> Page:
    with context.expect_page() as arriving:
        page.locator("main").get_by_role("link", name="Open in Quillo").click()
    return arriving.value


def entered(window: Grant) -> list[str]:
    events = AuditEntry.objects.filter(subject_id=str(window.pk), event__startswith="grant.").order_by("seq")
    return list(events.values_list("event", flat=True))


def begin(application: Application, window: Grant) -> str:
    return f"{application.url}/.lockbox/open?{urlencode({'grant': str(window.pk), 'to': '/support/contoso/ws-1041'})}"


@pytest.mark.parametrize("javascript", [True, False])
def test_one_click_leads_in_and_one_click_ends_it(
    browser: Browser, live_server: LiveServer, quillo: Application, window: Grant, javascript: bool
) -> None:
    base = live_server.url
    with browser_of(browser, base, "priya.nair", java_script_enabled=javascript) as context:
        page = context.new_page()
        page.goto(f"{base}/windows/{window.pk}/")
        there = opened_from(context, page)
        expect(there).to_have_url(f"{quillo.url}/support/contoso/ws-1041")
        expect(there.locator("body")).to_contain_text("Priya Nair sees /support/contoso/ws-1041")
        assert entered(window) == ["grant.entered", "grant.token_issued"]
        cookies = {cookie["name"]: cookie for cookie in context.cookies(quillo.url)}
        assert TRY not in cookies
        session = cookies[SESSION]
        assert (session["httpOnly"], session["secure"], session["sameSite"]) == (True, True, "Lax")
        # No other site learns an address with a code, and no cookie of this site gets there.
        assert [referer for _path, referer, _cookies in quillo.seen] == ["", ""]
        assert all(settings.SESSION_COOKIE_NAME not in cookies for _path, _referer, cookies in quillo.seen)
        there.get_by_role("button", name="I am done").click()
        expect(there.get_by_role("heading", name="The window is closed")).to_be_visible()
        window.refresh_from_db()
        assert window.close_reason == "released"
        there.goto(f"{quillo.url}/support/contoso/ws-1041")
        expect(there.locator("body")).to_contain_text("You are not in.")


def test_the_first_page_has_the_same_way_in(
    browser: Browser, live_server: LiveServer, quillo: Application, window: Grant
) -> None:
    with browser_of(browser, live_server.url, "priya.nair") as context:
        page = context.new_page()
        page.goto(live_server.url)
        there = opened_from(context, page)
        expect(there).to_have_url(f"{quillo.url}/support/contoso/ws-1041")


@pytest.mark.parametrize("path", ["", "/windows/{}/"])
def test_a_double_click_leads_in_once(
    browser: Browser, live_server: LiveServer, quillo: Application, window: Grant, path: str
) -> None:
    """Two tabs would make each other's code invalid, and the customer's log would have a refusal."""
    with browser_of(browser, live_server.url, "priya.nair") as context:
        page = context.new_page()
        page.goto(live_server.url + path.format(window.pk))
        with context.expect_page() as arriving:
            page.locator("main").get_by_role("link", name="Open in Quillo").dblclick()
        expect(arriving.value).to_have_url(f"{quillo.url}/support/contoso/ws-1041")
        assert len(context.pages) == 2
        assert entered(window) == ["grant.entered", "grant.token_issued"]
        assert not AuditEntry.objects.filter(event="act.refused").exists()


def test_a_person_who_is_signed_out_signs_in_on_the_way(
    browser: Browser, live_server: LiveServer, quillo: Application, window: Grant
) -> None:
    """The policy of the sign-in form lets no redirect lead to the application, so a small page continues."""
    person = Person.objects.get(email__startswith="priya.nair@")
    with browser_of(browser, live_server.url) as context:
        page = context.new_page()
        page.goto(begin(quillo, window))
        app = people.app_secrets().get(person.email, "")
        password = people.passwords()[person.email]
        visitor = Visitor(page, live_server.url, person.email, password, Watch(""), app)
        page.get_by_label("Email").fill(person.email)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in", exact=True).click()
        if app:
            page.get_by_label("Code").fill(visitor.code())
            page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page).to_have_url(f"{quillo.url}/support/contoso/ws-1041")
        expect(page.locator("body")).to_contain_text("Priya Nair sees")


def test_a_code_works_only_in_the_browser_that_began(
    browser: Browser, live_server: LiveServer, quillo: Application, window: Grant
) -> None:
    base = live_server.url
    with browser_of(browser, base, "priya.nair") as victim, browser_of(browser, base) as thief:
        quillo.is_down = True
        page = victim.new_page()
        page.goto(f"{base}/windows/{window.pk}/")
        there = opened_from(victim, page)
        expect(there.locator("body")).to_contain_text("Quillo is down.")
        address, quillo.is_down = there.url, False
        # Another browser has no value that belongs to the code.
        other = thief.new_page()
        other.goto(address)
        expect(other.locator("body")).to_contain_text("You are not in.")
        assert OneTimeCode.objects.get().used_at is None
        # A browser that has begun a way of its own has another value. The code is then used up.
        other.goto(begin(quillo, window))
        assert TRY in {cookie["name"] for cookie in thief.cookies(quillo.url)}
        other.goto(address)
        expect(other.locator("body")).to_contain_text("You are not in: invalid_grant")
        there.goto(address)
        expect(there.locator("body")).to_contain_text("You are not in: invalid_grant")
        assert entered(window) == []
        assert SESSION not in {cookie["name"] for cookie in thief.cookies(quillo.url)}


def test_a_hostile_page_gets_nobody_in_and_no_code(
    browser: Browser, live_server: LiveServer, quillo: Application, window: Grant, hostile: Hostile
) -> None:
    base = live_server.url
    query = {
        "response_type": "code",
        "client_id": quillo.client_id,
        "redirect_uri": f"{quillo.url}/.lockbox/code",
        "state": "/support/contoso/ws-1041",
        "code_challenge": one_time_codes.challenge_of("h" * 43),
        "code_challenge_method": "S256",
        "grant": str(window.pk),
    }
    address = f"{base}/oauth/authorize?{urlencode(query)}"
    with browser_of(browser, base, "priya.nair") as context:
        page = context.new_page()
        page.goto(hostile.shows(f'<iframe src="{address}"></iframe><img src="{address}">'))
        page.wait_for_timeout(500)
        assert not OneTimeCode.objects.exists()
        # A link leads to the application, where the cookie is missing: the code that the page caused is worth nothing.
        page.goto(hostile.shows(f'<a href="{address.replace("&", "&amp;")}">Prize</a>'))
        page.get_by_text("Prize").click()
        expect(page.locator("body")).to_contain_text("You are not in.")
        assert urlsplit(page.url).path == "/.lockbox/code"
        assert [referer for _path, referer, _cookies in quillo.seen] == [""]
        assert entered(window) == []
        # An address of the hostile site gets no browser at all.
        stray = address.replace(urlencode({"r": quillo.url})[2:], urlencode({"r": hostile.url})[2:])
        page.goto(hostile.shows(f'<a href="{stray.replace("&", "&amp;")}">Prize</a>'))
        page.get_by_text("Prize").click()
        expect(page.get_by_role("heading", name="This application is not known here")).to_be_visible()
