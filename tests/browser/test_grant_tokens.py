"""The engineer gets a grant token for a program, on the page of a window of an application that has a guard."""

from __future__ import annotations

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.models import Grant, Person, Resource, Ticket
from requests_app.models.people import actor_of
from requests_app.models.token_keys import verified
from tests.browser.axe import WIDTHS, faults
from tests.browser.conftest import Visit
from tests.cast import JUSTIFICATION, TRIED


def _as(login: str) -> Actor:
    person = Person.objects.get(email__startswith=f"{login}@")
    return actor_of(person, door="pages", stepped_up_at=clock.now())


def _window() -> Grant:
    """Open a window on the first resource of the demo world's external service, whose application has a guard."""
    resource = Resource.objects.filter(service__key="quillo").order_by("name").select_related("tenant")[0]
    member = Person.objects.filter(memberships__tenant=resource.tenant, memberships__role="member")[0]
    report = operations.Report(
        tenant_id=resource.tenant_id, service_id=resource.service_id, title="Notes are missing", body=JUSTIFICATION
    )
    by = actor_of(member, door="pages", stepped_up_at=clock.now())
    ticket: Ticket = operations.open_ticket(report, actor=by)
    ask = operations.Ask(
        ticket_id=ticket.pk,
        resource_ids=[resource.pk],
        level="read",
        window_for=1800,
        tried=TRIED,
        justification=JUSTIFICATION,
    )
    row = operations.submit(ask, actor=_as("priya.nair"))
    approver = Person.objects.filter(queue_assignments__role="provider_approver")
    approver = approver.filter(queue_assignments__service=resource.service_id).order_by("pk")
    operations.approve_as_provider(
        row.pk, note="No other way.", actor=actor_of(approver[0], door="pages", stepped_up_at=clock.now())
    )
    customer = Person.objects.get_queryset().approvers_of(resource.tenant_id).order_by("pk")[0]
    operations.approve_as_customer(row.pk, actor=actor_of(customer, door="pages", stepped_up_at=clock.now()))
    return Grant.objects.get(access_request=row)


def test_the_engineer_copies_a_token_and_sees_how_long_it_works(visit: Visit) -> None:
    grant = _window()
    priya = visit("priya.nair")
    priya.goto(f"/windows/{grant.pk}/")
    assert faults(priya.page, read=WIDTHS) == []
    priya.page.get_by_role("button", name="Get a grant token").click()
    priya.page.get_by_text("This token is shown now and never again.").wait_for()
    assert faults(priya.page, read=WIDTHS) == []
    token = priya.page.locator("[data-copy^=eyJ]").get_attribute("data-copy")
    # A long token does not push the button out of sight, and can be read.
    value = priya.page.get_by_text(str(token))
    assert not value.is_visible()
    priya.page.get_by_text("Show it").click()
    value.wait_for()
    assert faults(priya.page, read=WIDTHS) == []
    claims = verified(token or "", typ="at+jwt")
    assert claims is not None
    assert claims["authorization_details"][0]["grant_id"] == str(grant.pk)
    assert "min" in priya.page.locator(".deadline-left").inner_text()
    # Loading the address again shows the window, and no token.
    priya.page.goto(priya.page.url)
    assert priya.page.url.endswith(f"/windows/{grant.pk}/")
    assert priya.page.locator("[data-copy^=eyJ]").count() == 0
