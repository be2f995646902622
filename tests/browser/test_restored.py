"""The way back after a restore from a backup: two people check what came back, and confirm it."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from playwright.sync_api import expect

from requests_app import operations
from requests_app.domain import clock
from requests_app.models import RestoredTenant, Tenant
from tests.browser.axe import faults
from tests.browser.conftest import Visit


def test_two_people_confirm_what_was_restored_without_javascript_too(visit: Visit) -> None:
    at, contoso = clock.now(), Tenant.objects.get(slug="contoso")
    operations.restored(backup_id=UUID(int=41), taken_at=at - dt.timedelta(hours=20), at=at)
    for login, javascript in (("ines.vogel", True), ("ada.keller", False)):
        visitor = visit(login, form=True, javascript=javascript, width=360)
        visitor.page.goto(f"{visitor.base}/tenant/{contoso.pk}/restored/")
        expect(visitor.page.get_by_text("Lockbox is on")).to_be_visible()
        assert not javascript or faults(visitor.page) == []
        visitor.button("Confirm what was restored")
        expect(visitor.page.get_by_text("You confirmed what was restored.")).to_be_visible()
    assert RestoredTenant.objects.get(tenant=contoso).confirmed_at is not None
