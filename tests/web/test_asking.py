"""Asking for access: the form, the sentence that the customer will read, and the submission."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.models import AccessRequest, Resource, Ticket
from requests_app.words import sentences
from tests.cast import JUSTIFICATION, TRIED, Cast, events_in, events_of
from tests.offenders import collected

pytestmark = pytest.mark.django_db

DEMAND = "/access-requests/legal-demand/"


@pytest.fixture
def as_(cast: Cast) -> Callable[[str], Client]:
    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(cast.people[name])
        return client

    return signed_in


@pytest.fixture
def ticket(cast: Cast) -> Ticket:
    return cast.ticket()


def _ask(ticket: Ticket) -> str:
    return reverse("web:ask", args=[ticket.pk])


def _answers(cast: Cast, step: str, **fields: Any) -> dict[str, Any]:
    return {
        "tried": TRIED,
        "justification": JUSTIFICATION,
        "resource_ids": [cast.resource().pk],
        "level": "read",
        "window_for": "7200",
        "step": step,
        **fields,
    }


def _text(response: Any) -> str:
    return str(response.content.decode())


def _nothing_happened() -> None:
    assert not AccessRequest.objects.exists()
    assert not AuditEntry.objects.filter(event="access_request.submitted").exists()


# --- The form ------------------------------------------------------------------------------------------------


def test_the_form_offers_this_tenants_resources_of_this_service(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket
) -> None:
    page = _text(as_("priya").get(_ask(ticket)))
    assert "finance@contoso.example" in page
    assert "sales@contoso.example" in page
    assert "legal documents" not in page
    assert "fabrikam" not in page


def test_the_cap_is_shown_before_it_applies(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    operations.set_window_cap(cast.contoso.pk, seconds=3600, actor=cast.as_("ines"))
    page = _text(as_("priya").get(_ask(ticket)))
    assert "Contoso allows at most 1 hour." in page
    assert 'value="3600"' in page
    assert 'value="7200"' not in page
    response = as_("priya").post(_ask(ticket), _answers(cast, "submit"))
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["window_for"]
    _nothing_happened()


@pytest.mark.parametrize("tenant", ["contoso", "northwind"])
def test_the_form_says_beforehand_whether_the_customer_is_asked(
    cast: Cast, as_: Callable[[str], Client], tenant: str
) -> None:
    customer = {"contoso": "mia", "northwind": "nora"}[tenant]
    page = _text(as_("priya").get(_ask(cast.ticket(tenant, customer))))
    assert ("is asked.</strong> The approvers of" in page) == (tenant == "contoso")
    assert ("because Lockbox is off for" in page) == (tenant == "northwind")


def test_an_uncovered_service_is_marked(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    cast.exchange.is_covered = False
    cast.exchange.save()
    assert "Lockbox does not cover" in _text(as_("priya").get(_ask(ticket)))


def test_many_resources_are_searched_and_what_is_ticked_stays(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket
) -> None:
    for n in range(60):
        Resource.objects.create(
            tenant=cast.contoso, service=cast.exchange, kind="mailbox", name=f"box-{n:02}", locator=f"contoso/{n}"
        )
    first = _text(as_("priya").get(_ask(ticket)))
    assert "Not all resources are shown" in first
    assert "box-59" not in first
    found = as_("priya").post(_ask(ticket), _answers(cast, "find", find="box-59", tried=""))
    page = _text(found)
    assert found.status_code == 200
    assert "box-59" in page
    assert "box-01" not in page
    ticked = f'value="{cast.resource().pk}"'
    assert "checked" in page[page.index(ticked) : page.index(">", page.index(ticked))]
    assert "field-errors" not in page
    _nothing_happened()


def test_the_form_costs_the_same_with_twenty_resources_as_with_two(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket
) -> None:
    client, counts = as_("priya"), []
    for more in (0, 18):
        for n in range(more):
            Resource.objects.create(
                tenant=cast.contoso, service=cast.exchange, kind="mailbox", name=f"box-{n}", locator=f"contoso/{n}"
            )
        client.get(_ask(ticket))
        with CaptureQueriesContext(connection) as queries:
            client.get(_ask(ticket))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_wrong_value_is_shown_beside_its_field(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    wrong_fields: list[tuple[dict[str, Any], str]] = [
        ({"tried": " "}, "tried"),
        ({"justification": "too short"}, "justification"),
        ({"justification": "x" * 4001}, "justification"),
        ({"level": "write"}, "level"),
        ({"level": ""}, "level"),
        ({"window_for": "-1"}, "window_for"),
        ({"window_for": "NaN"}, "window_for"),
        ({"window_for": "1000000000"}, "window_for"),
        ({"resource_ids": []}, "resource_ids"),
        ({"resource_ids": ["nonsense"]}, "resource_ids"),
        ({"resource_ids": ["00000000-0000-0000-0000-000000000000"]}, "resource_ids"),
    ]
    priya = as_("priya")
    with collected() as case:
        for step in ["preview", "submit"]:
            for fields, wrong in wrong_fields:
                with case(step, fields, wrong):
                    response = priya.post(_ask(ticket), _answers(cast, step, **fields))
                    assert response.status_code == 422
                    assert list(response.context["form"].errors) == [wrong]
                    _nothing_happened()


def test_another_tenants_resource_is_refused(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    foreign = cast.resource("fabrikam").pk
    for step in ("find", "preview", "submit"):
        response = as_("priya").post(_ask(ticket), _answers(cast, step, resource_ids=[foreign]))
        assert "fabrikam" not in _text(response)
    _nothing_happened()


def test_more_than_twenty_resources_are_too_many(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    many = [
        Resource.objects.create(
            tenant=cast.contoso, service=cast.exchange, kind="mailbox", name=f"box-{n}", locator=f"contoso/{n}"
        ).pk
        for n in range(21)
    ]
    response = as_("priya").post(_ask(ticket), _answers(cast, "preview", resource_ids=many))
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["resource_ids"]


def test_an_unknown_step_is_refused(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    assert as_("priya").post(_ask(ticket), _answers(cast, "approve")).status_code == 400
    _nothing_happened()


# --- Preview and submission ----------------------------------------------------------------------------------


def test_the_preview_shows_exactly_the_sentence_that_the_customer_reads(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket
) -> None:
    preview = as_("priya").post(_ask(ticket), _answers(cast, "preview"))
    assert preview.status_code == 200
    _nothing_happened()
    as_("priya").post(_ask(ticket), _answers(cast, "submit"))
    assert preview.context["sentence"] == sentences.asks(AccessRequest.objects.get())


def test_the_submission_matches_the_preview(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    client = as_("priya")
    preview = client.post(
        _ask(ticket), _answers(cast, "preview", level="names", justification=f"{JUSTIFICATION}\nMore.")
    )
    form = preview.context["form"]
    hidden = {name: form[name].value() for name in form.fields if name != "find"}
    response = client.post(_ask(ticket), {**hidden, "step": "submit"})
    row = AccessRequest.objects.get()
    assert response.status_code == 302
    assert response["Location"] == reverse("web:access_request", args=[row.pk])
    assert (row.ticket, row.requested_by, row.level, row.window_for) == (ticket, cast.priya, "names", 7200)
    assert (row.tried, row.justification) == (TRIED, f"{JUSTIFICATION}\nMore.")
    assert [line.resource for line in row.scope.all()] == [cast.resource()]
    assert events_of(row) == ["access_request.submitted"]
    # Nobody had the ticket.
    assert (row.ticket.assignee, row.ticket.state) == (cast.priya, "ASSIGNED")


def test_something_can_be_changed_after_the_preview(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    response = as_("priya").post(_ask(ticket), _answers(cast, "change"))
    assert response.status_code == 200
    assert JUSTIFICATION.split(";")[0].split("'")[0] in _text(response)
    _nothing_happened()


def test_too_many_at_once_are_refused_with_what_was_written(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket
) -> None:
    for _ in range(10):
        cast.submitted(ticket=ticket)
    response = as_("priya").post(_ask(ticket), _answers(cast, "submit"))
    assert response.status_code == 429
    assert "You already have 10 waiting access requests at this tenant." in _text(response)
    assert "Rebuilt the index" in _text(response)
    assert AccessRequest.objects.count() == 10


def test_a_muted_engineer_is_refused_with_the_end_and_the_typed_text(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket
) -> None:
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=1, actor=cast.as_("ada"))
    response = as_("priya").post(_ask(ticket), _answers(cast, "submit"))
    assert response.status_code == 429
    assert "Contoso accepts no access requests from anybody at Microsoft until" in _text(response)
    assert "Rebuilt the index" in _text(response)
    assert AccessRequest.objects.count() == 0


# --- Who can submit, and when --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("person", "status"),
    [("mia", 403), ("ada", 403), ("pat", 403), ("stella", 403), ("samir", 404), ("frida", 404), ("erik", 200)],
)
def test_only_engineers_of_the_queue_ask(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket, person: str, status: int
) -> None:
    assert as_(person).get(_ask(ticket)).status_code == status
    if status != 200:
        assert as_(person).post(_ask(ticket), _answers(cast, "submit")).status_code == status
        assert events_in(cast.contoso) == ["ticket.opened", "act.refused"][: 2 if status == 403 else 1]
        _nothing_happened()


def test_an_ended_ticket_carries_no_access_request(cast: Cast, as_: Callable[[str], Client], ticket: Ticket) -> None:
    operations.close_ticket(ticket.pk, actor=cast.as_("mia"))
    assert as_("priya").get(_ask(ticket)).status_code == 409
    assert as_("priya").post(_ask(ticket), _answers(cast, "submit")).status_code == 409
    _nothing_happened()


# --- Asking again --------------------------------------------------------------------------------------------


def test_asking_again_begins_with_what_was_asked_before(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket
) -> None:
    first = cast.submitted(ticket=ticket, level="names", window_for=1800)
    operations.withdraw(first.pk, actor=cast.as_("priya"))
    address = f"{_ask(ticket)}?from={first.pk}"
    response = as_("priya").get(address)
    form = response.context["form"]
    assert (form["tried"].value(), form["level"].value(), form["window_for"].value()) == (TRIED, "names", 1800)
    assert form["resource_ids"].value() == [str(cast.resource().pk)]
    assert first.reference in _text(response)
    as_("priya").post(address, _answers(cast, "submit"))
    assert AccessRequest.objects.exclude(pk=first.pk).get().previous == first


def test_one_cannot_go_on_from_another_tenants_access_request(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket
) -> None:
    other = cast.submitted("fabrikam")
    for value in (other.pk, "nonsense"):
        assert as_("priya").get(f"{_ask(ticket)}?from={value}").status_code == 404


# --- A law-enforcement demand --------------------------------------------------------------------------------


def _demand(cast: Cast, step: str, **fields: Any) -> dict[str, Any]:
    demand = {
        "authority": "Amtsgericht Hamburg",
        "instrument": "Search warrant",
        "demand_reference": "12 Gs 34/26",
        "demand_date": "2026-11-20",
    }
    return {**_answers(cast, step), **demand, **fields}


def test_a_demand_names_customer_service_authority_and_date(cast: Cast, as_: Callable[[str], Client]) -> None:
    client = as_("priya")
    assert f"?tenant={cast.contoso.pk}" in _text(client.get(DEMAND))
    services = _text(client.get(f"{DEMAND}?tenant={cast.contoso.pk}"))
    address = f"{DEMAND}?tenant={cast.contoso.pk}&service={cast.exchange.pk}"
    assert f"service={cast.exchange.pk}" in services
    assert client.get(address).status_code == 200
    preview = client.post(address, _demand(cast, "preview"))
    assert "12 Gs 34/26" in _text(preview)
    _nothing_happened()
    client.post(address, _demand(cast, "submit"))
    row = AccessRequest.objects.get()
    assert (row.reason_kind, row.ticket, row.tenant, row.service) == (
        "legal_demand",
        None,
        cast.contoso,
        cast.exchange,
    )
    assert (row.authority, row.instrument, row.demand_reference) == (
        "Amtsgericht Hamburg",
        "Search warrant",
        "12 Gs 34/26",
    )
    assert row.demand_date == dt.date(2026, 11, 20)
    assert row.needs_customer_approval


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("authority", ""),
        ("instrument", " "),
        ("demand_reference", ""),
        ("demand_date", "yesterday"),
        ("demand_date", "2999-01-01"),
    ],
)
def test_a_demand_without_its_facts_is_refused(
    cast: Cast, as_: Callable[[str], Client], field: str, value: str
) -> None:
    address = f"{DEMAND}?tenant={cast.contoso.pk}&service={cast.exchange.pk}"
    response = as_("priya").post(address, _demand(cast, "submit", **{field: value}))
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    _nothing_happened()


def test_a_demand_is_raised_only_in_the_engineers_own_queue(cast: Cast, as_: Callable[[str], Client]) -> None:
    address = f"{DEMAND}?tenant={cast.contoso.pk}&service={cast.sharepoint.pk}"
    assert as_("erik").get(address).status_code == 404
    # If an engineer has one queue, the page offers no choice.
    assert as_("erik").get(f"{DEMAND}?tenant={cast.contoso.pk}").context["service"] == cast.exchange


@pytest.mark.parametrize("person", ["mia", "ada", "pat", "stella"])
def test_only_engineers_raise_a_demand(cast: Cast, as_: Callable[[str], Client], person: str) -> None:
    address = f"{DEMAND}?tenant={cast.contoso.pk}&service={cast.exchange.pk}"
    assert as_(person).get(address).status_code == 403
    assert as_(person).post(address, _demand(cast, "submit")).status_code == 403
    assert events_in(cast.contoso) == ["act.refused"]
    _nothing_happened()


@pytest.mark.parametrize("extra", ["state", "tenant", "approved_by", "closes_at", "needs_customer_approval"])
def test_an_unknown_field_is_refused_and_not_ignored(
    cast: Cast, as_: Callable[[str], Client], ticket: Ticket, extra: str
) -> None:
    assert as_("priya").post(_ask(ticket), _answers(cast, "submit", **{extra: "x"})).status_code == 400
    _nothing_happened()


def test_the_only_resource_is_chosen_and_never_the_level_or_the_length(cast: Cast) -> None:
    ticket = cast.ticket()
    here = reverse("web:ask", args=[ticket.pk])
    rows = Resource.objects.filter(tenant=ticket.tenant, service=ticket.service, is_active=True)
    assert rows.count() > 1
    priya = Client()
    priya.force_login(cast.priya)
    page = priya.get(here).content.decode()
    assert " checked" not in page
    rows.exclude(pk=rows.order_by("pk")[0].pk).update(is_active=False)
    page = priya.get(here).content.decode()
    [box] = re.findall(r"<input[^>]* checked[^>]*>", page)
    assert 'name="resource_ids"' in box
    # What somebody has unticked stays unticked.
    answer = priya.post(here, {"tried": "", "justification": "", "step": "change"})
    assert " checked" not in answer.content.decode()
