"""The work of the customer's administrator and auditor."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from audit_app.models import AuditEntry
from requests_app import tasks
from requests_app.domain import link_secrets
from requests_app.models import Invitation, NotificationAddress, Person, Tenant
from tests.browser.axe import check
from tests.browser.conftest import Visit


def contoso() -> Tenant:
    return Tenant.objects.get(slug="contoso")


def test_an_administrator_switches_lockbox_off_and_on(visit: Visit) -> None:
    ines = visit("ines.vogel", form=True)
    ines.confirm()
    page = ines.page
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Lockbox").click()
    ines.link("Switch Lockbox off")
    expect(page.locator("main")).to_contain_text("still needs your approval")
    check(page, widths=(360, 1280))
    ines.button("Switch Lockbox off")
    expect(page.locator("main")).to_contain_text("Lockbox is off.")
    assert not contoso().lockbox_on
    check(page)
    ines.link("Switch Lockbox on")
    ines.button("Switch Lockbox on")
    expect(page.locator("main")).to_contain_text("Lockbox is on.")
    assert contoso().lockbox_on


def test_an_administrator_brings_people_and_addresses_in(visit: Visit) -> None:
    ines = visit("ines.vogel")
    page = ines.page
    ines.goto(f"/tenant/{contoso().pk}/people/")
    with ines.expecting(422):
        page.get_by_label("Email address").fill("nobody")
        ines.button("Send the invitation")
        expect(page.get_by_role("alert")).to_be_visible()
        check(page, widths=(360, 1280))
    page.get_by_label("Email address").fill("nina.wolf@contoso.example")
    page.get_by_role("radio", name="Member").check()
    ines.button("Send the invitation")
    expect(page.locator("main")).to_contain_text("A mail with a link goes to nina.wolf@contoso.example now.")
    check(page, widths=(360, 1280))
    ines.button("Send again nina.wolf@contoso.example")
    expect(page.locator("main")).to_contain_text("A new mail goes to nina.wolf@contoso.example.")
    row = Invitation.objects.get(email="nina.wolf@contoso.example")
    nina = visit()
    nina.goto(f"/invitation/{link_secrets.of(row.pk, row.sends)}/")
    check(nina.page, widths=(360, 1280))
    nina.page.get_by_label("Your name").fill("Nina Wolf")
    nina.page.get_by_label("Your password").fill("a long enough first password 7")
    nina.button("Accept and create my account")
    expect(nina.page.locator("main")).to_contain_text("Your account is ready.")
    ines.goto(f"/tenant/{contoso().pk}/people/{Person.objects.get(email='nina.wolf@contoso.example').pk}/")
    ines.button("Give Auditor")
    expect(page.locator("main")).to_contain_text("Nina Wolf has the role “Auditor” now.")
    check(page, widths=(360, 1280))
    ines.goto(f"/tenant/{contoso().pk}/addresses/")
    page.get_by_label("Email address").fill("soc@contoso.example")
    ines.button("Add this address")
    expect(page.locator("main")).to_contain_text("soc@contoso.example gets mails from now on.")
    assert NotificationAddress.objects.filter(tenant=contoso(), email="soc@contoso.example").exists()
    ines.button("Remove soc@contoso.example")
    expect(page.locator("main")).to_contain_text("soc@contoso.example gets no more mails.")
    check(page, widths=(360, 1280))


@pytest.mark.timeout(900)
def test_an_auditor_reads_checks_and_takes_the_log(visit: Visit) -> None:
    otto = visit("otto.brandt", form=True)
    page = otto.page
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Log").click()
    check(page)
    expect(page.locator("main")).to_contain_text("Nobody has checked the log yet.")
    otto.button("Verify now the whole log")
    expect(page.locator("main")).to_contain_text("The check begins in a moment.")
    check(page, widths=(360, 1280))
    tasks.check_logs()
    # The page loads the state every two seconds.
    expect(page.locator("main")).to_contain_text("were checked, and none is missing")
    check(page, widths=(360, 1280))
    page.get_by_label("Person").fill("Priya")
    otto.button("Show")
    expect(page).to_have_url(re.compile("person=Priya"))
    rows = page.locator(".log-table tbody tr")
    expect(rows.first).to_contain_text("Priya Nair")
    rows.first.locator("summary").click()
    entry = rows.first.locator("pre")
    expect(entry).to_be_visible()
    assert json.loads(entry.inner_text())["actor"]["name"] == "Priya Nair"
    check(page, widths=(360, 1280))
    with page.expect_download() as download:
        otto.button("Export as JSON Lines")
    lines = download.value.path().read_text().splitlines()
    assert lines
    assert all("Priya" in line for line in lines)
    assert AuditEntry.objects.filter(tenant_id=contoso().pk).order_by("-seq")[0].event == "log.exported"


def test_an_administrator_rules_a_level_out_and_allows_it(visit: Visit) -> None:
    ines = visit("ines.vogel", form=True)
    ines.confirm()
    page = ines.page
    ines.goto(f"/tenant/{contoso().pk}/")
    ines.link("Levels of access")
    check(page, widths=(360, 1280))
    ines.button("Rule out view and download")
    expect(page.locator("main")).to_contain_text("What was asked or opened with it has ended.")
    assert contoso().ruled_out == "read"
    ines.button("Allow view and download")
    expect(page.locator("main")).to_contain_text("Engineers can ask for this level now.")
    assert contoso().ruled_out == ""
