"""Access requests over the API: who can read them, and who can decide on them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit_app import canonical
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.models import AccessRequest, Decision, Grant, OutboxMessage, Tries
from tests.api.test_idempotency import asking
from tests.caller import Caller
from tests.cast import PASSWORD, Cast
from tests.factors import a_code
from tests.web.pages import nothing_happens

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]


def test_a_caller_reads_what_a_page_shows(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    found = calling("ada").get(f"access-requests/{row.pk}").json()
    assert found["reference"] == row.reference
    assert found["tenant"] == {"id": str(cast.contoso.pk), "name": "Contoso"}
    assert found["engineer"] == {"id": str(cast.priya.pk), "name": "Priya Test"}
    assert [each["name"] for each in found["resources"]] == ["finance@contoso.example"]
    assert (found["state"], found["level"], found["window_seconds"]) == ("PENDING_CUSTOMER", "read", 7200)
    assert (found["digest"], found["grant"], found["demand"]) == (row.content_digest, None, None)
    [decision] = found["decisions"]
    assert (decision["stage"], decision["verdict"], decision["decider"]["name"]) == ("provider", "approve", "Pat Test")
    assert found["allowed_actions"] == ["approve", "deny"]


@pytest.mark.parametrize(
    ("name", "state", "actions"),
    [
        ("priya", "PENDING_PROVIDER", ["withdraw"]),
        ("pat", "PENDING_PROVIDER", ["approve", "deny"]),
        ("ada", "PENDING_PROVIDER", []),
        ("otto", "PENDING_CUSTOMER", []),
        ("ada", "OPEN", ["revoke"]),
        ("priya", "OPEN", ["release"]),
        ("ada", "DENIED", []),
    ],
)
def test_allowed_actions_come_from_the_table(
    cast: Cast, calling: Calling, name: str, state: str, actions: list[str]
) -> None:
    row = cast.in_state(state)
    assert calling(name).get(f"access-requests/{row.pk}").json()["allowed_actions"] == actions


def test_a_token_is_offered_no_more_than_its_scopes_allow(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    assert calling("ada", Scope.REQUESTS_READ).get(f"access-requests/{row.pk}").json()["allowed_actions"] == []


def test_the_state_is_what_holds_though_no_sweep_has_run(cast: Cast, calling: Calling, travel: Any) -> None:
    row, grant = cast.confirmed(), cast.opened()
    ada = calling("ada", days=7)
    travel.to(max(row.decide_by, grant.closes_at))
    states = {each["id"]: each["state"] for each in ada.get("access-requests").json()["items"]}
    assert states == {str(row.pk): "EXPIRED", str(grant.access_request_id): "CLOSED"}
    for state, pk in (("EXPIRED", row.pk), ("CLOSED", grant.access_request_id)):
        found = ada.get("access-requests", {"state": state}).json()["items"]
        assert [each["id"] for each in found] == [str(pk)]
    for state in ("PENDING_CUSTOMER", "PENDING_PROVIDER", "OPEN"):
        assert ada.get("access-requests", {"state": state}).json()["items"] == []


def test_a_list_is_read_page_by_page_without_missing_or_repeating(cast: Cast, calling: Calling, travel: Any) -> None:
    ticket = cast.ticket()
    rows = []
    for _ in range(7):
        rows.append(cast.submitted(ticket=ticket))
        travel.by(seconds=1)
    ada = calling("ada")
    for order, wanted in (("-submitted_at", rows[::-1]), ("submitted_at", rows), ("decide_by", rows)):
        found, query = [], {"limit": 3, "order": order}
        page = ada.get("access-requests", query).json()
        while True:
            found += [each["id"] for each in page["items"]]
            if page["next"] is None:
                break
            page = ada.get(page["next"]).json()
        assert found == [str(row.pk) for row in wanted]


def test_rows_of_the_same_instant_keep_their_order_over_pages(cast: Cast, calling: Calling, travel: Any) -> None:
    travel.freeze()
    ticket = cast.ticket()
    rows = {str(cast.submitted(ticket=ticket).pk) for _ in range(5)}
    ada, found = calling("ada"), []
    page = ada.get("access-requests", {"limit": 2}).json()
    while page:
        found += [each["id"] for each in page["items"]]
        page = ada.get(page["next"]).json() if page["next"] else None
    assert (len(found), set(found)) == (5, rows)


def test_the_filters_narrow(cast: Cast, calling: Calling) -> None:
    contoso, fabrikam = cast.submitted(), cast.submitted("fabrikam", by="erik")
    pat = calling("pat")
    for query, wanted in (
        ({"tenant": cast.contoso.pk}, [contoso]),
        ({"engineer": cast.erik.pk}, [fabrikam]),
        ({"ticket": contoso.ticket_id}, [contoso]),
        ({"reference": fabrikam.reference}, [fabrikam]),
        ({"service": cast.sharepoint.pk}, []),
        ({"submitted_since": fabrikam.submitted_at.isoformat()}, [fabrikam]),
        ({"submitted_before": fabrikam.submitted_at.isoformat()}, [contoso]),
    ):
        found = pat.get("access-requests", query).json()["items"]
        assert [each["id"] for each in found] == [str(row.pk) for row in wanted], query


def test_a_list_gives_the_members_that_are_asked_for(cast: Cast, calling: Calling) -> None:
    row = cast.submitted()
    [found] = calling("ada").get("access-requests", {"fields": "id,state"}).json()["items"]
    assert found == {"id": str(row.pk), "state": "PENDING_PROVIDER"}


def test_the_queries_of_a_list_do_not_grow_with_its_rows(cast: Cast, calling: Calling, travel: Any) -> None:
    ada, counts = calling("ada"), []
    ada.get("me")
    travel.freeze()
    for _ in range(2):
        for _ in range(3):
            cast.submitted()
        with CaptureQueriesContext(connection) as queries:
            assert ada.get("access-requests").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_caller_with_the_present_etag_gets_304(cast: Cast, calling: Calling) -> None:
    row, ada = cast.confirmed(), calling("ada")
    tag = ada.get(f"access-requests/{row.pk}")["ETag"]
    again = ada.get(f"access-requests/{row.pk}", If_None_Match=f'"other", {tag}')
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)
    operations.withdraw(row.pk, actor=cast.as_("priya"))
    assert ada.get(f"access-requests/{row.pk}", If_None_Match=tag).status_code == 200


# --- Deciding ------------------------------------------------------------------------------------------------


def nothing_happened(row: AccessRequest, state: str) -> bool:
    row.refresh_from_db()
    return row.state == state and not Grant.objects.exists() and not row.decisions.filter(stage="customer").exists()


def test_a_decision_needs_the_password_as_on_a_page(cast: Cast, calling: Calling, travel: Any) -> None:
    row, ada = cast.confirmed(), calling("ada", fresh=False)
    refused = ada.decide("approve", row)
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert nothing_happened(row, "PENDING_CUSTOMER")
    assert ada.step_up().status_code == 200
    travel.by(minutes=5)
    refused = ada.decide("approve", row)
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert nothing_happened(row, "PENDING_CUSTOMER")
    ada.step_up()
    found = ada.decide("approve", row, "Seen.")
    assert (found.status_code, found.json()["state"]) == (200, "OPEN")
    decision = Decision.objects.get(stage="customer")
    assert (decision.decider, decision.client, decision.door, decision.comment) == (cast.ada, None, "api", "Seen.")


def test_a_confirmation_counts_only_for_its_token(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    first, second = calling("ada"), calling("ada", fresh=False)
    first.step_up()
    assert second.decide("approve", row).json()["code"] == "step_up_required"
    assert nothing_happened(row, "PENDING_CUSTOMER")


def test_passwords_are_not_guessed(cast: Cast, calling: Calling, travel: Any) -> None:
    ada, at = calling("ada"), travel.freeze()
    answers = [ada.post("me/step-up", {"password": f"wrong {n}"}) for n in range(6)]
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(403, "step_up_required")] * 5 + [
        (429, "too_many")
    ]
    assert answers[-1].json()["current"] == {"until_at": canonical.instant(at + dt.timedelta(minutes=5))}
    assert ada.step_up().status_code == 429
    refused = AuditEntry.objects.filter(event="act.refused", text="step_up_token step_up_required")
    assert refused.count() == 5


def test_a_used_code_is_a_mistake_and_neither_a_guess_nor_a_refusal(cast: Cast, calling: Calling, travel: Any) -> None:
    row, ada, at = cast.confirmed(), calling("ada", fresh=False), clock.now().replace(microsecond=0)
    travel.to(at + dt.timedelta(seconds=37 - at.second % 30))
    proof = {"password": PASSWORD, "code": a_code(cast.ada)}
    assert ada.post("me/step-up", proof).status_code == 200
    other, entries = calling("ada", fresh=False), AuditEntry.objects.count()
    for _ in range(7):
        used = other.post("me/step-up", proof)
    assert (used.status_code, used.json()["code"]) == (403, "code_already_used")
    assert used.json()["title"] == "This code was already used. Wait for the next code (23 s)."
    assert used.json()["current"] == {"wait_seconds": "23"}
    assert AuditEntry.objects.count() == entries
    assert not Tries.objects.filter(count__gt=0).exists()
    assert other.decide("approve", row).json()["code"] == "step_up_required"
    assert other.post("me/step-up", {**proof, "password": "wrong"}).json()["code"] == "step_up_required"
    assert nothing_happened(row, "PENDING_CUSTOMER")


def test_a_decision_says_what_was_read(cast: Cast, calling: Calling) -> None:
    row, ada = cast.confirmed(), calling("ada")
    ada.step_up()
    missing = ada.post(f"access-requests/{row.pk}/approve", {})
    assert (missing.status_code, missing.json()["code"]) == (428, "precondition_required")
    for tag in ("*", '"other"', 'W/"other"'):
        stale = ada.post(f"access-requests/{row.pk}/approve", {}, If_Match=tag)
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert nothing_happened(row, "PENDING_CUSTOMER")


@pytest.mark.parametrize("name", ["priya", "otto"])
def test_whoever_may_not_decide_is_in_the_log_whatever_they_have_read(cast: Cast, calling: Calling, name: str) -> None:
    row, caller = cast.confirmed(), calling(name)
    caller.step_up()
    before = AuditEntry.objects.filter(event="act.refused").count()
    answer = caller.post(f"access-requests/{row.pk}/approve", {}, If_Match='"other"')
    assert answer.status_code == 403
    assert AuditEntry.objects.filter(event="act.refused").count() == before + 1
    assert nothing_happened(row, "PENDING_CUSTOMER")


def test_an_access_request_that_changed_since_it_was_read_is_not_decided(cast: Cast, calling: Calling) -> None:
    row, ada, alan = cast.confirmed(), calling("ada"), calling("alan")
    ada.step_up()
    alan.step_up()
    tag = alan.get(f"access-requests/{row.pk}")["ETag"]
    assert ada.decide("deny", row).status_code == 200
    stale = alan.post(f"access-requests/{row.pk}/approve", {}, If_Match=tag)
    assert stale.status_code == 412
    again = alan.decide("approve", row)
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
    assert again.json()["current"] == {"state": "DENIED", "decided_by": "Ada Test"}
    assert not Grant.objects.exists()


def test_an_approval_at_the_deadline_is_late(cast: Cast, calling: Calling, travel: Any) -> None:
    row, ada = cast.confirmed(), calling("ada")
    travel.to(row.decide_by)
    ada.step_up()
    late = ada.decide("approve", row)
    assert (late.status_code, late.json()["code"]) == (409, "deadline_passed")
    assert late.json()["current"]["state"] == "EXPIRED"
    assert nothing_happened(row, "PENDING_CUSTOMER")


def test_nobody_decides_on_their_own_access_request(cast: Cast, calling: Calling) -> None:
    row, bea = cast.submitted(by="bea"), calling("bea")
    bea.step_up()
    found = bea.decide("approve", row)
    assert (found.status_code, found.json()["code"]) == (403, "own_access_request")
    assert AuditEntry.objects.order_by("-pk")[0].event == "act.refused"
    assert not Decision.objects.exists()


# --- Clients -------------------------------------------------------------------------------------------------


def test_a_client_that_was_not_allowed_to_decides_nothing(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    found = calling("contoso").decide("deny", row)
    assert (found.status_code, found.json()["code"]) == (403, "machine_may_not_decide")
    assert nothing_happened(row, "PENDING_CUSTOMER")


def test_a_client_that_was_allowed_to_decides_and_the_log_says_for_whom(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    found = calling("contoso", decides_for_id=cast.alan.pk).decide("approve", row, "By the rules.")
    assert (found.status_code, found.json()["state"]) == (200, "OPEN")
    decision = found.json()["decisions"][-1]
    assert (decision["decider"]["name"], decision["through"]) == ("Alan Test", "Help desk")
    entry = AuditEntry.objects.get(event="access_request.approved_by_customer")
    assert (entry.actor_kind, entry.actor_name, entry.door) == ("client", "Help desk", "api")
    assert b'"for":{"email":"alan@contoso.example"' in bytes(entry.canonical)


def test_a_machine_counts_as_the_human_it_decides_for(cast: Cast, calling: Calling) -> None:
    """The client decides for Alan. Alan and the engineer are one human with two accounts, so the client is refused."""
    cast.alan.human_id = cast.priya.human_id
    cast.alan.save()
    row = cast.confirmed()
    found = calling("contoso", decides_for_id=cast.alan.pk).decide("approve", row)
    assert (found.status_code, found.json()["code"]) == (403, "own_access_request")
    assert nothing_happened(row, "PENDING_CUSTOMER")


def test_a_client_stops_deciding_when_its_human_is_no_longer_an_approver(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    client = calling("contoso", decides_for_id=cast.alan.pk)
    operations.switch_off_person(cast.alan.pk, actor=cast.as_("ines"))
    found = client.decide("approve", row)
    assert (found.status_code, found.json()["code"]) == (403, "machine_may_not_decide")
    assert nothing_happened(row, "PENDING_CUSTOMER")


@pytest.mark.parametrize("verdict", ["approve", "deny"])
def test_a_client_of_the_providers_never_decides(cast: Cast, calling: Calling, verdict: str) -> None:
    row = cast.submitted()
    found = calling(None).decide(verdict, row)
    assert (found.status_code, found.json()["code"]) == (403, "insufficient_scope")
    assert not Decision.objects.exists()


def test_a_client_raises_an_access_request_in_the_name_of_an_engineer(cast: Cast, calling: Calling) -> None:
    body = asking(cast) | {"engineer": "priya@provider.example"}
    found = calling(None, Scope.REQUESTS_SUBMIT, Scope.REQUESTS_READ).post("access-requests", body)
    assert (found.status_code, found.json()["engineer"]["name"]) == (201, "Priya Test")
    row = AccessRequest.objects.get()
    assert (row.requested_by, row.requester_human) == (cast.priya, cast.priya.human_id)
    entry = AuditEntry.objects.get(event="access_request.submitted")
    assert (entry.actor_kind, entry.actor_name) == ("client", "Help desk")
    assert b'"for":{"email":"priya@provider.example"' in bytes(entry.canonical)
    assert OutboxMessage.objects.filter(topic="notify.decide_as_provider").count() == 1
    # Nobody had the ticket.
    assert row.ticket is not None
    assert row.ticket.assignee == cast.priya
    taken = AuditEntry.objects.get(event="ticket.assigned")
    assert (taken.actor_kind, taken.actor_name, taken.seq) == ("client", "Help desk", entry.seq - 1)


def test_a_client_asks_for_no_wider_level_than_the_service_has_and_the_tenant_allows(
    cast: Cast, calling: Calling
) -> None:
    """With another spelling, no client gets a level past the rule of a tenant."""
    cast.with_act_as(allowed=False)
    ticket = cast.ticket(service_id=cast.quillo().pk)
    resource = cast.ask(ticket).resource_ids[0]
    body = asking(cast) | {"engineer": "priya@provider.example"}
    ours, theirs = body, {**body, "ticket": str(ticket.pk), "resources": [str(resource)]}
    caller = calling(None, Scope.REQUESTS_SUBMIT, Scope.REQUESTS_READ)
    for wanted in (ours, theirs):
        for level in ("act_as", "ACT_AS", "act_as ", "act-as", "view act_as", "\u0430ct_as", ["view", "act_as"], None):
            with nothing_happens():
                found = caller.post("access-requests", {**wanted, "level": level})
            assert (found.status_code, found.json()["errors"][0]["field"]) == (422, "level"), level
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    found = caller.post("access-requests", {**theirs, "level": "act_as"})
    assert (found.status_code, found.json()["level"]) == (201, "act_as")
    assert caller.post("access-requests", {**ours, "level": "act_as"}).status_code == 422


@pytest.mark.parametrize("engineer", ["samir@provider.example", "pat@provider.example"])
def test_an_engineer_of_another_queue_is_asked_for_in_vain(cast: Cast, calling: Calling, engineer: str) -> None:
    found = calling(None).post("access-requests", asking(cast) | {"engineer": engineer})
    assert found.status_code in (404, 422)
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize("engineer", [None, "", "ada@contoso.example", "nobody@provider.example", "x" * 500])
def test_a_client_names_an_engineer_that_there_is(cast: Cast, calling: Calling, engineer: str | None) -> None:
    body = asking(cast) | ({} if engineer is None else {"engineer": engineer})
    found = calling(None).post("access-requests", body)
    assert (found.status_code, found.json()["errors"][0]["field"]) == (422, "engineer")
    assert not AccessRequest.objects.exists()


def test_a_human_asks_in_their_own_name(cast: Cast, calling: Calling) -> None:
    found = calling("erik").post("access-requests", asking(cast) | {"engineer": "priya@provider.example"})
    assert (found.status_code, found.json()["errors"][0]["field"]) == (422, "engineer")
    assert not AccessRequest.objects.exists()


def test_a_demand_replaces_a_ticket(cast: Cast, calling: Calling) -> None:
    body = asking(cast)
    del body["ticket"]
    demand = {"authority": "District court", "instrument": "Warrant", "reference": "AZ 1", "date": "2026-01-01"}
    body |= {"demand": demand, "tenant": str(cast.contoso.pk), "service": str(cast.exchange.pk)}
    found = calling("priya").post("access-requests", body)
    assert (found.status_code, found.json()["demand"], found.json()["reason"]) == (201, demand, "legal_demand")
