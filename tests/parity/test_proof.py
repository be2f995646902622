"""Which acts take fresh proof of who acts, and for which a session or a token is enough: all of them, by name."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import Client as Browser

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.errors import StepUpRequired
from requests_app.lifecycle import TRANSITIONS
from requests_app.models import Decision, Grant, Proposal, Token
from requests_app.scopes import Scope
from tests.caller import Caller, service_of, token_of
from tests.cast import Cast, events_in, events_of
from tests.parity.api_calls import AZURE_CALLS, CALLS
from tests.parity.test_doors import CASES
from tests.web.pages import answer, nothing_happens, page_of, signed_in

pytestmark = pytest.mark.django_db

#: What ends access, or says no. Nothing else was ever taken off the list of acts that need proof.
ENDS = {
    "deny_all_and_mute",
    "deny_as_customer",
    "deny_as_provider",
    "release",
    "revoke",
    "revoke by staff",
    "revoke by staff, from the grant",
    "switch_lockbox, on",
    "withdraw",
}

#: What gives or widens access, or changes who decides, by which rule, or who is told.
NEEDS_PROOF = {
    "add_webhook",
    "add_webhook by staff",
    "add_witness",
    "approve_as_customer",
    "approve_as_provider",
    "change_client",
    "change_client by staff",
    "change_webhook",
    "change_webhook by staff",
    "claim_domain",
    "confirm_proposal",
    "confirm_proposal by staff",
    "create_client",
    "create_client by staff",
    "create_token",
    "disable_webhook",
    "disable_webhook by staff",
    "enable_webhook",
    "enable_webhook by staff",
    "end_out_of_office",
    "give_queue_role",
    "give_role",
    "give_role by staff",
    "invite_person by staff",
    "lift_mute",
    "link_accounts by staff",
    "make_lasting_token",
    "make_recovery_codes",
    "make_recovery_key",
    "make_staff",
    "provision_role",
    "remove_domain",
    "remove_totp",
    "remove_webhook",
    "remove_webhook by staff",
    "remove_witness",
    "request_address",
    "resend_invitation by staff",
    "reset_second_factors",
    "reset_second_factors by staff",
    "rotate_client_secret",
    "rotate_client_secret by staff",
    "rotate_webhook_secret",
    "rotate_webhook_secret by staff",
    "save_service",
    "set_approval_page",
    "set_cosigning",
    "set_log_retention",
    "set_out_of_office",
    "set_password",
    "set_sign_on",
    "set_sign_on, again",
    "set_two_person_control",
    "set_up_totp",
    "set_window_cap",
    "set_yes_rule",
    "switch_lockbox",
    "take_role",
    "unlink_accounts by staff",
    "unlink_identity",
    "unlink_identity by staff",
    "verify_domain",
}

#: What never took any: work on tickets, people who decide nothing, what staff set up, and what proves itself.
#: In `tests/operations/test_step_up.py` are those that take proof only for some of their rows.
NEEDS_NONE = {
    "accept_invitation",
    "add_address",
    "add_person",
    "allow_access",
    "answer_ticket",
    "ask_customer",
    "ask_customer by staff",
    "assign_ticket",
    "assign_ticket by staff",
    "change_provisioned",
    "change_tenant",
    "close_ticket",
    "comment",
    "comment by staff",
    "comment, which is the answer",
    "confirm_address",
    "create_tenant",
    "internal note",
    "internal note by staff",
    "invite_person",
    "link_ticket",
    "link_ticket by staff",
    "open_ticket",
    "open_ticket by staff",
    "open_ticket, linked",
    "provision_member",
    "redeliver",
    "redeliver by staff",
    "remove_address",
    "remove_client",
    "remove_client by staff",
    "remove_client by staff, of a tenant",
    "remove_provisioned",
    "reopen_ticket",
    "resend_invitation",
    "resend_mail",
    "resolve_ticket",
    "resolve_ticket by staff",
    "revoke_token",
    "revoke_token by its owner",
    "revoke_token by staff",
    "save_plan",
    "save_plan, a new one",
    "save_resource",
    "save_resource, a new one",
    "save_service, a new one",
    "send_webhook_test",
    "send_webhook_test by staff",
    "submit",
    "switch_off_person",
    "switch_off_person by staff",
    "switch_on_person",
    "switch_on_person by staff",
    "take_queue_role",
    "tombstone by staff",
    "use_recovery_key",
    "withdraw_invitation",
    "withdraw_invitation by staff",
    "withdraw_proposal",
    "withdraw_proposal by staff",
}


def test_every_act_is_named_once() -> None:
    assert CASES.keys() == NEEDS_PROOF | ENDS | NEEDS_NONE
    assert len(NEEDS_PROOF) + len(ENDS) + len(NEEDS_NONE) == len(CASES)
    assert {action for action, edge in TRANSITIONS.items() if edge.needs_step_up} == NEEDS_PROOF & TRANSITIONS.keys()


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_act_takes_fresh_proof_or_a_session_alone_as_the_list_says(cast: Cast, travel: Any, name: str) -> None:
    travel.freeze()
    case = CASES[name]
    row = case.prepare(cast)
    stale = cast.as_(case.who, door="command", fresh=False) if case.who else service_of(cast)
    before = AuditEntry.objects.count()
    if name not in NEEDS_PROOF:
        case.operation(cast, row, stale)
        return
    with pytest.raises(StepUpRequired):
        case.operation(cast, row, stale)
    refused = AuditEntry.objects.count() - before
    assert refused == (1 if name in TRANSITIONS else 0)
    assert set(AuditEntry.objects.order_by("-pk").values_list("event", flat=True)[:refused]) <= {"act.refused"}


@pytest.mark.parametrize("name", sorted(ENDS))
def test_what_ends_access_takes_a_session_or_a_token_alone_by_every_door(cast: Cast, travel: Any, name: str) -> None:
    """The page, the administration, the API and Azure's contract: none asks for proof, the scopes stay."""
    travel.freeze()
    case = CASES[name]
    assert case.who is not None
    doors: list[Any] = [call for call in (case.page, case.admin) if call is not None]
    calls = [calls[name] for calls in (CALLS, AZURE_CALLS) if name in calls]
    assert doors or calls
    token = token_of(cast, case.who, fresh=False) if calls else ""
    assert not Token.objects.exclude(stepped_up_at=None).exists()
    row = case.prepare(cast)
    for call in (*doors, *calls):
        before, start = AuditEntry.objects.count(), transaction.savepoint()
        here: Any = Caller(token) if call in calls else signed_in(cast, case.who, fresh=False)
        response = call(cast, here, row)
        assert response.status_code in (200, 201, 204, case.status), response.content.decode()[-2000:]
        assert AuditEntry.objects.count() > before
        assert not AuditEntry.objects.filter(event="act.refused").exists()
        transaction.savepoint_rollback(start)


