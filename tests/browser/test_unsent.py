"""A form that was sent after its session had ended is filled in again after the sign-in, in the same tab."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, expect

from requests_app.models import Person, TicketComment
from tests.browser.axe import check
from tests.browser.conftest import Visit
from tests.browser.test_customer import waiting
from tests.browser.visiting import Visitor, give_session

TEXT = "We have seen it again this morning.\nOnly in the shared mailbox."
SENTENCE = "Nothing was sent, because the session in which you opened the form had ended."


def stored_in(page: Page) -> Any:
    return json.loads(page.evaluate("sessionStorage.getItem('lockbox-unsent-form')") or "null")


def sign_out_in_another_tab(visitor: Visitor) -> None:
    other = visitor.page.context.new_page()
    other.goto(f"{visitor.base}/accounts/logout/")
    other.locator("main").get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    other.close()


def fill_in_sign_in(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_label("Email").fill(visitor.email)
    page.get_by_label("Password", exact=True).fill(visitor.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    if visitor.secret:
        page.get_by_label("Code").fill(visitor.code())
        page.get_by_role("button", name="Sign in", exact=True).click()


def test_the_text_is_there_after_the_sign_in_and_is_gone_when_it_was_sent(visit: Visit) -> None:
    ada, path = visit("ada.keller"), f"/tickets/{waiting().ticket_id}/"
    page = ada.goto(path)
    before = TicketComment.objects.count()
    page.locator("textarea").first.fill(TEXT)
    assert stored_in(page) is None, "only what was sent is stored"
    sign_out_in_another_tab(ada)
    ada.button("Add the comment")
    expect(page.get_by_role("alert")).to_contain_text("You were signed out before you sent the form.")
    check(page, widths=(360, 1280))
    fill_in_sign_in(ada)
    expect(page).to_have_url(f"{ada.base}{path}")
    expect(page.locator("main")).to_contain_text(SENTENCE)
    expect(page.locator("textarea").first).to_have_value(TEXT)
    assert (stored_in(page), TicketComment.objects.count()) == (None, before)
    check(page, widths=(360, 1280))
    ada.button("Add the comment")
    expect(page.locator("main")).to_contain_text("Only in the shared mailbox.")
    assert TicketComment.objects.count() == before + 1
    expect(page.locator("textarea").first).to_have_value("")
    assert stored_in(page) is None


def test_another_person_in_the_same_tab_does_not_get_the_text(visit: Visit) -> None:
    ada, path = visit("ada.keller"), f"/tickets/{waiting().ticket_id}/"
    page = ada.goto(path)
    page.locator("textarea").first.fill(TEXT)
    sign_out_in_another_tab(ada)
    ada.button("Add the comment")
    expect(page.get_by_role("alert")).to_be_visible()
    assert stored_in(page)["isUnsent"]
    give_session(page.context, ada.base, Person.objects.get(email__startswith="alan.fischer@"))
    ada.goto(path)
    expect(page.locator("textarea").first).to_have_value("")
    assert stored_in(page) is None


def test_the_text_is_gone_after_half_an_hour_whatever_page_the_tab_shows(visit: Visit) -> None:
    """The page of a refusal, for example, does not know who is signed in, and may not say that the form was refused."""
    ada = visit("ada.keller")
    page = ada.page
    page.context.clear_cookies()
    page.clock.install()
    page.goto(f"{ada.base}/accounts/login/")
    sent = "{person: 'x', path: '/', place: 0, fields: [['note', 'Text']], at: Date.now(), isUnsent: false}"
    page.evaluate(f"sessionStorage.setItem('lockbox-unsent-form', JSON.stringify({sent}))")
    page.reload()
    page.clock.fast_forward("29:00")
    assert stored_in(page)["fields"] == [["note", "Text"]]
    page.clock.fast_forward("02:00")
    assert stored_in(page) is None


def test_the_text_is_there_after_a_sign_in_in_another_tab(visit: Visit) -> None:
    """The sign-in changes the token of all forms, so the form is refused."""
    ada, path = visit("ada.keller"), f"/tickets/{waiting().ticket_id}/"
    page = ada.goto(path)
    page.locator("textarea").first.fill(TEXT)
    sign_out_in_another_tab(ada)
    other = Visitor(page.context.new_page(), ada.base, ada.email, ada.password, ada.watch, ada.secret)
    other.sign_in()
    with ada.expecting(403):
        ada.button("Add the comment")
        ada.link("Go to the page with the form")
    expect(page).to_have_url(f"{ada.base}{path}")
    expect(page.locator("main")).to_contain_text(SENTENCE)
    expect(page.locator("textarea").first).to_have_value(TEXT)


def test_a_decision_has_its_comment_again_and_its_password_is_never_stored(visit: Visit) -> None:
    ada = visit("ada.keller")
    page = ada.goto(f"/access-requests/{waiting().pk}/decide/approve/")
    ada.forget_proof()
    page.reload()
    page.get_by_label("Your comment").fill("Only this mailbox, please.")
    page.get_by_label("Your password").fill("my-own-secret-words")
    page.get_by_label("Code").fill("123456")
    sign_out_in_another_tab(ada)
    page.locator("main form button[type=submit]").last.click()
    expect(page.get_by_role("alert")).to_be_visible()
    names = {name for name, _value in stored_in(page)["fields"]}
    secret = {"password", "code", "csrfmiddlewaretoken", "once", "manifest"}
    assert ("comment" in names, names & secret) == (
        True,
        set(),
    )
    assert "my-own-secret-words" not in page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    fill_in_sign_in(ada)
    expect(page.get_by_label("Your comment")).to_have_value("Only this mailbox, please.")
    assert stored_in(page) is None
