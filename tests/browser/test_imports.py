"""The page of an import in a real browser."""

from __future__ import annotations

from django.urls import reverse
from playwright.sync_api import expect

from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.domain.actors import Actor
from tests.browser.conftest import Visit
from tests.imports.files import NORTH, source_of


def test_the_page_of_an_import_updates_itself_until_its_end(visit: Visit) -> None:
    row = operations.start_import(source_of(NORTH), actor=as_("stella.okafor"))
    assert row is not None
    visitor = visit("stella.okafor")
    visitor.goto(reverse("admin:requests_app_import_change", args=[row.pk]))
    page = visitor.page
    expect(page.get_by_text("0 of 1")).to_be_visible()
    expect(page.get_by_role("progressbar", name="rows written")).to_be_visible()
    expect(page.get_by_text("Not known until the import is finished.")).to_be_visible()
    operations.run_import(row.pk, actor=Actor.system("import"))
    expect(page.get_by_text("1 of 1")).to_be_visible()
    # Nothing more can change, so the page stops asking.
    expect(page.locator("#record[hx-trigger]")).to_have_count(0)
