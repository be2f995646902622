"""Lists by name, for all acts, which of them need a recent confirmation.

For the others a session or token is enough.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import Client as Browser

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.acts import ACTS
from requests_app.domain.acts.declaration import StepUp
from requests_app.domain.errors import StepUpRequired
from requests_app.domain.lifecycle import TRANSITIONS
from requests_app.domain.scopes import Scope
from requests_app.models import Decision, Grant, Proposal, Token
from tests.acts import CASES, act_of
from tests.caller import Caller, service_of, token_of
from tests.cast import Cast, events_in, events_of
from tests.web.pages import answer, nothing_happens, page_of, signed_in

pytestmark = pytest.mark.django_db

#: Acts that deny or that end access. Only these acts were ever exempted from the confirmation.
ENDS = {
    "deny_all_and_mute",
    "deny_as_customer",
    "deny_as_provider",
    "release",
    "revoke",
    "revoke by staff",
    "revoke by staff, from the grant",
    "rule_out_level",
    "rule_out_level, act as",
    "switch_lockbox, on",
    "withdraw",
}

#: Cases of acts that need a confirmation only for some rows and inputs.
#: `tests/operations/test_step_up.py` has more of them.
IN_SOME_CASES = {
    "add_proxy",
    "change_client",
    "change_client by staff",
    "change_webhook",
    "change_webhook by staff",
    "create_token",
    "give_queue_role",
    "give_role",
    "give_role by staff",
    "invite_person by staff",
    "provision_role",
    "resend_invitation by staff",
    "save_resource, another locator and external id",
    "save_service",
    "save_service, an external one",
    "save_service, a level that changes things",
    "save_service, its gate",
    "save_service, its levels",
    "set_password",
    "switch_lockbox",
    "take_role",
}


def _step_up(case: str) -> StepUp:
    """Return the step-up that the declaration of this case's act requires."""
    return ACTS[act_of(case)].step_up


#: Acts that give or extend access, or that change who decides, by which rule, or who gets messages. All other acts need
#: no confirmation, and a client has nothing to confirm with.
NEEDS_PROOF = {
    name for name, case in CASES.items() if _step_up(name) is StepUp.ALWAYS and case.who is not None
} | IN_SOME_CASES


def test_only_acts_that_depend_on_it_are_listed_by_their_cases() -> None:
    assert {name for name in IN_SOME_CASES if _step_up(name) is not StepUp.DEPENDS} == set()
    assert CASES.keys() >= IN_SOME_CASES


def test_an_act_that_ends_access_is_never_declared_to_need_proof() -> None:
    """The list of these acts is written by hand, because a declaration must not check itself (ADR 64)."""
    assert CASES.keys() >= ENDS
    assert set() == ENDS & NEEDS_PROOF


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_act_takes_fresh_proof_or_a_session_alone_as_the_list_says(cast: Cast, travel: Any, name: str) -> None:
    travel.freeze()
    case = CASES[name]
    row = case.prepare(cast)
    stale = cast.as_(case.who, door="command", fresh=False) if case.who else service_of(cast, scope=case.scope)
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
def test_an_act_that_ends_access_needs_only_a_session_or_token_everywhere(cast: Cast, travel: Any, name: str) -> None:
    """No confirmation is needed on the page, in the administration, over the API or through Azure's contract.

    A token still needs the scope.
    """
    travel.freeze()
    case = CASES[name]
    assert case.who is not None
    doors: list[Any] = [call for call in (case.page, case.admin) if call is not None]
    assert doors or case.calls
    token = token_of(cast, case.who, fresh=False) if case.calls else ""
    assert not Token.objects.exclude(stepped_up_at=None).exists()
    row = case.prepare(cast)
    for call in (*doors, *case.calls):
        before, start = AuditEntry.objects.count(), transaction.savepoint()
        here: Any = Caller(token) if call in case.calls else signed_in(cast, case.who, fresh=False)
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
    """Case 15: a thief with a stolen cookie can deny and close. They can't open or extend anything, or lift a mute."""
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
    # A mute of everybody does not replace the mute of one engineer.
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
    # Switching Lockbox off becomes a proposal, and needs a confirmation.
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
    """The session ended while the page was open. After the sign-in, the person sees the page with the button again."""
    row = cast.opened().access_request
    page = page_of(row, "access_request_act", "revoke")
    away: Any = Browser().post(page)
    assert away.url.endswith(f"?next=/not-sent/%3Fpage%3D{page}")
    here = signed_in(cast, "ada", fresh=False)
    shown = here.get(f"/not-sent/?page={page}", follow=True).content.decode().partition("<main")[2]
    assert shown.count('type="submit"') == 1
    assert here.post(page).status_code == 302
    row.refresh_from_db()
    assert row.state == "CLOSED"
