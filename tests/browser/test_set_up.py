"""The first staff member uses the set-up link in a real browser, and a second browser is refused."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from requests_app import operations
from requests_app.management import _logs
from requests_app.models import Person
from tests.browser.axe import check
from tests.browser.conftest import Visit


@pytest.mark.timeout(900)
def test_the_first_staff_member_makes_an_account_and_then_a_second_factor(visit: Visit) -> None:
    # The link works only while nobody is staff.
    Person.objects.filter(is_staff=True).update(is_staff=False)
    here = reverse("web:set_up", args=[operations.make_setup_link(actor=_logs.actor("setup-link"))])
    first, second = visit(), visit()
    first.goto(here)
    check(first.page, widths=(360, 1280))
    first.button("Begin")
    with second.expecting(404):
        second.goto(here)
        second.button("Begin")
        expect(second.page.locator("h1")).to_have_text("This set-up link does not work")
        check(second.page, widths=(360, 1280))
    page = first.page
    check(page, widths=(360, 1280))
    expect(page.get_by_label("Your time zone")).to_have_value(
        page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    )
    for label, text in (("Your name", "Nina Wolf"), ("Your email address", "nina@provider.example")):
        page.get_by_label(label).fill(text)
    with first.expecting(422):
        page.get_by_label("Your password").fill("short")
        first.button("Make my account")
        expect(page.get_by_role("alert")).to_be_visible()
        check(page, widths=(360, 1280))
    page.get_by_label("Your time zone").fill("Europe/Berlin")
    page.get_by_label("Your password").fill("a long enough first password 7")
    first.button("Make my account")
    expect(page.locator("h1")).to_have_text("Set up your second factor")
    expect(page.locator("main")).to_contain_text("Your account is ready.")
    expect(page.get_by_role("button", name="Create the passkey")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value(re.compile(r"^Chrome on \w+$"))
    check(page, widths=(360, 1280))
    first.link("Use an authenticator app instead")
    expect(page.locator("h1")).to_have_text("Set up an authenticator app")
    check(page, widths=(360, 1280))
    first.link("Use a passkey instead")
    expect(page.locator("h1")).to_have_text("Set up your second factor")
    assert Person.objects.get(is_staff=True).email == "nina@provider.example"
