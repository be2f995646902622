"""A real browser on its way from a window into a web tool behind the real nginx."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from lockbox_site.demo import people
from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import ContentAccess, GateProxy, Grant, Service
from tests.browser.test_way_in import browser_of, entered, opened_from
from tests.browser.test_way_in import quillo as quillo
from tests.browser.test_way_in import window as window
from tests.cast import PROXY_SECRET
from tests.proxies.stand import nginx, tool

RULES = "view GET /support/{tenant}/{resource}/**\nview GET /support/{tenant}/{resource}"


@pytest.fixture
def address(live_server: LiveServer, window: Grant, tmp_path: Path, settings: object) -> Iterator[str]:
    """Put a web tool behind nginx in the place of the application. Return the address of nginx."""
    settings.BASE_URL = live_server.url  # type: ignore[attr-defined]  # the fixture of pytest-django
    lockbox = f"localhost:{live_server.thread.port}"
    with tool() as found, nginx(tmp_path, lockbox, found.address, host="127.0.0.1") as port:
        url = f"http://127.0.0.1:{port}"
        link = f"{url}/support/{{tenant}}/{{external_id}}"
        Service.objects.filter(key=people.QUILLO).update(link_template=link, gate_rules=RULES)
        GateProxy.objects.create(
            service=Service.objects.get(key=people.QUILLO),
            name="nginx",
            secret_hash=sha256(PROXY_SECRET.encode()).hexdigest(),
            added_at=clock.now(),
        )
        yield url


def test_one_click_leads_in_and_a_revocation_ends_it(
    browser: Browser, live_server: LiveServer, window: Grant, address: str
) -> None:
    base, place = live_server.url, f"{address}/support/contoso/ws-1041"
    with browser_of(browser, base, "priya.nair") as context:
        page = context.new_page()
        # Without a session, nginx leads to this product.
        page.goto(place)
        expect(page).to_have_url(f"{base}/")
        page.goto(f"{base}/windows/{window.pk}/")
        there = opened_from(context, page)
        expect(there).to_have_url(place)
        expect(there.locator("body")).to_contain_text('"path": "/support/contoso/ws-1041"')
        expect(there.locator("body")).not_to_contain_text("__Host-lockbox")
        assert entered(window) == ["grant.entered"]
        assert ContentAccess.objects.filter(grant=window).latest("at").item_ref == "GET /support/contoso/ws-1041"
        assert there.request.get(f"{address}/.lockbox/status").json()["open"] is True
        operations.revoke(window.access_request_id, actor=as_("ada.keller"))
        there.reload()
        expect(there.locator("body")).to_contain_text("Your window is closed, or does not allow this.")
        assert there.request.get(f"{address}/.lockbox/status").json() == {"open": False}
