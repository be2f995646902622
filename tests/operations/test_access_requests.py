"""The life of an access request, through its operations."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import (
    AlreadyDecidedByYou,
    DeadlinePassed,
    FactsChanged,
    NotAllowed,
    NotFound,
    OwnAccessRequest,
    StepUpRequired,
    TooMany,
    Unacceptable,
    WrongState,
)
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, Decision, Grant, OutboxMessage, QueueAssignment, Tenant
from requests_app.operations._change import Step
from tests.cast import Cast, events_in, events_of, outbox_topics

pytestmark = pytest.mark.django_db


def test_approvals_at_both_stages_open_a_window_of_the_asked_length(cast: Cast) -> None:
    row = cast.submitted(window_for=3600)
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"))
    row = operations.approve_as_customer(row.pk, actor=cast.as_("ada"))

    grant = row.grant
    assert row.state == "OPEN"
    assert grant.closes_at - grant.opens_at == dt.timedelta(hours=1)
    assert grant.is_live(grant.opens_at)
    assert not grant.is_live(grant.closes_at)
    assert events_of(row) == [
        "access_request.submitted",
        "access_request.approved_by_provider",
        "access_request.approved_by_customer",
    ]
    assert outbox_topics(row) == [
        "notify.decide_as_provider",
        "notify.decide_as_customer",
        "notify.window_opened",
    ]


def test_a_tenant_without_lockbox_has_only_the_first_stage(cast: Cast) -> None:
    row = cast.confirmed("northwind")
    assert row.state == "OPEN"
    assert events_of(row) == ["access_request.submitted", "access_request.approved_by_provider"]


def test_an_uncovered_service_behaves_as_without_lockbox(cast: Cast) -> None:
    cast.exchange.is_covered = False
    cast.exchange.save()
    assert cast.confirmed().state == "OPEN"


def test_switching_lockbox_off_does_not_weaken_what_is_under_way(cast: Cast) -> None:
    row = cast.submitted()
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    assert operations.approve_as_provider(row.pk, actor=cast.as_("pat")).state == "PENDING_CUSTOMER"


def test_switching_lockbox_on_counts_for_what_is_under_way(cast: Cast) -> None:
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    row = cast.submitted()
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    assert operations.approve_as_provider(row.pk, actor=cast.as_("pat")).state == "PENDING_CUSTOMER"


def test_the_customers_deadline_starts_at_the_providers_approval(cast: Cast, travel) -> None:
    travel.freeze()
    row = cast.submitted()
    assert row.decide_by == timezone.now() + dt.timedelta(hours=24)
    travel.by(hours=5)
    row = operations.approve_as_provider(row.pk, actor=cast.as_("pat"))
    assert row.decide_by == timezone.now() + dt.timedelta(hours=12)


@pytest.mark.parametrize("late", [0, 1])
def test_an_approval_at_or_after_the_deadline_is_refused_though_no_sweep_has_run(cast: Cast, travel, late: int) -> None:
    travel.freeze()
    row = cast.confirmed()
    travel.to(row.decide_by + dt.timedelta(microseconds=late))
    with pytest.raises(DeadlinePassed):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"
    assert not Grant.objects.exists()
    assert events_of(row)[-1] == "act.refused"


def test_an_approval_a_microsecond_before_the_deadline_counts(cast: Cast, travel) -> None:
    travel.freeze()
    row = cast.confirmed()
    travel.to(row.decide_by - dt.timedelta(microseconds=1))
    assert operations.approve_as_customer(row.pk, actor=cast.as_("ada")).state == "OPEN"


def test_requester_cannot_decide_on_own_access_request(cast: Cast) -> None:
    row = cast.submitted(by="bea")
    with pytest.raises(OwnAccessRequest):
        operations.approve_as_provider(row.pk, actor=cast.as_("bea"))
    row.refresh_from_db()
    assert row.state == "PENDING_PROVIDER"
    assert events_of(row) == ["access_request.submitted", "act.refused"]
    assert outbox_topics(row) == ["notify.decide_as_provider"]


def test_a_second_account_of_the_same_human_does_not_help(cast: Cast) -> None:
    cast.paula.human_id = cast.priya.human_id
    cast.paula.save()
    row = cast.submitted()
    with pytest.raises(OwnAccessRequest):
        operations.approve_as_provider(row.pk, actor=cast.as_("paula"))
    assert not Decision.objects.exists()


def test_one_human_counts_once_across_the_two_stages(cast: Cast) -> None:
    cast.ada.human_id = cast.pat.human_id
    cast.ada.save()
    row = cast.confirmed()
    with pytest.raises(AlreadyDecidedByYou):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    assert Decision.objects.count() == 1


def test_a_decision_needs_a_fresh_proof_of_who_decides(cast: Cast, travel) -> None:
    row = cast.confirmed()
    with pytest.raises(StepUpRequired):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada", fresh=False))
    ada = cast.as_("ada")
    travel.by(minutes=5)
    with pytest.raises(StepUpRequired):
        operations.approve_as_customer(row.pk, actor=ada)
    assert not Grant.objects.exists()


@pytest.mark.parametrize("name", ["mia", "otto", "ines", "priya", "pat", "stella"])
def test_only_an_approver_of_the_tenant_approves_for_it(cast: Cast, name: str) -> None:
    row = cast.confirmed()
    with pytest.raises(NotAllowed):
        operations.approve_as_customer(row.pk, actor=cast.as_(name))
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"
    assert events_of(row)[-1] == "act.refused"


def test_an_approver_of_another_tenant_finds_nothing(cast: Cast) -> None:
    row = cast.confirmed()
    with pytest.raises(NotFound):
        operations.approve_as_customer(row.pk, actor=cast.as_("frida"))
    assert "act.refused" not in events_of(row)


def test_the_loser_of_two_decisions_learns_who_won(cast: Cast) -> None:
    row = cast.confirmed()
    operations.deny_as_customer(row.pk, actor=cast.as_("alan"))
    with pytest.raises(WrongState) as refusal:
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    assert refusal.value.current == {"state": "DENIED", "decided_by": "Alan Test"}


def test_a_denial_of_the_provider_needs_a_comment(cast: Cast) -> None:
    row = cast.submitted()
    with pytest.raises(Unacceptable):
        operations.deny_as_provider(row.pk, actor=cast.as_("pat"), note="  ")
    row.refresh_from_db()
    assert row.state == "PENDING_PROVIDER"


def test_a_role_taken_away_counts_though_the_actor_was_built_before(cast: Cast) -> None:
    row = cast.confirmed()
    ada = cast.as_("ada")
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    with pytest.raises(NotAllowed):
        operations.approve_as_customer(row.pk, actor=ada)
    assert not Grant.objects.exists()


def test_nobody_is_left_without_a_role_and_so_without_a_way_back(cast: Cast) -> None:
    with pytest.raises(WrongState, match="Switch the account off"):
        operations.take_role(cast.contoso.pk, cast.alan.pk, role="approver", actor=cast.as_("ines"))
    assert cast.alan.memberships.count() == 1
    assert events_in(cast.contoso)[-1] == "act.refused"


def test_somebody_who_was_switched_off_finds_nothing_any_more(cast: Cast) -> None:
    row = cast.confirmed()
    alan = cast.as_("alan")
    operations.switch_off_person(cast.alan.pk, actor=cast.as_("ines"))
    with pytest.raises(NotFound):
        operations.approve_as_customer(row.pk, actor=alan)
    assert not Grant.objects.exists()


def test_an_approval_is_refused_after_the_facts_have_changed(cast: Cast) -> None:
    row = cast.confirmed()
    row.resources.update(is_active=False)
    with pytest.raises(FactsChanged):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    assert not Grant.objects.exists()


@pytest.mark.parametrize("end", ["resolve_ticket", "close_ticket"])
def test_ending_the_ticket_withdraws_pending_access_requests_and_closes_windows(cast: Cast, end: str) -> None:
    ticket = cast.ticket()
    operations.assign_ticket(ticket.pk, actor=cast.as_("priya"))
    open_one = cast.opened(ticket=ticket).access_request
    pending = cast.confirmed(ticket=ticket)
    getattr(operations, end)(ticket.pk, actor=cast.as_("priya"))
    open_one.refresh_from_db()
    pending.refresh_from_db()
    assert (open_one.state, pending.state) == ("CLOSED", "WITHDRAWN")
    assert Grant.objects.get().close_reason == "revoked"
    assert events_of(open_one)[-1] == "grant.revoked"
    assert events_of(pending)[-1] == "access_request.withdrawn"


def test_taking_the_engineers_role_ends_what_it_gave(cast: Cast) -> None:
    grant = cast.opened()
    operations.take_queue_role(cast.exchange.pk, cast.priya.pk, role="engineer", actor=cast.as_("stella"))
    grant.refresh_from_db()
    assert grant.close_reason == "revoked"


def test_switching_the_engineer_off_ends_what_they_had(cast: Cast) -> None:
    grant = cast.opened()
    pending = cast.submitted()
    operations.switch_off_person(cast.priya.pk, actor=cast.as_("stella"))
    grant.refresh_from_db()
    pending.refresh_from_db()
    assert (grant.close_reason, pending.state) == ("revoked", "WITHDRAWN")
    for row, event in ((grant.access_request, "grant.revoked"), (pending, "access_request.withdrawn")):
        entry = AuditEntry.objects.get(correlation_id=row.pk, event=event)
        assert json.loads(bytes(entry.canonical))["detail"]["cause"] == "person-switched-off"


def test_a_law_enforcement_demand_goes_the_same_way(cast: Cast) -> None:
    demand = operations.Demand(
        authority="Amtsgericht Hamburg",
        instrument="Search warrant",
        reference="12 Gs 34/26",
        date=dt.date(2026, 11, 20),
    )
    ask = operations.Ask(
        demand=demand,
        tenant_id=cast.contoso.pk,
        service_id=cast.exchange.pk,
        resource_ids=[cast.resource().pk],
        level="read",
        window_for=3600,
        tried="The court was referred to the customer and insists.",
        justification="The warrant names this mailbox and this period of time.",
    )
    row = operations.submit(ask, actor=cast.as_("priya"))
    assert (row.reason_kind, row.ticket) == ("legal_demand", None)
    assert operations.approve_as_provider(row.pk, actor=cast.as_("pat")).state == "PENDING_CUSTOMER"


def test_an_access_request_without_a_reason_is_refused(cast: Cast) -> None:
    ticket = cast.ticket()
    ask = cast.ask(ticket, ticket_id=None)
    with pytest.raises(Unacceptable):
        operations.submit(ask, actor=cast.as_("priya"))
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize("window_for", [-1, 10**9, 7201, True, "7200", 28800])
def test_a_window_is_one_of_the_offered_lengths_within_the_cap(cast: Cast, window_for: object) -> None:
    with pytest.raises(Unacceptable) as refusal:
        cast.submitted(window_for=window_for)
    assert refusal.value.field == "window_for"
    assert "30, 60, 120, 240" in str(refusal.value)


@pytest.mark.parametrize("who", ["ada", "pat"])
def test_a_window_is_no_longer_than_the_cap_that_was_set_while_the_approval_waited_for_the_log(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    row = cast.confirmed(window_for=7200) if who == "ada" else cast.submitted("northwind", window_for=7200)
    take_turn = Step.take_turn

    def late(step: Step, log_id: UUID) -> Any:
        head = take_turn(step, log_id)
        Tenant.objects.filter(pk=row.tenant_id).update(window_cap=3600)
        return head

    monkeypatch.setattr(Step, "take_turn", late)
    approve = operations.approve_as_customer if who == "ada" else operations.approve_as_provider
    grant = approve(row.pk, actor=cast.as_(who)).grant
    assert grant.closes_at - grant.opens_at == dt.timedelta(hours=1)


@pytest.mark.dialect
def test_who_lost_the_queue_since_the_call_began_submits_nothing(cast: Cast) -> None:
    """The ticket is found with the queues of the beginning. Under the locks, those of now decide."""
    ticket, priya = cast.ticket(), cast.as_("priya")
    entries, messages = AuditEntry.objects.count(), OutboxMessage.objects.count()
    QueueAssignment.objects.filter(person_id=priya.person).delete()
    with pytest.raises(NotFound):
        operations.submit(cast.ask(ticket), actor=priya)
    assert not AccessRequest.objects.exists()
    assert (AuditEntry.objects.count(), OutboxMessage.objects.count()) == (entries, messages)


def test_a_resource_of_another_tenant_cannot_be_asked_for(cast: Cast) -> None:
    with pytest.raises(Unacceptable):
        cast.submitted(resource_ids=[cast.resource("fabrikam").pk])
    assert not AccessRequest.objects.exists()


def test_an_engineer_outside_the_queue_finds_no_ticket(cast: Cast) -> None:
    ticket = cast.ticket()
    with pytest.raises(NotFound):
        operations.submit(cast.ask(ticket), actor=cast.as_("samir"))


def test_an_engineer_cannot_flood_a_tenant(cast: Cast) -> None:
    ticket = cast.ticket()
    for _ in range(10):
        cast.submitted(ticket=ticket)
    with pytest.raises(TooMany):
        cast.submitted(ticket=ticket)
    assert AccessRequest.objects.count() == 10


def test_every_entry_of_a_tenant_is_dense_and_hashed(cast: Cast) -> None:
    cast.opened()
    assert len(events_in(cast.contoso)) == 5


def test_asking_for_access_takes_a_ticket_that_nobody_has(cast: Cast) -> None:
    ticket = cast.ticket()
    row = cast.submitted(ticket=ticket)

    ticket.refresh_from_db()
    assert (ticket.assignee, ticket.state, ticket.changed_at) == (cast.priya, "ASSIGNED", row.submitted_at)
    taken, submitted = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq").reverse()[:2][::-1]
    assert [taken.event, submitted.event] == ["ticket.assigned", "access_request.submitted"]
    assert (taken.subject_type, taken.subject_id, taken.actor_id) == ("ticket", str(ticket.pk), cast.priya.pk)
    assert json.loads(bytes(taken.canonical))["detail"] == {
        "assignee": cast.priya.name,
        "assignee_id": str(cast.priya.pk),
    }
    assert submitted.subject_id == str(row.pk)


def test_asking_for_access_leaves_a_ticket_with_the_engineer_who_has_it(cast: Cast) -> None:
    ticket = operations.assign_ticket(cast.ticket().pk, actor=cast.as_("erik"))
    before = events_in(cast.contoso)
    cast.submitted(ticket=ticket)
    ticket.refresh_from_db()
    assert ticket.assignee == cast.erik
    assert events_in(cast.contoso) == [*before, "access_request.submitted"]


def test_a_ticket_that_waits_for_its_customer_still_waits_when_its_engineer_asks_for_access(cast: Cast) -> None:
    ticket = operations.assign_ticket(cast.ticket().pk, actor=cast.as_("priya"))
    operations.ask_customer(ticket.pk, actor=cast.as_("priya"), note="Since which day?")
    cast.submitted(ticket=ticket)
    ticket.refresh_from_db()
    assert (ticket.assignee, ticket.state) == (cast.priya, "WAITING_FOR_CUSTOMER")


def test_a_refused_access_request_takes_no_ticket(cast: Cast) -> None:
    ticket = cast.ticket()
    topics = outbox_topics()
    with pytest.raises(Unacceptable):
        cast.submitted(ticket=ticket, justification="Too short.")
    ticket.refresh_from_db()
    assert (ticket.assignee, ticket.state) == (None, "NEW")
    assert "ticket.assigned" not in events_in(cast.contoso)
    assert outbox_topics() == topics
    assert not AccessRequest.objects.exists()


def test_a_message_that_was_posted_before_does_not_stop_an_approval(cast: Cast) -> None:
    row = cast.confirmed()
    sent = OutboxMessage.objects.filter(about=row.pk).order_by("created_at")[0]
    key = f"{Topic.WINDOW_OPENED}:{row.pk}"
    OutboxMessage.objects.filter(pk=sent.pk).update(key=key)
    before = OutboxMessage.objects.count()
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    assert events_of(row)[-1] == "access_request.approved_by_customer"
    assert Grant.objects.get(access_request=row).engineer_id == row.requested_by_id
    assert (OutboxMessage.objects.count(), OutboxMessage.objects.filter(key=key).count()) == (before, 1)
