"""A practice request from its start to the end of its window. All people act on pages, and each page has the mark."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from requests_app.models import Grant, Tenant
from requests_app.words.sentences import PRACTICE
from tests.browser.axe import check
from tests.browser.conftest import Visit

TRIED = "Read the list of orders, and asked the shop."
WHY = "Only the messages of the shop say when order 4711 arrives; nothing else shows it."


def marked(page: Page) -> None:
    """Assert that the page has the mark, and that it is accessible in a narrow and in a wide window."""
    expect(page.locator(".practice")).to_contain_text(str(PRACTICE))
    check(page, widths=(360, 1280))


def test_practice_request_from_its_start_to_the_end_of_its_window(visit: Visit) -> None:
    contoso = Tenant.objects.get(slug="contoso")
    ines = visit("ines.vogel")
    ines.goto(f"/tenant/{contoso.pk}/practice/")
    marked(ines.page)
    ines.page.get_by_label("Service").select_option(label="Exchange Online")
    ines.button("Start a practice request")
    expect(ines.page.locator("main")).to_contain_text("The engineers of Exchange Online have been told.")
    marked(ines.page)

    priya = visit("priya.nair", form=True)
    page = priya.page
    priya.link("When does order 4711 arrive?")
    priya.button("Take this ticket")
    marked(page)
    priya.link("Ask for access")
    marked(page)
    page.get_by_label("What did you try").fill(TRIED)
    page.get_by_label("Why is there no other way").fill(WHY)
    expect(page.get_by_role("checkbox")).to_have_count(1)
    page.get_by_label("Practice mailbox").check()
    page.get_by_role("radio", name="View and download").check()
    page.get_by_label("30 minutes").check()
    priya.button("Read what the customer will read")
    marked(page)
    priya.button("Submit the access request")
    marked(page)

    for name in ("pat.doyle", "ada.keller"):
        decider = visit(name, form=True)
        decider.goto("/")
        row = decider.page.locator("tr, .item").filter(has_text="P-AR-").first
        expect(row).to_contain_text("Practice")
        row.get_by_role("link", name="Review").click()
        marked(decider.page)
        decider.page.locator(".button-decide").first.click()
        marked(decider.page)
        if decider.page.get_by_text("Answer without the passkey").count():
            decider.page.get_by_text("Answer without the passkey").click()
        decider.page.locator("form .button-primary, form details .button").last.click()
        expect(decider.page.locator(".receipt")).to_be_visible()
        marked(decider.page)

    grant = Grant.objects.get(access_request__is_practice=True)
    priya.goto(f"/windows/{grant.pk}/")
    marked(page)
    priya.link("Practice mailbox")
    page.locator("[data-reader-link]").first.click()
    expect(page.locator("[data-reader-title]")).to_be_focused()
    expect(page.locator(".letter")).to_contain_text("Practice: this message is made up.")
    marked(page)
    ada = visit("ada.keller")
    ada.goto("/")
    ada.goto(f"/access-requests/{grant.access_request_id}/")
    marked(ada.page)
    priya.button("Close my window")
    expect(page.locator("main")).to_contain_text("The window is closed.")
    marked(page)
    stella = visit("stella.okafor")
    stella.goto(f"/admin/requests_app/accessrequest/{grant.access_request_id}/change/")
    marked(stella.page)
    stella.goto("/admin/requests_app/accessrequest/")
    expect(stella.page.locator("tr").filter(has_text="P-AR-")).to_contain_text("Practice")
    otto = visit("otto.brandt")
    otto.goto(f"/log/{contoso.pk}/")
    expect(otto.page.locator("main")).to_contain_text("Practice: ")
