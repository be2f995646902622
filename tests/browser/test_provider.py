"""The provider's approver, from the queue to an approval or to a denial with a reason; and the administration."""

from __future__ import annotations

from playwright.sync_api import expect

from requests_app.models import AccessRequest, Grant, Ticket
from tests.browser.axe import check
from tests.browser.conftest import Visit


def waiting() -> AccessRequest:
    return AccessRequest.objects.get(state="PENDING_PROVIDER")


def test_an_approval_passes_the_access_request_to_the_customer(visit: Visit) -> None:
    row, pat = waiting(), visit("pat.doyle", form=True)
    page = pat.page
    expect(page.get_by_role("heading", level=1)).to_have_text("1 access request waits for your answer")
    expect(page.locator("main")).to_contain_text("Samira Haddad")
    page.locator(f"main a[href='/access-requests/{row.pk}/']").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("asks to")
    expect(page.locator("main")).to_contain_text("Checked quotas, permissions and the file's lock")
    page.locator(".decision .button").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your approval")
    check(page, widths=(360, 1280))
    page.get_by_label("Your comment").fill("The error names no document.")
    # The sign-in a moment ago is recent enough, so the page asks for no password.
    expect(page.get_by_label("Your password")).to_have_count(0)
    page.locator("main form .button-primary").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your approval is recorded")
    expect(page.locator("main")).to_contain_text("Contoso has been asked to decide.")
    check(page)
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"
    pat.goto("/")
    expect(page.locator("main")).to_contain_text("No access request waits for your answer")


def test_a_denial_needs_a_comment(visit: Visit) -> None:
    row, pat = waiting(), visit("pat.doyle")
    page = pat.page
    pat.goto(f"/access-requests/{row.pk}/")
    pat.link("Deny")
    with pat.expecting(422):
        pat.button("Deny this access request")
        expect(page.locator("main")).to_contain_text("A denial needs a reason: write one sentence.")
        check(page, widths=(360, 1280))
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_PROVIDER"
    page.get_by_label("Your comment").fill("The customer can send the list of names.")
    pat.button("Deny this access request")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your denial is recorded")
    expect(page.locator("main")).to_contain_text("The customer can send the list of names.")
    assert AccessRequest.objects.get(pk=row.pk).state == "DENIED"


def test_staff_find_a_ticket_and_close_a_window(visit: Visit) -> None:
    grant = Grant.objects.get(tenant__slug="fabrikam")
    ticket = Ticket.objects.get(title="How do I restore a deleted folder?")
    stella = visit("stella.okafor", form=True)
    page = stella.page
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Administration").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_role("heading", name="Closing next")).to_be_visible()
    page.get_by_role("navigation", name="Administration", exact=True).get_by_role(
        "link", name="Tickets", exact=True
    ).click()
    page.get_by_role("searchbox").fill(ticket.reference)
    page.get_by_role("searchbox").press("Enter")
    found = page.locator(".portal-table tbody tr")
    expect(found).to_have_count(1)
    expect(found).to_contain_text(ticket.reference)
    check(page)
    stella.goto("/admin/")
    page.locator(f"a[href*='{grant.pk}']").first.click()
    check(page)
    stella.link("Close the window now")
    check(page, widths=(360, 1280))
    page.get_by_label("Comment").fill("The supplier's system is the cause.")
    stella.button("Close the window now")
    expect(page.locator("main")).to_contain_text("closed")
    closed = Grant.objects.get(pk=grant.pk)
    assert (closed.close_reason, closed.closed_by and closed.closed_by.name) == ("revoked", "Stella Okafor")
