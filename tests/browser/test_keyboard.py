"""One journey with the keyboard only, and one without scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, expect

from lockbox_site.demo.world import as_, resource
from requests_app import operations
from requests_app.models import AccessRequest, Grant
from tests.browser.conftest import Visit

#: More than the number of stops on the longest page of the journey.
STOPS = 120
_FOCUSED = """
() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const named = element.labels?.[0]?.textContent || element.getAttribute("aria-label") || element.textContent;
  return {
    words: named.trim().replace(/\\s+/g, " "),
    tag: element.tagName.toLowerCase(),
    outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    inView: box.bottom > 0 && box.top < innerHeight && box.width > 1 && box.height > 1,
  };
}
"""


@dataclass
class Keyboard:
    """Moves the focus with the Tab key. At each stop, the focus must be visible on the screen."""

    page: Page

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def tab(self) -> dict[str, Any] | None:
        """Press Tab, and return the element that has the focus. Return None at the end of the page."""
        self.press("Tab")
        focused: dict[str, Any] | None = self.page.evaluate(_FOCUSED)
        if focused is not None:
            assert focused["outline"] >= 2, focused
            assert focused["inView"], focused
        return focused

    def to(self, words: str, tag: str = "") -> None:
        """Press Tab until the element with these words has the focus."""
        passed = []
        for _stop in range(STOPS):
            focused = self.tab()
            if focused and focused["words"].startswith(words) and tag in ("", focused["tag"]):
                return
            passed.append(focused and focused["words"])
        raise AssertionError(f"{words!r} is not among {passed}")

    def type(self, words: str) -> None:
        self.page.keyboard.type(words)


def test_an_approval_with_the_keyboard_alone(visit: Visit) -> None:
    row = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")
    ada = visit("ada.keller")
    page, keys = ada.page, Keyboard(ada.page)
    page.context.clear_cookies()
    ada.goto("/accounts/login/")
    keys.to("Email")
    keys.type(ada.email)
    keys.to("Password", "input")
    keys.type(ada.password)
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the code")
    keys.to("Code")
    keys.type(ada.code())
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 access request waits for your answer")
    ada.forget_proof()
    first = keys.tab()
    assert first is not None
    assert first["words"] == "Skip to the content"
    keys.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    keys.to("Review")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("asks to read messages in 1 mailbox")
    keys.to("Approve 2 hours of read access to 1 mailbox")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your approval")
    keys.to("Your comment")
    keys.type("Go ahead.")
    keys.to("Your password")
    keys.type(ada.password)
    keys.to("Code", "input")
    keys.type(ada.code())
    keys.to("Approve 2 hours")
    keys.press("Space")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your approval is recorded")
    keys.to("See the opened items")
    keys.press("Enter")
    expect(page.get_by_role("log")).to_be_visible()
    keys.to("Close now")
    keys.press("Space")
    expect(page.locator("main")).to_contain_text("The window is closed.")
    assert AccessRequest.objects.get(pk=row.pk).state == "CLOSED"


def test_menus_open_and_close_with_the_keyboard(visit: Visit) -> None:
    ada = visit("ada.keller")
    page, keys = ada.page, Keyboard(ada.page)
    ada.goto("/")
    keys.to("Ada Keller")
    keys.press("Enter")
    keys.to("Dark", "button")
    keys.press("Space")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("Escape")
    expect(page.locator(".menu-panel")).to_be_hidden()
    focused = page.evaluate(_FOCUSED)
    assert focused["words"].startswith("Ada Keller")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_focus_reaches_every_link_and_leaves_every_page(visit: Visit) -> None:
    """Pressing Tab again and again leads through all links and controls to the end of the page."""
    row = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")
    ada = visit("ada.keller")
    keys = Keyboard(ada.page)
    for path in ("/", f"/access-requests/{row.pk}/", f"/access-requests/{row.pk}/decide/deny/", "/tickets/new/"):
        ada.goto(path)
        wanted = ada.page.locator(
            "a[href]:visible, button:visible, summary:visible, textarea:visible, select:visible,"
            " input:not([type=hidden], [type=radio], [tabindex='-1']):visible"
        ).count()
        reached = 0
        while keys.tab() is not None:
            reached += 1
            assert reached <= STOPS, path
        assert reached >= wanted, path


def test_the_main_job_without_a_script(visit: Visit) -> None:
    row = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")
    ada = visit("ada.keller", form=True, javascript=False, width=360)
    page = ada.page
    ada.link("Review")
    ada.link("Approve 2 hours of read access to 1 mailbox")
    # The sign-in a moment ago is recent enough, so the page asks for no password.
    expect(page.get_by_label("Your password")).to_have_count(0)
    ada.button("Approve 2 hours of read access to 1 mailbox")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your approval is recorded")
    priya = visit("priya.nair", javascript=False)
    priya.goto(f"/access-requests/{row.pk}/")
    priya.link("Open the content")
    priya.link("sales@contoso.example")
    link = priya.page.locator("[data-reader-link]").first
    title = link.locator(".reader-link-title").inner_text()
    link.click()
    expect(priya.page.get_by_role("heading", name=title)).to_be_visible()
    ada.link("See the opened items")
    expect(page.locator("main")).to_contain_text("opened the message")
    expect(page.get_by_text("Reload the page to see what is new.")).to_be_visible()
    expect(page.get_by_text("This list is updated")).to_be_hidden()
    operations.content.list_items(
        Grant.objects.get(access_request=row).pk, resource("contoso", "sales").pk, actor=as_("priya.nair")
    )
    page.reload()
    expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(3)
    ada.button("Close now")
    expect(page.locator("main")).to_contain_text("The window is closed.")
    with priya.expecting(403):
        priya.page.reload()
        expect(priya.page.locator("main")).to_contain_text("Ada Keller closed the window early.")


def test_the_theme_and_the_menu_without_a_script(visit: Visit) -> None:
    ada = visit("ada.keller", javascript=False)
    page = ada.page
    ada.goto("/tickets/")
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Dark").click()
    expect(page).to_have_url(f"{ada.base}/tickets/")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
