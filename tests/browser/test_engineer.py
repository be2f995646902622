"""The engineer: from the ticket to the access request, to reading content, and to closing the window."""

from __future__ import annotations

from datetime import timedelta

from playwright.sync_api import Page, expect

from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import AccessRequest, ContentAccess, Grant, Service, Tenant, Ticket
from tests.browser.axe import check
from tests.browser.conftest import Visit

TRIED = "Rebuilt the index of the mailbox, and read the service's own log."
WHY = "The log does not say which of the messages were skipped; I need to see those that are missing."


def ticket() -> Ticket:
    report = operations.Report(
        tenant_id=Tenant.objects.get(slug="contoso").pk,
        service_id=Service.objects.get(key="exchange-online").pk,
        title="Nothing arrives from the bank",
        body="Statements of the bank are missing since Monday.",
    )
    return operations.open_ticket(report, actor=as_("mia.weber"))


def opened(page: Page) -> Grant:
    """In other sessions, approve both stages. Then reload the engineer's page, and return the grant."""
    row = AccessRequest.objects.get(justification=WHY)
    operations.approve_as_provider(row.pk, actor=as_("pat.doyle", fresh=True), note="No other way.")
    operations.approve_as_customer(row.pk, actor=as_("ada.keller", fresh=True))
    page.reload()
    return Grant.objects.get(access_request=row)


def test_from_the_ticket_to_reading_and_back(visit: Visit) -> None:
    ticket()
    priya = visit("priya.nair", form=True)
    page = priya.page
    priya.link("Nothing arrives from the bank")
    priya.button("Take this ticket")
    expect(page.locator("main")).to_contain_text("The ticket is assigned.")
    check(page)
    priya.link("Ask for access")
    with priya.expecting(422):
        priya.button("Read what the customer will read")
        expect(page.get_by_role("alert")).to_be_visible()
        check(page, widths=(360, 1280))
    page.get_by_label("What did you try").fill(TRIED)
    page.get_by_label("Why is there no other way").fill(WHY)
    page.get_by_label("finance@contoso.example").check()
    page.get_by_role("radio", name="View and download").check()
    page.get_by_label("30 minutes").check()
    priya.button("Read what the customer will read")
    expect(page.locator(".preview-sentence")).to_contain_text("asks to read messages in 1 mailbox")
    check(page, widths=(360, 1280))
    priya.button("Change something")
    expect(page.get_by_label("Why is there no other way")).to_have_value(WHY)
    expect(page.get_by_label("finance@contoso.example")).to_be_checked()
    priya.button("Read what the customer will read")
    priya.button("Submit the access request")
    expect(page.locator("main")).to_contain_text("is submitted")
    expect(page.get_by_role("link", name="Open the content")).to_have_count(0)
    grant = opened(page)
    priya.link("Open the content")
    priya.link("finance@contoso.example")
    first = page.locator("[data-reader-link]").first
    title = first.locator(".reader-link-title").inner_text()
    first.click()
    heading = page.locator("[data-reader-title]")
    expect(heading).to_have_text(title)
    expect(heading).to_be_focused()
    expect(first).to_have_attribute("aria-current", "true")
    check(page)
    kinds = ContentAccess.objects.filter(grant=grant, kind__in=["listed", "opened"]).order_by("at")
    assert [look.kind for look in kinds] == ["listed", "opened"]
    priya.button("Close my window")
    expect(page.locator("main")).to_contain_text("The window is closed. Thank you for closing it early.")
    assert Grant.objects.get(pk=grant.pk).close_reason == "released"
    with priya.expecting(403):
        page.goto(f"{priya.base}/windows/{grant.pk}/{grant.access_request.resources.get().pk}/")
        expect(page.locator("main")).to_contain_text("The window is closed")
        check(page)


def test_a_document_opens_beside_its_list_and_is_there_for_download(visit: Visit) -> None:
    grant = Grant.objects.get(tenant__slug="northwind")
    samira = visit("samira.haddad")
    page, names = samira.page, samira.page.locator(".reader-list")
    samira.goto(f"/windows/{grant.pk}/{grant.access_request.resources.get().pk}/")
    names.get_by_role("link", name="Price lists").click()
    names.get_by_role("link", name="Conditions.md").click()
    expect(page.get_by_role("heading", name="Conditions.md")).to_be_focused()
    expect(page.locator("pre.letter-text")).to_be_visible()
    check(page)
    with page.expect_download() as download:
        samira.link("Download the document")
    assert download.value.suggested_filename == "Conditions.md"
    assert download.value.path().read_text() == page.locator("pre.letter-text").inner_text()
    looks = ContentAccess.objects.filter(grant=grant, kind__in=["opened", "downloaded"]).order_by("at")
    item = "Price lists/Conditions.md"
    assert list(looks.values_list("kind", "item_ref")) == [("opened", item), ("downloaded", item)]


