"""Mails in a window as narrow as a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.messages.mails import email
from requests_app.models import OutboxMessage, Tenant
from requests_app.work import outbox
from tests.browser.conftest import Visit
from tests.browser.long_words import lengthen
from tests.imports.files import source_of


@pytest.fixture
def messages(visit: Visit) -> list[OutboxMessage]:
    """Return one message for a mail of each topic that there is, among them the one about an import."""
    lengthen()
    held = operations.start_import(source_of("contoso,,Basic,,,,,,,"), actor=as_("stella.okafor"))
    assert held is not None
    operations.run_import(held.pk, actor=Actor.system("import"))
    tenant = Tenant.objects.get(slug="contoso")
    operations.invite_person(tenant.pk, email="new@contoso.example", role="member", actor=as_("ines.vogel"))
    while outbox.drain():
        pass
    found: dict[str, OutboxMessage] = {}
    for message in OutboxMessage.objects.filter(lane="mail", topic__startswith="notify.").order_by("-created_at"):
        found.setdefault(message.topic, message)
    assert {"notify.staff_change", "notify.invitation", "notify.decide_as_customer"} <= set(found)
    return list(found.values())


def test_no_mail_is_wider_than_its_window(browser: Browser, messages: list[OutboxMessage]) -> None:
    """Names, addresses and hashes are words that no mail may let stick out."""
    page = browser.new_page()
    wide = []
    for message in messages:
        page.set_content(email.render(message, clock.now())["html"])
        for width in (360, 700):
            page.set_viewport_size({"width": width, "height": 800})
            found = page.evaluate("document.documentElement.scrollWidth")
            wide += [(message.topic, width, found)] if found > width else []
    page.close()
    assert wide == []
