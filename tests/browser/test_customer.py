"""The customer's approver: from the home page to an approval and to closing the window, and to a denial."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from lockbox_site.demo.world import as_, resource
from requests_app import operations
from requests_app.models import AccessRequest, Grant
from tests.browser.axe import check
from tests.browser.conftest import Visit
from tests.browser.visiting import Visitor

#: The page shows each accessed item within five seconds, without a reload. So it asks every three seconds or more
#: often.
ASKS = re.compile(r"^every [1-3]s$")


def waiting() -> AccessRequest:
    return AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")


def review(ada: Visitor) -> None:
    page = ada.page
    expect(page.get_by_role("heading", level=1)).to_have_text("1 access request waits for your answer")
    expect(page.get_by_role("heading", name="Waiting for you (1)")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Priya Nair")
    page.get_by_role("link", name="Review").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("asks to read messages in 1 mailbox")
    expect(page.locator("main")).to_contain_text("sales@contoso.example")


def looks(row: AccessRequest, opens: int) -> None:
    """As the engineer, in another session, open this number of messages."""
    grant, mailbox, priya = Grant.objects.get(access_request=row), resource("contoso", "sales"), as_("priya.nair")
    _access, listing = operations.content.list_items(grant.pk, mailbox.pk, actor=priya)
    for item in [item for item in listing.items if item.kind == "message"][:opens]:
        operations.content.read_message(grant.pk, mailbox.pk, item.id, actor=priya)


def test_an_open_window_is_followed_live_and_closed(visit: Visit) -> None:
    row, ada = waiting(), visit("ada.keller", form=True)
    page = ada.page
    review(ada)
    check(page)
    ada.link("Approve 2 hours of read access to 1 mailbox")
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your approval")
    check(page)
    page.get_by_label("Your comment").fill("Please tell us what it was.")
    # The sign-in a moment ago is recent enough, so the page asks for no password.
    expect(page.get_by_label("Your password")).to_have_count(0)
    ada.button("Approve 2 hours of read access to 1 mailbox")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your approval is recorded")
    expect(page.locator("main")).to_contain_text(row.reference)
    check(page)
    ada.link("See the opened items")
    live = page.get_by_role("log")
    expect(live).to_contain_text("Nothing has been opened so far.")
    page.evaluate("window.stillTheSamePage = true")
    looks(row, 2)
    expect(live).to_have_attribute("hx-trigger", ASKS)
    expect(live.get_by_role("listitem").filter(has_text=re.compile("opened", re.I))).to_have_count(2)
    assert page.evaluate("window.stillTheSamePage")
    check(page)
    ada.button("Close now")
    expect(page.locator("main")).to_contain_text("The window is closed.")
    expect(page.locator("main")).to_contain_text("2 messages read")
    assert AccessRequest.objects.get(pk=row.pk).state == "CLOSED"
    assert Grant.objects.get(access_request=row).closed_by_id == as_("ada.keller").person_id
    check(page)


def test_accesses_are_shown_on_the_first_page_too(visit: Visit) -> None:
    row = waiting()
    operations.approve_as_customer(row.pk, actor=as_("alan.fischer", fresh=True))
    ada = visit("ada.keller")
    ada.goto("/")
    live = ada.page.get_by_role("log")
    expect(live).to_contain_text("Nothing has been opened so far.")
    looks(row, 1)
    expect(live).to_have_attribute("hx-trigger", ASKS)
    expect(live.get_by_role("listitem").filter(has_text=re.compile("opened", re.I))).to_have_count(1)
    operations.release(row.pk, actor=as_("priya.nair"))
    expect(ada.page.locator("main")).to_contain_text("1 message read")


def test_an_approval_with_an_old_proof_needs_the_right_password(visit: Visit) -> None:
    row, ada = waiting(), visit("ada.keller")
    page = ada.page
    ada.forget_proof()
    ada.goto(f"/access-requests/{row.pk}/decide/approve/")
    page.get_by_label("Your comment").fill("Please tell us what it was.")
    with ada.expecting(422, 403):
        ada.button("Approve 2 hours of read access to 1 mailbox")
        expect(page.locator("main")).to_contain_text("Enter your password.")
        check(page)
        page.get_by_label("Your password").fill("not my password")
        page.get_by_label("Code").fill("000000")
        ada.button("Approve 2 hours of read access to 1 mailbox")
        expect(page.locator("main")).to_contain_text("The password or the code is not right. Nothing was decided.")
        check(page)
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"
    expect(page.get_by_label("Your comment")).to_have_value("Please tell us what it was.")
    page.get_by_label("Your password").fill(ada.password)
    page.get_by_label("Code").fill(ada.code())
    ada.button("Approve 2 hours of read access to 1 mailbox")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your approval is recorded")
    assert AccessRequest.objects.get(pk=row.pk).state == "OPEN"


def test_a_denial_takes_one_press(visit: Visit) -> None:
    row, ada = waiting(), visit("ada.keller")
    page = ada.page
    ada.forget_proof()
    ada.goto(f"/access-requests/{row.pk}/")
    ada.link("Deny", exact=True)
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your denial")
    page.get_by_label("Your comment").fill("We can send you three of them.")
    check(page)
    ada.button("Deny this access request")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your denial is recorded")
    expect(page.locator("main")).to_contain_text("We can send you three of them.")
    check(page)
    assert AccessRequest.objects.get(pk=row.pk).state == "DENIED"


def test_a_late_approver_sees_the_decision(visit: Visit) -> None:
    row, ada = waiting(), visit("ada.keller")
    page = ada.page
    ada.goto(f"/access-requests/{row.pk}/decide/approve/")
    operations.deny_as_customer(row.pk, actor=as_("alan.fischer", fresh=True), note="We found it ourselves.")
    with ada.expecting(409):
        ada.button("Approve 2 hours of read access to 1 mailbox")
        expect(page.locator("main")).to_contain_text("Alan Fischer")
        check(page)
    assert AccessRequest.objects.get(pk=row.pk).state == "DENIED"
