"""Forms that a browser sends twice: after a double click, a reload, the back button, or in a second tab."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from requests_app.models import AccessRequest, Decision, Person, TicketComment, Token
from tests.browser.axe import check
from tests.browser.conftest import Visit
from tests.browser.test_customer import waiting


def ticket_of(row: AccessRequest) -> str:
    return f"/tickets/{row.ticket_id}/"


@pytest.mark.parametrize("javascript", [True, False])
def test_a_double_click_says_it_once(visit: Visit, javascript: bool) -> None:
    ada = visit("ada.keller", javascript=javascript)
    page = ada.goto(ticket_of(waiting()))
    before = TicketComment.objects.count()
    page.locator("textarea").first.fill("We have seen it again this morning.")
    page.locator("main form", has=page.locator("textarea")).first.locator("button[type=submit]").first.dblclick()
    expect(page.locator("main")).to_contain_text("We have seen it again this morning.")
    page.wait_for_load_state("networkidle")
    assert TicketComment.objects.count() == before + 1


def test_a_reload_of_the_page_with_a_secret_makes_no_second_one(visit: Visit) -> None:
    ada = visit("ada.keller")
    page = ada.goto("/tokens/")
    page.locator("input[name=name]").fill("made once")
    page.locator("input[name=scopes]").first.check()
    page.locator("main form", has=page.locator("input[name=scopes]")).locator("button[type=submit]").click()
    secret = page.locator("[data-copy]").first.get_attribute("data-copy")
    assert secret
    page.reload()
    expect(page.locator("body")).to_contain_text("This was saved already. Nothing was done a second time.")
    check(page)
    assert secret not in page.content()
    account = Person.objects.get(email__startswith="ada.keller@")
    assert Token.objects.filter(account=account, name="made once").count() == 1


def test_the_way_back_and_a_second_tab_decide_nothing_again(visit: Visit) -> None:
    row, ada = waiting(), visit("ada.keller")
    page = ada.goto(f"/access-requests/{row.pk}/decide/deny/")
    second = page.context.new_page()
    second.goto(page.url)
    for each in (page, second):
        each.get_by_label("Your comment").fill("We found it ourselves.")
    ada.button("Deny this access request")
    expect(page.get_by_role("heading", level=1)).to_contain_text("recorded")
    page.go_back()
    again = page.get_by_role("button", name="Deny this access request")
    if again.count():
        page.get_by_label("Your comment").fill("We found it ourselves.")
        again.click()
    second.get_by_role("button", name="Deny this access request").click()
    second.wait_for_load_state("networkidle")
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1
