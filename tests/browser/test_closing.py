"""Closing a window with one click, on the home page and on the page that a mail links to, by mouse and by keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.models import AccessRequest, Grant
from tests.browser.axe import check
from tests.browser.conftest import Visit


def opened() -> AccessRequest:
    row = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")
    return operations.approve_as_customer(row.pk, actor=as_("ada.keller"))


@pytest.mark.parametrize(("width", "javascript"), [(1280, True), (360, False)])
def test_one_press_on_the_first_page_closes_the_window_and_stays_there(
    visit: Visit, width: int, javascript: bool
) -> None:
    row = opened()
    ada = visit("ada.keller", width=width, javascript=javascript)
    ada.forget_proof()
    page = ada.goto("/")
    button = page.locator("main").get_by_role("button", name="Close now")
    if javascript:
        check(page)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("The window is closed.")
    expect(page.locator("main")).to_contain_text("can no longer read messages in 1 mailbox")
    assert page.url == ada.base + "/"
    assert Grant.objects.get(access_request=row).closed_by_id == as_("ada.keller").person_id
    page.go_back()
    expect(page.locator("main")).not_to_be_empty()
    assert AccessRequest.objects.get(pk=row.pk).state == "CLOSED"


def test_the_page_that_a_mail_leads_to_has_one_button_and_a_second_press_does_no_harm(visit: Visit) -> None:
    row = opened()
    ada = visit("ada.keller")
    ada.forget_proof()
    page = ada.goto(f"/access-requests/{row.pk}/revoke/")
    assert AccessRequest.objects.get(pk=row.pk).state == "OPEN"
    check(page)
    button = page.locator("main").get_by_role("button")
    expect(button).to_have_count(1)
    button.dblclick(no_wait_after=True)
    # The browser drops the answer to the first press. Only if that had already come, its sentence is shown, too.
    expect(page.locator("main")).to_contain_text(re.compile(r"The window is closed\.|This was saved already\."))
    expect(page.locator("main")).to_contain_text("closed the window early")
    assert AccessRequest.objects.get(pk=row.pk).state == "CLOSED"