def test_a_token_without_the_scope_ends_nothing(cast: Cast) -> None:
    row, caller = cast.opened().access_request, Caller(token_of(cast, "ada", Scope.REQUESTS_READ))
    with nothing_happens():
        refused = caller.post(f"access-requests/{row.pk}/revoke", {})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


def test_a_session_that_was_left_open_ends_access_and_gives_none(cast: Cast) -> None:
    """Case 15: a stolen cookie may close and deny. It opens nothing, widens nothing, and lifts no mute."""
    window, first, second = cast.opened().access_request, cast.confirmed(by="erik"), cast.confirmed(by="erik")
    client = signed_in(cast, "ada", fresh=False)
    assert client.post(page_of(window, "access_request_act", "revoke")).status_code == 302
    assert client.post(page_of(first, "decide", "deny"), answer(first, "deny")).status_code == 302
    without = {**answer(second), "password": "", "code": ""}
    assert client.post(page_of(second, "decide", "approve"), without).status_code in (403, 422)
    assert not Grant.objects.filter(access_request=second).exists()
    assert [d.verdict for d in Decision.objects.filter(stage="customer", access_request=first)] == ["deny"]


def test_a_denial_keeps_its_rule_about_a_comment(cast: Cast) -> None:
    row = cast.submitted()
    refused = signed_in(cast, "pat", fresh=False).post(page_of(row, "decide", "deny"), answer(row, "deny"))
    assert refused.status_code == 422
    assert not Decision.objects.exists()


def test_a_shorter_mute_lifts_the_longer_one_in_part_and_takes_the_same_proof(cast: Cast, travel: Any) -> None:
    travel.freeze()
    cast.confirmed()
    stale = cast.as_("ada", fresh=False)

    def mute(hours: int, engineer: Any = cast.priya.pk, by: Any = stale) -> Any:
        return operations.deny_all_and_mute(cast.contoso.pk, engineer_id=engineer, hours=hours, actor=by)

    four = mute(4)
    with nothing_happens(), pytest.raises(StepUpRequired):
        mute(1)
    four.refresh_from_db()
    assert four.lifted_at is None
    mute(24)
    # One about everybody lifts none of a single engineer's.
    mute(1, engineer=None)
    mute(1, by=cast.as_("ada"))
    assert events_in(cast.contoso).count("mute.set") == 4


def test_lockbox_is_switched_on_by_one_person_and_off_by_two(cast: Cast) -> None:
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    client = signed_in(cast, "ines", fresh=False)
    assert client.post(f"/tenant/{cast.contoso.pk}/lockbox/on/").status_code == 302
    cast.contoso.refresh_from_db()
    assert (cast.contoso.lockbox_on, Proposal.objects.count()) == (True, 0)
    assert events_in(cast.contoso)[-1] == "lockbox.switched_on"
    # Off again is held, and takes the proof.
    assert client.post(f"/tenant/{cast.contoso.pk}/lockbox/off/").status_code == 403
    signed_in(cast, "ines").post(f"/tenant/{cast.contoso.pk}/lockbox/off/")
    cast.contoso.refresh_from_db()
    assert (cast.contoso.lockbox_on, Proposal.objects.count()) == (True, 1)


def test_a_stranger_and_a_form_of_another_site_close_nothing(cast: Cast) -> None:
    row = cast.opened().access_request
    page = page_of(row, "access_request_act", "revoke")
    elsewhere = Browser(enforce_csrf_checks=True)
    elsewhere.force_login(cast.ada)
    with nothing_happens():
        assert elsewhere.post(page).status_code == 403
        assert Browser().post(page).status_code == 302
        assert signed_in(cast, "ada", fresh=False).get(page).status_code == 200
    assert events_of(row)[-1] == "access_request.approved_by_customer"


def test_somebody_who_is_asked_to_sign_in_first_is_one_press_away(cast: Cast) -> None:
    """The session ended while the page stayed open: after the sign-in the page with the one button is shown."""
    row = cast.opened().access_request
    page = page_of(row, "access_request_act", "revoke")
    away: Any = Browser().post(page)
    assert away.url.endswith(f"?next={page}")
    here = signed_in(cast, "ada", fresh=False)
    shown = here.get(page).content.decode().partition("<main")[2]
    assert shown.count('type="submit"') == 1
    assert here.post(page).status_code == 302
    row.refresh_from_db()
    assert row.state == "CLOSED"
