"""A person sends the same decision again, through every interface: they get the first result, without a new entry."""

from __future__ import annotations

from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import WrongState
from requests_app.models import Decision
from tests.acts.shared import by_azure
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.web.pages import answer, nothing_happens, page_of, signed_in

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("is_closed", [False, True])
def test_an_approval_sent_again_is_answered_by_the_first(cast: Cast, is_closed: bool) -> None:
    """This works without a confirmation, after the window was closed, and with the ETag from before the first call."""
    row, caller = cast.confirmed(), Caller(token_of(cast, "ada"))
    tag = caller.get(f"access-requests/{row.pk}")["ETag"]
    first = caller.post(f"access-requests/{row.pk}/approve", {"comment": "Seen."}, If_Match=tag)
    if is_closed:
        operations.revoke(row.pk, actor=cast.as_("alan"))
    later = Caller(token_of(cast, "ada", fresh=False))
    state = "CLOSED" if is_closed else "OPEN"
    with nothing_happens():
        again = later.post(f"access-requests/{row.pk}/approve", {"comment": "Again."}, If_Match=tag)
        azure = by_azure("Approve", "Again.")(cast, later, row)
        page = signed_in(cast, "ada", fresh=False).post(page_of(row, "decide", "approve"), answer(row))
        room = operations.approve_as_customer(row.pk, actor=cast.as_("ada", fresh=False), note="Again.")
    assert (again.status_code, again.json()["state"], room.state) == (200, state, state)
    assert again.json()["decisions"] == first.json()["decisions"]
    assert (azure.status_code, azure.json()) == (200, {"status": "Approve", "reason": "Seen."})
    assert (page.status_code, page.url) == (302, page_of(row, "receipt"))


def test_the_opposite_answer_is_a_conflict_that_says_what_was_answered(cast: Cast) -> None:
    row, caller = cast.confirmed(), Caller(token_of(cast, "ada"))
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    refused = caller.decide("deny", row)
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert refused.json()["current"] == {"state": "OPEN", "decided_by": "Ada Test"}
    azure = by_azure("Deny", "No.")(cast, caller, row)
    assert (azure.status_code, azure.json()["error"]["code"]) == (409, "Conflict")
    assert azure.json()["error"]["additionalInfo"][0]["info"] == {"currentStatus": "Approved"}
    assert Decision.objects.filter(stage="customer").count() == 1


def test_another_account_of_the_same_human_is_answered_by_the_first_and_another_human_is_not(cast: Cast) -> None:
    row = cast.confirmed()
    first = operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    with pytest.raises(WrongState, match="Ada Test was faster"):
        operations.approve_as_customer(row.pk, actor=cast.as_("alan"))
    cast.agreed(lambda: operations.link_accounts(cast.alan.pk, cast.ada.pk, actor=cast.as_("stella")))
    with nothing_happens():
        assert operations.approve_as_customer(row.pk, actor=cast.as_("alan")).state == first.state
    assert Decision.objects.get(stage="customer").decider == cast.ada


def test_a_caller_who_lost_the_role_gets_no_answer_to_the_same_call(cast: Cast) -> None:
    row, caller = cast.confirmed(), Caller(token_of(cast, "ada"))
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    assert caller.decide("approve", row).status_code == 403


@pytest.mark.parametrize("on", [True, False])
def test_lockbox_that_is_switched_so_already_is_no_conflict(cast: Cast, on: bool) -> None:
    operations.switch_lockbox(cast.contoso.pk, on=on, actor=cast.as_("ines"))
    caller, before = Caller(token_of(cast, "ines", fresh=False)), AuditEntry.objects.count()
    word = "enable" if on else "disable"
    azure: Any = f"/providers/Microsoft.CustomerLockbox/{word}Lockbox?api-version=2018-02-28-preview"
    assert caller.post(azure).status_code == 200
    assert caller.post(f"tenants/{cast.contoso.pk}/{word}-lockbox").status_code == 200
    assert AuditEntry.objects.count() == before


def test_a_withdrawal_sent_again_is_answered_by_the_first(cast: Cast) -> None:
    row, caller = cast.submitted(), Caller(token_of(cast, "priya"))
    first = caller.post(f"access-requests/{row.pk}/withdraw", {"comment": "Found it."})
    with nothing_happens():
        again = caller.post(f"access-requests/{row.pk}/withdraw", {"comment": "Found it, as I said."})
    assert (first.status_code, again.status_code, again.json()["state"]) == (200, 200, "WITHDRAWN")


def test_an_access_request_that_ended_with_its_ticket_is_not_answered_as_withdrawn(cast: Cast) -> None:
    row, caller = cast.submitted(), Caller(token_of(cast, "priya"))
    operations.assign_ticket(row.ticket_id, actor=cast.as_("priya"))
    operations.resolve_ticket(row.ticket_id, actor=cast.as_("priya"), note="It works again.")
    withdrawals = AuditEntry.objects.filter(event="access_request.withdrawn")
    assert withdrawals.count() == 1
    refused = caller.post(f"access-requests/{row.pk}/withdraw", {"comment": "Found it."})
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    page = signed_in(cast, "priya").post(page_of(row, "access_request_act", "withdraw"), {"comment": "Found it."})
    assert page.status_code == 409
    assert withdrawals.count() == 1
