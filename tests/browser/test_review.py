"""The page where people decide: what they must read is on the first screen, and comes before the answer."""

from __future__ import annotations

import datetime as dt

import pytest
from playwright.sync_api import Locator, Page, expect

from lockbox_site.demo.world import as_, resource
from requests_app import operations
from requests_app.models import AccessRequest, Resource, Service, Tenant
from tests.browser.axe import check
from tests.browser.conftest import Visit

LONG = "The court demands what its order names, and nothing else will do. " * 12
SCREENS = [(360, 640), (1280, 720)]


def demanded() -> AccessRequest:
    """Return an access request after a law-enforcement demand, with texts of 800 characters."""
    mailbox = resource("contoso", "sales")
    demand = operations.Demand(
        authority="Landgericht Hamburg", instrument="Seizure order", reference="3 Qs 114/26", date=dt.date(2026, 1, 20)
    )
    ask = operations.Ask(
        resource_ids=[mailbox.pk],
        level="read",
        window_for=3600,
        tried=LONG,
        justification=LONG,
        demand=demand,
        tenant_id=mailbox.tenant_id,
        service_id=mailbox.service_id,
    )
    return operations.submit(ask, actor=as_("priya.nair"))


def top(part: Locator) -> float:
    box = part.bounding_box()
    assert box is not None
    return box["y"]


def bottom(part: Locator) -> float:
    box = part.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


def is_on_first_screen(page: Page, *, width: int, height: int) -> None:
    """Assert that the reason, the mark and the authority are in sight, and that a phone's foot covers none of them."""
    main, foot = page.locator("main"), page.locator(".review-foot")
    free = height
    if width < 960:
        assert height - top(foot) <= 0.4 * height
        free = int(top(foot))
    reason, mark = main.locator("blockquote").first, main.locator(".badge-demand")
    for part in (reason, mark, main.get_by_text("Landgericht Hamburg").first):
        assert 0 < top(part) < bottom(part) <= free, part
    for name in ("Approve", "Deny"):
        assert bottom(foot.get_by_role("link", name=name)) <= height


def acting() -> AccessRequest:
    """Return an access request with which the engineer could change things, with texts of 800 characters."""
    service, contoso = Service.objects.get(key="quillo"), Tenant.objects.get(slug="contoso")
    Service.objects.filter(pk=service.pk).update(levels="read\nact_as | view only: nothing can be changed")
    operations.allow_level(contoso.pk, level="act_as", actor=as_("ines.vogel", fresh=True))
    report = operations.Report(
        tenant_id=contoso.pk, service_id=service.pk, title="Pages", body="They lose their order."
    )
    ticket = operations.open_ticket(report, actor=as_("ines.vogel"))
    workspace = Resource.objects.real().filter(tenant=contoso, service=service).order_by("name")[0]
    ask = operations.Ask(
        ticket_id=ticket.pk,
        resource_ids=[workspace.pk],
        level="act_as",
        window_for=3600,
        tried=LONG,
        justification=LONG,
    )
    row = operations.submit(ask, actor=as_("priya.nair"))
    return operations.approve_as_provider(row.pk, actor=as_("pat.doyle", fresh=True), note="No other way.")


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_the_mark_that_things_can_be_changed_is_on_the_first_screen(visit: Visit, width: int, height: int) -> None:
    row = acting()
    ada = visit("ada.keller", width=width)
    ada.page.set_viewport_size({"width": width, "height": height})
    page = ada.goto(f"/access-requests/{row.pk}/")
    mark, foot = page.locator("main .badge-changes").first, page.locator(".review-foot")
    free = int(top(foot)) if width < 960 else height
    expect(mark).to_have_text("Can change things")
    for part in (mark, page.get_by_text("act as users of 1 workspace").first):
        assert 0 < top(part) < bottom(part) <= free
    answer = foot.get_by_role("link", name="in which the engineer can change things in 1 workspace")
    assert bottom(answer) <= height
    if width < 960:
        assert height - top(foot) <= 0.4 * height
    expect(page.get_by_text("can change, send and delete things in the name of users of Contoso")).to_be_visible()
    check(page)
    answer.click()
    expect(page.locator("main .badge-changes").first).to_be_visible()
    assert bottom(page.locator(".changes")) < top(page.get_by_label("Your comment"))
    check(page)


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_the_reason_and_the_demand_are_on_the_first_screen(visit: Visit, width: int, height: int) -> None:
    row = demanded()
    for login in ("pat.doyle", "ada.keller"):
        reader = visit(login, width=width, javascript=False)
        reader.page.set_viewport_size({"width": width, "height": height})
        page = reader.goto(f"/access-requests/{row.pk}/")
        is_on_first_screen(page, width=width, height=height)
        page = reader.goto(f"/access-requests/{row.pk}/decide/approve/")
        mark, reason = page.locator("main .badge-demand"), page.locator("main blockquote")
        for part in (mark, reason):
            assert bottom(part) < top(page.get_by_label("Your comment"))
        expect(reason).to_contain_text("The court demands what its order names")
        if login == "pat.doyle":
            operations.approve_as_provider(row.pk, actor=as_("pat.doyle", fresh=True))


def test_the_keyboard_and_a_screen_reader_get_the_facts_before_the_answer(visit: Visit) -> None:
    row = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")
    ada = visit("ada.keller", width=360)
    page = ada.goto(f"/access-requests/{row.pk}/")
    places = page.evaluate(
        """() => {
          const all = [...document.querySelectorAll("main *")];
          return ["blockquote", ".scope", ".review-facts", ".deadline", ".button-decide"]
            .map((name) => all.indexOf(document.querySelector(`main ${name}`)));
        }"""
    )
    assert places == sorted(places)
    assert -1 not in places
    check(page)


def test_a_mute_leaves_no_approve_button_and_room_to_read(visit: Visit) -> None:
    row = demanded()
    operations.deny_all_and_mute(row.tenant_id, engineer_id=None, hours=1, actor=as_("ada.keller", fresh=True))
    pat = visit("pat.doyle", width=360)
    pat.page.set_viewport_size({"width": 360, "height": 640})
    page = pat.goto(f"/access-requests/{row.pk}/")
    foot = page.locator(".review-foot")
    expect(page.get_by_text("You can’t approve this access request now")).to_be_visible()
    expect(foot.get_by_role("link")).to_have_text(["Deny"])
    assert 640 - top(foot) <= 0.4 * 640
    check(page)
