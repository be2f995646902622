"""The guided set-up by keyboard: from the home page to the list, and from there to an act and back."""

from __future__ import annotations

from playwright.sync_api import expect

from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Person, Tenant
from requests_app.queries import actor_of
from tests.browser.conftest import Visit


def test_staff_send_themselves_a_test_mail_by_keyboard(visit: Visit) -> None:
    page = visit("stella.okafor").goto("/")
    page.get_by_role("link", name="Continue the set-up").press("Enter")
    expect(page.get_by_role("heading", name="Set-up", exact=True)).to_be_visible()
    page.get_by_role("button", name="Send me a test mail").press("Enter")
    expect(
        page.get_by_text("accepted the mail. Check that it arrives at stella.okafor@provider.example.")
    ).to_be_visible()
    step = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Mail", exact=False))
    step.get_by_text("Details").press("Enter")
    expect(page.get_by_text("The mail server accepted a test mail on")).to_be_visible()


def test_an_administrator_confirms_the_recovery_key_by_keyboard(visit: Visit) -> None:
    contoso, ines = Tenant.objects.get(slug="contoso"), Person.objects.get(email__startswith="ines.vogel@")
    actor = actor_of(ines, door="pages", stepped_up_at=clock.now())
    key = operations.make_recovery_key(contoso.pk, actor=actor).key
    visitor = visit("ines.vogel")
    page = visitor.goto("/")
    page.get_by_role("link", name="Continue the set-up").press("Enter")
    step = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Recovery key"))
    step.get_by_role("link", name="Confirm that you have it").press("Enter")
    visitor.watch.expected |= {422}
    page.get_by_label("Last four characters").fill("0000")
    page.get_by_label("Last four characters").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("These are not the last four characters.")
    page.get_by_label("Last four characters").fill(key[-4:].lower())
    page.get_by_label("Last four characters").press("Enter")
    expect(page.get_by_text("The recovery key is confirmed.")).to_be_visible()
    expect(step).to_contain_text("somebody showed that it is stored.")