def closes_in(grant: Grant, seconds: float) -> None:
    """Move the window so that it closes in this number of seconds, half an hour after its opening."""
    at = clock.now() + timedelta(seconds=seconds)
    Grant.objects.filter(pk=grant.pk).update(opens_at=at - timedelta(minutes=30), closes_at=at)


def test_the_reader_empties_itself_when_the_window_ends(visit: Visit) -> None:
    grant = Grant.objects.get(tenant__slug="fabrikam")
    priya = visit("priya.nair")
    page = priya.page
    closes_in(grant, 20)
    priya.goto(f"/windows/{grant.pk}/{grant.access_request.resources.get().pk}/")
    page.locator("[data-reader-link]").first.click()
    expect(page.locator("[data-reader-title]")).to_be_focused()
    words = page.locator("#reader").inner_text()
    assert "@" in words
    expect(page.locator(".reader-bar .deadline")).to_have_class("deadline deadline-window deadline-soon")
    expect(page.locator("#reader")).to_contain_text("closed")
    expect(page.locator("[data-reader-link]")).to_have_count(0)
    expect(page.locator(".letter")).to_have_count(0)
    check(page)


def test_the_reader_empties_itself_when_the_customer_closes_the_window(visit: Visit) -> None:
    grant = Grant.objects.get(tenant__slug="fabrikam")
    priya = visit("priya.nair")
    page = priya.page
    priya.goto(f"/windows/{grant.pk}/{grant.access_request.resources.get().pk}/")
    page.locator("[data-reader-link]").first.click()
    expect(page.locator("[data-reader-title]")).to_be_focused()
    operations.revoke(grant.access_request_id, actor=as_("frida.olsen"), note="Enough.")
    expect(page.locator("#reader")).to_contain_text("Frida Olsen closed the window early.")
    expect(page.locator(".letter")).to_have_count(0)
    check(page)


def test_a_window_of_another_application_leads_there_and_ends_by_itself(visit: Visit) -> None:
    service = Service.objects.get(key="quillo")
    report = operations.Report(
        tenant_id=Tenant.objects.get(slug="contoso").pk,
        service_id=service.pk,
        title="Pages are empty",
        body="The pages of our design workspace are empty.",
    )
    ask = operations.Ask(
        ticket_id=operations.open_ticket(report, actor=as_("mia.weber")).pk,
        resource_ids=list(service.resources.values_list("pk", flat=True)),
        level="read",
        window_for=1800,
        tried=TRIED,
        justification=WHY,
    )
    row = operations.submit(ask, actor=as_("priya.nair"))
    priya, ada = visit("priya.nair"), visit("ada.keller")
    operations.approve_as_provider(row.pk, actor=as_("pat.doyle", fresh=True), note="No other way.")
    review = ada.goto(f"/access-requests/{row.pk}/")
    expect(review.locator(".scope + ul")).to_contain_text("Quillo (Microsoft’s own application) enforces this window.")
    check(review, widths=(360, 1280))
    operations.approve_as_customer(row.pk, actor=as_("ada.keller", fresh=True))
    page = priya.goto("/")
    priya.link("Go to your window")
    links = page.locator("main").get_by_role("link", name="Open in Quillo")
    expect(links).to_have_count(2)
    way = f"http://localhost:8400/.lockbox/open?grant={row.grant.pk}&to=%2Fsupport%2Fws-1041%2F"
    expect(links.first).to_have_attribute("href", way)
    expect(page.locator("main")).to_contain_text("To get in, choose “Open in Quillo”.")
    check(page, widths=(360, 1280))
    # No reload: the page asks whether the window is still open.
    operations.revoke(row.pk, actor=as_("ada.keller"))
    expect(page.locator("main")).to_contain_text("Ada Keller closed the window early.")
    expect(page.locator("main")).to_contain_text("Quillo enforced this window; it has reported no accesses so far")
    expect(links).to_have_count(0)
