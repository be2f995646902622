"""Practice requests: only made-up content, the real life cycle, and no way to mistake one for a real one."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.content.connectors.base import Listing
from requests_app.domain import clock, manifest
from requests_app.domain.errors import (
    ContentUnavailable,
    FactsChanged,
    NotAllowed,
    NotCovered,
    NotFound,
    Unacceptable,
    WrongState,
)
from requests_app.domain.evaluation import Question
from requests_app.models import (
    AccessRequest,
    ContentAccess,
    OutboxMessage,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
    Ticket,
)
from requests_app.models.services import PRACTICE_LOCATOR
from requests_app.queries import practice as queries
from tests import practice
from tests.caller import service_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def _entries(cast: Cast, tenant: str = "contoso") -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(tenant_id=cast.tenants[tenant].pk).order_by("seq")
    return [json.loads(bytes(row.canonical)) for row in rows]


def _seen() -> tuple[int, ...]:
    return tuple(kind.objects.count() for kind in (AuditEntry, OutboxMessage, Ticket, AccessRequest))


def test_whole_life_of_a_practice_request_reads_only_made_up_content(cast: Cast, settings: Any) -> None:
    settings.CONTENT_ROOT = "/nowhere/at/all"
    grant = practice.opened(cast)
    resource = practice.resource_of(grant.access_request.ticket)
    priya = cast.as_("priya")
    _access, listing = operations.content.list_items(grant.pk, resource.pk, actor=priya)
    assert isinstance(listing, Listing)
    assert len(listing.items) == 5
    for item in listing.items:
        _access, message = operations.content.read_message(grant.pk, resource.pk, item.id, actor=priya)
        assert "Practice: this message is made up." in message.text
    row = operations.release(grant.access_request_id, actor=priya)
    assert row.state == "CLOSED"
    assert row.reference.startswith("P-AR-")


def test_practice_documents_are_read_where_the_service_has_documents(cast: Cast) -> None:
    grant = practice.opened(cast, ticket=practice.started(cast, service="sharepoint-online"))
    resource = practice.resource_of(grant.access_request.ticket)
    assert resource.kind == Resource.Kind.LIBRARY
    _access, item, stream = operations.content.open_item(
        grant.pk, resource.pk, "Orders/Order 4711.txt", actor=cast.as_("priya")
    )
    assert item.id == "Orders/Order 4711.txt"
    assert "made up" in stream.read_text(1000)[0]
    _access, listing = operations.content.list_items(grant.pk, resource.pk, actor=cast.as_("priya"))
    assert [each.title for each in listing.items] == ["Office", "Orders", "Read me first.txt"]


@pytest.mark.parametrize("name", ["../mailbox", "Orders/../../mailbox", "/etc/passwd", "..", "Orders/%2e%2e"])
def test_practice_content_leads_nowhere_else(cast: Cast, name: str) -> None:
    grant = practice.opened(cast, ticket=practice.started(cast, service="sharepoint-online"))
    resource = practice.resource_of(grant.access_request.ticket)
    with pytest.raises((NotFound, NotCovered)):
        operations.content.open_item(grant.pk, resource.pk, name, actor=cast.as_("priya"))


def test_each_entry_of_a_practice_request_says_so_and_no_other_does(cast: Cast, settings: Any) -> None:
    settings.CONTENT_ROOT = "/nowhere/at/all"
    real = cast.opened()
    with pytest.raises(ContentUnavailable):
        operations.content.list_items(real.pk, cast.resource().pk, actor=cast.as_("priya"))
    operations.release(real.access_request_id, actor=cast.as_("priya"))
    before = len(_entries(cast))
    assert not [entry for entry in _entries(cast) if "practice" in entry["detail"]]
    grant = practice.opened(cast)
    resource = practice.resource_of(grant.access_request.ticket)
    operations.content.list_items(grant.pk, resource.pk, actor=cast.as_("priya"))
    with pytest.raises(NotAllowed):
        operations.approve_as_provider(grant.access_request_id, actor=cast.as_("priya"))
    operations.resolve_ticket(
        operations.assign_ticket(grant.access_request.ticket_id, actor=cast.as_("priya")).pk, actor=cast.as_("priya")
    )
    new = _entries(cast)[before:]
    assert len(new) > 9
    assert [entry["event"] for entry in new if entry["detail"].get("practice") is not True] == []


def test_tenant_without_lockbox_practises_with_the_first_stage_only(cast: Cast) -> None:
    row = practice.confirmed(cast, "northwind")
    assert row.state == "OPEN"
    assert row.is_practice
    assert queries.state_of(cast.northwind, at=row.submitted_at).is_answered


# --- What it can name ----------------------------------------------------------------------------------------


def test_practice_request_names_only_practice_and_a_real_one_never_does(cast: Cast) -> None:
    ticket = practice.started(cast)
    made_up, real = practice.resource_of(ticket), cast.resource()
    before = _seen()
    tries = [
        practice.ask(ticket, resource_ids=[real.pk]),
        practice.ask(ticket, resource_ids=[made_up.pk, real.pk]),
        cast.ask(cast.ticket(), resource_ids=[made_up.pk]),
        cast.ask(cast.ticket(), resource_ids=[real.pk, made_up.pk]),
    ]
    tickets = Ticket.objects.count() - before[2]
    for one in tries:
        with pytest.raises(Unacceptable) as refusal:
            operations.submit(one, actor=cast.as_("priya"))
        assert refusal.value.field == "resource_ids"
    assert Ticket.objects.count() - before[2] == tickets
    assert not AccessRequest.objects.exists()


def test_demand_names_no_practice_resource(cast: Cast) -> None:
    made_up = practice.resource_of(practice.started(cast))
    demand = operations.Demand(authority="Court", instrument="Order", reference="1", date=dt.date(2026, 1, 1))
    asked = practice.ask(Ticket.objects.get(), ticket_id=None, demand=demand)
    asked = operations.Ask(
        **{**vars(asked), "tenant_id": cast.contoso.pk, "service_id": cast.exchange.pk, "resource_ids": [made_up.pk]}
    )
    with pytest.raises(Unacceptable):
        operations.submit(asked, actor=cast.as_("priya"))
    with pytest.raises(Unacceptable):
        operations.submit(
            operations.Ask(**{**vars(asked), "ticket_id": Ticket.objects.get().pk}), actor=cast.as_("priya")
        )
    assert not AccessRequest.objects.exists()


def test_another_tenants_practice_resource_is_refused(cast: Cast) -> None:
    theirs = practice.resource_of(practice.started(cast, "fabrikam"))
    ticket = practice.started(cast)
    with pytest.raises(Unacceptable):
        operations.submit(practice.ask(ticket, resource_ids=[theirs.pk]), actor=cast.as_("priya"))
    assert not AccessRequest.objects.exists()


def test_practice_request_follows_no_real_one(cast: Cast) -> None:
    real, ticket = cast.in_state("CLOSED"), practice.started(cast)
    with pytest.raises(NotFound):
        operations.submit(practice.ask(ticket, previous_id=real.pk), actor=cast.as_("priya"))
    assert AccessRequest.objects.filter(is_practice=True).count() == 0


# --- A window of practice opens nothing real -----------------------------------------------------------------


def test_practice_window_opens_no_real_content_even_if_its_scope_names_it(cast: Cast) -> None:
    grant, real = practice.opened(cast), cast.resource()
    grant.access_request.scope.create(resource=real, position=1)
    with pytest.raises(NotCovered):
        operations.content.list_items(grant.pk, real.pk, actor=cast.as_("priya"))
    assert not ContentAccess.objects.filter(grant=grant).exists()


def test_real_window_opens_no_practice_content_even_if_its_scope_names_it(cast: Cast) -> None:
    made_up, grant = practice.resource_of(practice.started(cast)), cast.opened()
    grant.access_request.scope.create(resource=made_up, position=1)
    with pytest.raises(NotCovered):
        operations.content.list_items(grant.pk, made_up.pk, actor=cast.as_("priya"))
    assert not ContentAccess.objects.filter(grant=grant).exists()


@pytest.mark.parametrize("action", ["list", "read", "download"])
def test_decision_point_never_permits_anything_by_a_practice_window(cast: Cast, action: str) -> None:
    grant = practice.opened(cast)
    resource = practice.resource_of(grant.access_request.ticket)
    client = service_of(cast)
    for wanted in (resource, cast.resource()):
        question = Question(
            subject_type="engineer",
            subject=cast.priya.email,
            action=action,
            service="exchange-online",
            resource=str(wanted.pk),
            tenant=str(cast.contoso.pk),
        )
        verdict = operations.allow_access(question, actor=client)
        assert (verdict.decision, verdict.reason) == (False, "not_covered")
    assert not ContentAccess.objects.filter(grant=grant).exists()
    refused = [entry for entry in _entries(cast) if entry["event"] == "act.refused"]
    assert [entry["detail"].get("practice") for entry in refused] == [True, None]


# --- It can't be changed -------------------------------------------------------------------------------------


def test_practice_resource_is_neither_renamed_nor_switched_off(cast: Cast) -> None:
    resource = practice.resource_of(practice.started(cast))
    for change in ({"name": "Board mailbox"}, {"is_active": False}, {"locator": "contoso/finance"}):
        with pytest.raises((WrongState, Unacceptable)):
            operations.save_resource(resource_id=resource.pk, actor=cast.as_("stella"), **change)
    resource.refresh_from_db()
    assert (resource.name, resource.locator, resource.is_active) == ("Practice mailbox", PRACTICE_LOCATOR, True)
    assert not [entry for entry in _entries(cast) if entry["event"] == "resource.changed"]


def test_nobody_adds_a_resource_with_the_locator_of_practice(cast: Cast) -> None:
    with pytest.raises(Unacceptable):
        operations.save_resource(
            tenant_id=cast.contoso.pk,
            service_id=cast.exchange.pk,
            name="Practice",
            kind="mailbox",
            locator=PRACTICE_LOCATOR,
            actor=cast.as_("stella"),
        )
    assert not Resource.objects.filter(locator=PRACTICE_LOCATOR).exists()


def test_database_refuses_to_switch_the_mark(cast: Cast) -> None:
    real, grant = cast.opened(), practice.opened(cast)
    made_up = practice.resource_of(grant.access_request.ticket)
    tries: list[tuple[Any, dict[str, Any]]] = [
        (Resource.objects.filter(pk=made_up.pk), {"is_practice": False}),
        (Resource.objects.filter(pk=made_up.pk), {"locator": "contoso/finance"}),
        (Resource.objects.filter(pk=cast.resource().pk), {"is_practice": True}),
        (Resource.objects.filter(pk=cast.resource().pk), {"locator": PRACTICE_LOCATOR}),
        (Ticket.objects.filter(pk=grant.access_request.ticket_id), {"is_practice": False}),
        (Ticket.objects.filter(pk=real.access_request.ticket_id), {"is_practice": True}),
        (AccessRequest.objects.filter(pk=grant.access_request_id), {"is_practice": False}),
        (AccessRequest.objects.filter(pk=real.access_request_id), {"is_practice": True}),
    ]
    for rows, values in tries:
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**values)


# --- What is signed ------------------------------------------------------------------------------------------


def _facts(row: AccessRequest) -> dict[str, Any]:
    return manifest.facts_of(
        row, verdict="approve", stage="customer", decider={"id": "1", "name": "Ada"}, checkpoint=None
    )


def test_signed_text_of_a_practice_request_says_so_and_a_real_one_does_not(cast: Cast) -> None:
    made_up, real = practice.confirmed(cast), cast.confirmed()
    assert _facts(made_up)["practice"] is True
    assert "practice" not in _facts(real)


def test_signed_text_without_or_with_the_mark_is_refused_for_the_other_kind(cast: Cast) -> None:
    for row in (practice.confirmed(cast), cast.confirmed()):
        facts = _facts(row)
        other = {name: value for name, value in facts.items() if name != "practice"}
        if not row.is_practice:
            other["practice"] = True
        text = manifest.issue(other, at=row.state_changed_at, deadline=row.decide_by)
        with pytest.raises(FactsChanged):
            manifest.require(manifest.read(text), facts, at=row.state_changed_at)


def test_digest_covers_the_mark(cast: Cast) -> None:
    row = practice.submitted(cast)
    resources = [practice.resource_of(row.ticket)]
    digest = operations.content_digest(row, resources)
    row.is_practice = False
    assert operations.content_digest(row, resources) != digest == row.content_digest


# --- Starting ------------------------------------------------------------------------------------------------


def test_one_open_practice_ticket_for_each_service_and_one_resource_for_ever(cast: Cast) -> None:
    ticket = practice.started(cast, by="ines")
    before = _seen()
    with pytest.raises(WrongState):
        practice.started(cast)
    assert _seen()[1:] == before[1:]
    operations.close_ticket(ticket.pk, actor=cast.as_("ines"))
    practice.started(cast, by="ines")
    practice.started(cast, service="sharepoint-online")
    assert Resource.objects.filter(is_practice=True).count() == 2


@pytest.mark.parametrize("who", ["mia", "ada", "otto", "priya", "pat"])
def test_only_the_administrator_and_staff_start_practice(cast: Cast, who: str) -> None:
    with pytest.raises(NotAllowed):
        practice.started(cast, by=who)
    assert not Ticket.objects.exists()
    assert not Resource.objects.filter(is_practice=True).exists()
    assert [entry["event"] for entry in _entries(cast)] == ["act.refused"]


def test_administrator_of_another_tenant_finds_nothing(cast: Cast) -> None:
    with pytest.raises(NotFound):
        practice.started(cast, by="finn")
    assert not Ticket.objects.exists()


def test_service_without_an_engineer_is_refused(cast: Cast) -> None:
    QueueAssignment.objects.filter(service=cast.sharepoint, role="engineer").delete()
    with pytest.raises(Unacceptable) as refusal:
        practice.started(cast, service="sharepoint-online")
    assert refusal.value.field == "service"
    assert not Ticket.objects.exists()


def test_nothing_that_is_switched_off_is_practised_with(cast: Cast) -> None:
    Service.objects.filter(pk=cast.exchange.pk).update(is_active=False)
    assert list(queries.services(cast.contoso)) == [cast.sharepoint]
    with pytest.raises(Unacceptable) as refusal:
        practice.started(cast)
    assert refusal.value.field == "service"
    Tenant.objects.filter(pk=cast.contoso.pk).update(is_active=False)
    with pytest.raises(WrongState):
        practice.started(cast, service="sharepoint-online")
    assert not Ticket.objects.exists()
    assert not Resource.objects.filter(is_practice=True).exists()
    assert not OutboxMessage.objects.exists()


def test_state_follows_the_practice_request(cast: Cast) -> None:
    at = cast.contoso.created_at
    assert queries.state_of(cast.contoso, at=at) == queries.Practice()
    ticket = practice.started(cast)
    state = queries.state_of(cast.contoso, at=ticket.opened_at)
    assert (state.turn, state.ticket_id, state.access_request_id) == ("engineer", ticket.pk, None)
    row = practice.submitted(cast, ticket=ticket)
    state = queries.state_of(cast.contoso, at=row.submitted_at)
    assert (state.turn, state.access_request_id, state.is_answered) == ("provider", row.pk, False)
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"), note="No other way.")
    state = queries.state_of(cast.contoso, at=row.submitted_at)
    assert (state.turn, state.is_answered, state.is_under_way) == ("customer", False, True)
    operations.deny_as_customer(row.pk, actor=cast.as_("ada"))
    assert queries.state_of(cast.contoso, at=row.submitted_at).is_answered
    operations.close_ticket(ticket.pk, actor=cast.as_("ines"))
    state = queries.state_of(cast.contoso, at=row.submitted_at)
    assert (state.is_answered, state.turn, state.ticket_id) == (True, None, None)
    assert queries.state_of(cast.fabrikam, at=row.submitted_at) == queries.Practice()


def test_practice_at_an_external_service_is_read_here_and_never_through_its_application(cast: Cast) -> None:
    quillo = Service.objects.create(key="quillo", name="Quillo", connector=Service.EXTERNAL, application="Quillo")
    for person, role in ((cast.priya, "engineer"), (cast.pat, "provider_approver")):
        QueueAssignment.objects.create(person=person, service=quillo, role=role, given_at=clock.now())
    cast.services["quillo"] = quillo
    grant = practice.opened(cast, ticket=practice.started(cast, service="quillo"))
    resource = practice.resource_of(grant.access_request.ticket)
    assert (grant.access_request.enforced_by, resource.is_external) == ("", False)
    _access, item, stream = operations.content.open_item(
        grant.pk, resource.pk, "Read me first.txt", actor=cast.as_("priya")
    )
    assert "made up" in stream.read_text(1000)[0]
    question = Question(
        subject_type="engineer",
        subject=cast.priya.email,
        action="read",
        service="quillo",
        resource=str(resource.pk),
        tenant=str(cast.contoso.pk),
    )
    verdict = operations.allow_access(question, actor=service_of(cast))
    assert (verdict.decision, verdict.reason) == (False, "not_covered")
