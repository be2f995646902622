"""A tenant's guided set-up: who sees it, and which fact makes each step done."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit_app.models import Witness
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.models import Membership, Person, Tenant
from requests_app.queries.guide import Guide, StepState
from requests_app.queries.guide_of_tenant import STEPS, TenantFacts, tenant_guide
from requests_app.queries.installation import MAIL_FILES
from requests_app.templatetags.lockbox import step_url
from tests import practice
from tests.acts.guide import _log_key, _recovery_key
from tests.cast import Cast, events_in
from tests.web.pages import nothing_happens, only_a_refusal, signed_in

pytestmark = pytest.mark.django_db

NAMES = [step.name for step in STEPS]


def guide(cast: Cast, name: str = "ines", tenant: str = "contoso") -> Guide[TenantFacts]:
    return tenant_guide(cast.tenants[tenant].pk, actor=cast.as_(name), at=clock.now())


def step(cast: Cast, name: str) -> tuple[StepState, str]:
    [found] = [each.found for each in guide(cast).steps if each.step.name == name]
    return found.state, " ".join([found.says, *found.lines])


def is_done(cast: Cast, name: str) -> bool:
    return step(cast, name)[0] is StepState.DONE


def page(cast: Cast, name: str = "ines") -> str:
    response = signed_in(cast, name).get(reverse("web:guide", args=[cast.contoso.pk]))
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def home(cast: Cast, name: str) -> str:
    text = signed_in(cast, name).get("/").content.decode()
    return " ".join(re.sub(r"</?bdi[^>]*>", "", text).split())


def _complete(cast: Cast, *, has_practised: bool = True) -> None:
    ines = cast.as_("ines")
    operations.add_address(cast.contoso.pk, email="soc@contoso.example", actor=ines)
    operations.confirm_recovery_key(cast.contoso.pk, characters=_recovery_key(cast), actor=ines)
    operations.confirm_log_key(cast.contoso.pk, characters=_log_key(cast), actor=ines)
    if has_practised:
        practice.opened(cast)


# --- Who sees it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [("ines", 200), ("ada", 403), ("otto", 403), ("mia", 403), ("stella", 403), ("finn", 404), ("priya", 404)],
)
def test_only_the_tenants_administrator_sees_it(cast: Cast, name: str, status: int) -> None:
    client = signed_in(cast, name)
    for address in ("guide", "confirm_recovery_key", "confirm_log_key"):
        assert client.get(reverse(f"web:{address}", args=[cast.contoso.pk])).status_code == status, address


def test_the_read_refuses_the_same_people(cast: Cast) -> None:
    for name in ("ada", "stella"):
        with pytest.raises(NotAllowed):
            guide(cast, name)
    for name in ("finn", "priya"):
        with pytest.raises(NotFound):
            guide(cast, name)


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_looking_ticks_nothing(cast: Cast, method: str) -> None:
    client = signed_in(cast, "ines")
    before = [(each.step.name, each.found) for each in guide(cast).steps]
    with nothing_happens():
        getattr(client, method)(reverse("web:guide", args=[cast.contoso.pk]))
    assert [(each.step.name, each.found) for each in guide(cast).steps] == before


def test_no_form_ticks_a_step(cast: Cast) -> None:
    assert signed_in(cast, "ines").post(reverse("web:guide", args=[cast.contoso.pk])).status_code == 405


# --- The facts ------------------------------------------------------------------------------------------------


def test_two_approvers_are_two_humans(cast: Cast) -> None:
    assert is_done(cast, "approvers")
    Person.objects.get_queryset().filter(pk=cast.alan.pk).update(human_id=cast.ada.human_id)
    assert not is_done(cast, "approvers")


def test_one_approver_or_none_is_too_few(cast: Cast) -> None:
    Person.objects.get_queryset().filter(pk=cast.alan.pk).update(is_active=False)
    state, says = step(cast, "approvers")
    assert (state, "Only Ada Test" in says) == (StepState.OPEN, True)
    Membership.objects.filter(role="approver", tenant=cast.contoso).delete()
    assert step(cast, "approvers")[1].startswith("Nobody can approve or deny yet.")


BECOMING = {"act": "give", "role": "approver", "then": "set-up"}


def test_one_press_makes_an_administrator_an_approver_and_the_next_step_follows(cast: Cast) -> None:
    Person.objects.get_queryset().filter(pk=cast.alan.pk).update(is_active=False)
    client, roles = signed_in(cast, "ines"), reverse("web:person", args=[cast.contoso.pk, cast.ines.pk])
    shown = page(cast)
    assert f'action="{roles}"' in shown
    assert "If you make yourself an approver, you can approve, deny, and close windows from then on." in shown
    for name, value in BECOMING.items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in shown
    answer = client.post(roles, BECOMING, follow=True)
    assert answer.redirect_chain == [(reverse("web:guide", args=[cast.contoso.pk]), 302)]
    assert "Ines Test</bdi> has the role “Approver” now." in answer.content.decode()
    assert events_in(cast.contoso)[-1] == "role.given"
    assert roles not in page(cast)
    assert is_done(cast, "approvers")


def test_becoming_an_approver_takes_a_fresh_proof(cast: Cast) -> None:
    roles = reverse("web:person", args=[cast.contoso.pk, cast.ines.pk])
    with nothing_happens():
        answer = signed_in(cast, "ines", fresh=False).post(roles, BECOMING)
    assert (answer.status_code, not _is_approver(cast)) == (403, True)
    with only_a_refusal():
        answer = signed_in(cast, "ada").post(roles, BECOMING)
    assert (answer.status_code, not _is_approver(cast)) == (403, True)


def _is_approver(cast: Cast) -> bool:
    return bool(Membership.objects.filter(tenant=cast.contoso, person=cast.ines, role="approver").exists())


def test_the_step_of_lockbox_leads_to_its_button(cast: Cast) -> None:
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    assert f'href="{reverse("web:lockbox", args=[cast.contoso.pk, "on"])}"' in page(cast)


def test_one_approver_is_enough_only_in_a_trial(cast: Cast, settings: Any) -> None:
    Person.objects.get_queryset().filter(pk=cast.alan.pk).update(is_active=False)
    settings.BASE_URL, settings.EMAIL_BACKEND = "http://localhost:8000", MAIL_FILES
    assert is_done(cast, "approvers")
    settings.PRODUCTION = True
    assert not is_done(cast, "approvers")
    settings.PRODUCTION = False
    Membership.objects.filter(role="approver", tenant=cast.contoso).delete()
    assert not is_done(cast, "approvers")


def test_invited_approvers_are_named_and_the_next_step_can_begin(cast: Cast) -> None:
    Membership.objects.filter(role="approver", tenant=cast.contoso).delete()
    assert page(cast).count("Waiting for others") == 0
    rows = [cast.invited(email, "approver") for email in ("ada2@contoso.example", "alan2@contoso.example")]
    cast.invited("otto2@contoso.example", "auditor")
    state, says = step(cast, "approvers")
    assert (state, "2 people are invited and have not accepted yet: ada2@" in says) == (StepState.OPEN, True)
    assert "otto2@" not in says
    found = guide(cast)
    assert (found.next and found.next.step.name, found.is_complete) == ("recovery_key", False)
    assert page(cast).count("Waiting for others") == 1
    operations.withdraw_invitation(rows[0].pk, actor=cast.as_("ines"))
    following = guide(cast).next
    assert following is not None
    assert following.step.name == "approvers"


@pytest.mark.parametrize(("name", "tenant"), [("noah", "northwind"), ("ines", "contoso")])
def test_after_an_act_the_next_step_is_one_press_away(cast: Cast, name: str, tenant: str) -> None:
    pk = cast.tenants[tenant].pk
    client, url = signed_in(cast, name), reverse("web:addresses", args=[pk])
    onwards = f'<a href="{reverse("web:guide", args=[pk])}">Set-up list</a>'
    assert onwards not in client.get(url).content.decode(), "nothing was done yet"
    answer = client.post(url, {"email": "soc@customer.example", "label": ""}, follow=True).content.decode()
    following = guide(cast, name, tenant).next
    assert following is not None
    form = step_url(following.form, cast.tenants[tenant]) if following.form else reverse("web:guide", args=[pk])
    assert f'<a href="{form}">{following.step.title}</a>' in answer
    assert onwards in answer


def test_in_use_only_the_pages_of_steps_lead_onwards(cast: Cast) -> None:
    found = guide(cast)
    assert found.facts.is_in_use
    assert [found.is_about(f"web:{page}") for page in ("people", "security", "webhooks", "tokens")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_trial_needs_no_keys_and_no_address(cast: Cast, settings: Any) -> None:
    names = {"recovery_key", "addresses", "log_key"}
    settings.BASE_URL, settings.EMAIL_BACKEND = "http://localhost:8000", MAIL_FILES
    assert {step(cast, name)[0] for name in names} == {StepState.LEFT_OUT}
    assert guide(cast).total == 4
    assert "<summary>Optional or not needed here: Recovery key, printed and stored," in page(cast)
    _recovery_key(cast)
    assert step(cast, "recovery_key")[0] is StepState.OPEN, "who makes a key shows that it is stored"
    settings.PRODUCTION = True
    assert not {step(cast, name)[0] for name in names} & {StepState.LEFT_OUT}


def test_another_tenants_approver_counts_nothing_here(cast: Cast) -> None:
    Membership.objects.filter(role="approver", tenant=cast.contoso, person=cast.alan).delete()
    Membership.objects.create(tenant=cast.fabrikam, person=cast.ines, role="approver", given_at=clock.now())
    assert not is_done(cast, "approvers")


def test_each_approver_and_administrator_needs_a_second_factor(cast: Cast) -> None:
    state, says = step(cast, "second_factors")
    assert (state, "Ines Test: authenticator app, no passkey" in says) == (StepState.DONE, True)
    assert "Mia Test" not in says
    Person.objects.get_queryset().filter(pk=cast.alan.pk).update(totp_set_up_at=None)
    state, says = step(cast, "second_factors")
    assert (state, "Alan Test: no second factor" in says) == (StepState.OPEN, True)


def test_signed_approvals_need_passkeys(cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(yes_rule="signed")
    assert step(cast, "second_factors")[0] is StepState.OPEN


def test_a_recovery_key_must_be_made_and_confirmed(cast: Cast) -> None:
    assert "no recovery key" in step(cast, "recovery_key")[1]
    ending = _recovery_key(cast)
    assert step(cast, "recovery_key")[0] is StepState.OPEN
    operations.confirm_recovery_key(cast.contoso.pk, characters=ending, actor=cast.as_("ines"))
    assert is_done(cast, "recovery_key")
    _recovery_key(cast)
    assert not is_done(cast, "recovery_key"), "a new key is not confirmed yet"


def test_a_notification_address_is_needed(cast: Cast) -> None:
    assert not is_done(cast, "addresses")
    row = operations.add_address(cast.contoso.pk, email="soc@contoso.example", actor=cast.as_("ines"))
    assert is_done(cast, "addresses")
    operations.remove_address(row.pk, actor=cast.as_("ines"))
    assert not is_done(cast, "addresses")


def test_the_logs_key_must_exist_and_be_confirmed(cast: Cast) -> None:
    assert step(cast, "log_key")[0] is StepState.BLOCKED
    ending = _log_key(cast)
    assert step(cast, "log_key")[0] is StepState.OPEN
    operations.confirm_log_key(cast.contoso.pk, characters=ending, actor=cast.as_("ines"))
    assert is_done(cast, "log_key")


def test_a_witness_is_optional(cast: Cast) -> None:
    _complete(cast)
    found = guide(cast)
    assert (found.is_complete, found.next, is_done(cast, "witness")) == (True, None, False)
    Witness.objects.create(
        tenant_id=cast.contoso.pk, vkey="w+0+0", url="https://w.example", added_at=clock.now(), due_at=clock.now()
    )
    assert is_done(cast, "witness")


def test_lockbox_must_be_on_and_the_plan_must_include_it(cast: Cast) -> None:
    assert is_done(cast, "lockbox")
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    assert step(cast, "lockbox")[0] is StepState.OPEN
    Membership.objects.filter(role="approver", tenant=cast.contoso).delete()
    assert step(cast, "lockbox")[0] is StepState.BLOCKED
    total = guide(cast).total
    cast.contoso.plan.includes_lockbox = False
    cast.contoso.plan.save()
    state, says = step(cast, "lockbox")
    assert (state, "does not include Lockbox. Ask" in says) == (StepState.LEFT_OUT, True)
    assert step(cast, "practice") == (StepState.LEFT_OUT, "Without Lockbox, your approvers are asked nothing.")
    assert guide(cast).total == total - 2


def test_an_administrator_whose_plan_has_no_lockbox_is_not_reminded_for_ever(cast: Cast) -> None:
    _complete(cast, has_practised=False)
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    leads = reverse("web:guide", args=[cast.contoso.pk])
    assert not guide(cast).is_complete
    assert leads in home(cast, "ines")
    cast.contoso.plan.includes_lockbox = False
    cast.contoso.plan.save()
    assert guide(cast).is_complete
    assert leads not in home(cast, "ines")
    Tenant.objects.filter(pk=cast.contoso.pk).update(lockbox_on=True)
    assert not guide(cast).is_complete, "a contract takes no protection away: the practice counts"


def test_a_practice_request_must_be_answered(cast: Cast) -> None:
    assert "Nobody has answered" in step(cast, "practice")[1]
    row = practice.confirmed(cast)
    state, says = step(cast, "practice")
    assert (state, says) == (StepState.OPEN, "It waits for Ada Test or Alan Test.")
    operations.deny_as_customer(row.pk, note="Practice.", actor=cast.as_("ada"))
    assert is_done(cast, "practice")


def test_a_real_access_request_that_was_answered_is_enough(cast: Cast) -> None:
    row = cast.confirmed()
    assert not is_done(cast, "practice"), "nobody here has answered yet"
    operations.deny_as_customer(row.pk, note="Not now.", actor=cast.as_("ada"))
    assert is_done(cast, "practice")
    assert "Nobody has practised yet." in " ".join(
        signed_in(cast, "ines").get(reverse("web:practice", args=[cast.contoso.pk])).content.decode().split()
    )


def test_in_a_trial_a_real_ticket_comes_first_and_the_list_says_whose_turn_it_is(cast: Cast, settings: Any) -> None:
    def links() -> list[str]:
        return [str(link.label) for each in guide(cast).steps if each.step.name == "practice" for link in each.links]

    Person.objects.get_queryset().filter(pk=cast.alan.pk).update(is_active=False)
    assert links() == ["Practice request"]
    settings.BASE_URL, settings.EMAIL_BACKEND, settings.PRODUCTION = "http://localhost:8000", MAIL_FILES, False
    assert links() == ["Open a ticket", "Practice request"]
    cast.submitted()
    says = step(cast, "practice")[1]
    where = "Sign in as this person: the mail is in the terminal."
    assert says == f"It is the turn of Bea Test, Pat Test or Paula Test, an approver of Microsoft. {where}"
    assert guide(cast).next is None
    assert f'Next: First access request. <bdi class="visible-line">{says}' in page(cast)
    settings.PRODUCTION = True
    assert "Nobody has answered" in step(cast, "practice")[1], "outside a trial, only practice is told here"


def test_practice_does_not_make_a_tenant_look_in_use(cast: Cast) -> None:
    practice.confirmed(cast, "northwind")
    assert not guide(cast, "noah", "northwind").facts.is_in_use


# --- The pages ------------------------------------------------------------------------------------------------


def test_the_page_says_what_is_next_why_and_how_long_it_takes(cast: Cast) -> None:
    shown = page(cast)
    assert "3 of 7 done. Next: Recovery key, printed and stored." in shown
    assert "If you lose every administrator, this key names a new one." in shown
    assert "Otherwise:" in shown
    assert "Next · About 5 minutes" in shown
    assert shown.count('aria-current="step"') == 1
    for address in ("people", "recovery_key", "addresses", "log_rules", "practice"):
        assert reverse(f"web:{address}", args=[cast.contoso.pk]) in shown
    confirm = reverse("web:confirm_recovery_key", args=[cast.contoso.pk])
    assert confirm not in shown, "there is no key to confirm yet"
    _recovery_key(cast)
    assert confirm in page(cast)


def test_names_are_shown_harmless(cast: Cast) -> None:
    Person.objects.get_queryset().filter(pk=cast.ada.pk).update(name="<b>Ada\u202e")
    shown = page(cast)
    assert "<b>Ada" not in shown
    assert "\u202e" not in shown


def test_wrong_characters_are_refused_beside_the_field_and_not_shown_again(cast: Cast) -> None:
    _recovery_key(cast)
    address = reverse("web:confirm_recovery_key", args=[cast.contoso.pk])
    response = signed_in(cast, "ines").post(address, {"characters": "zyxw"})
    assert response.status_code == 422
    assert "These are not the last four characters." in response.content.decode()
    assert "zyxw" not in response.content.decode()


def test_right_characters_lead_back_to_the_list(cast: Cast) -> None:
    ending = _recovery_key(cast)
    client = signed_in(cast, "ines")
    answer = client.post(reverse("web:confirm_recovery_key", args=[cast.contoso.pk]), {"characters": ending})
    assert (answer.status_code, answer.url) == (302, reverse("web:guide", args=[cast.contoso.pk]))
    assert "The recovery key is confirmed." in client.get(answer.url).content.decode()


def test_more_people_need_no_more_queries(cast: Cast) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            guide(cast)
        return len(captured)

    few = count()
    for n in range(20):
        person = cast.stranger(f"more{n}@contoso.example")
        Membership.objects.create(tenant=cast.contoso, person=person, role="approver", given_at=clock.now())
    assert count() == few


# --- The home page --------------------------------------------------------------------------------------------


def test_the_home_of_a_new_tenants_administrator_leads_to_the_list(cast: Cast) -> None:
    shown = home(cast, "noah")
    assert "Set-up of Northwind: 1 of 5 done" in shown
    assert "Next: <strong>Approvers</strong>." in shown
    assert reverse("web:guide", args=[cast.northwind.pk]) in shown


def test_a_tenant_that_is_in_use_reads_only_a_line(cast: Cast) -> None:
    assert "guide-block" in home(cast, "noah")
    assert "guide-block" not in home(cast, "ines")
    assert "Set-up of Contoso: 3 of 7 done." in home(cast, "ines")
    cast.submitted("northwind")
    assert "guide-block" not in home(cast, "noah")
    assert "Set-up of Northwind: 1 of 5 done." in home(cast, "noah")


def test_a_complete_tenant_reads_nothing_about_it_and_still_finds_the_page(cast: Cast) -> None:
    _complete(cast)
    assert "Set-up" not in home(cast, "ines")
    assert "Everything is set up." in page(cast)


@pytest.mark.parametrize("is_complete", [False, True])
def test_after_the_recovery_key_was_shown_the_set_up_goes_on(cast: Cast, is_complete: bool) -> None:
    """A new key opens the step again, also for a tenant that had finished its set-up."""
    if is_complete:
        _complete(cast)
    shown = signed_in(cast, "ines").post(reverse("web:recovery_key", args=[cast.contoso.pk]))
    assert shown.context["back"]["url"] == reverse("web:guide", args=[cast.contoso.pk])
    assert not is_done(cast, "recovery_key")


@pytest.mark.parametrize("name", ["ada", "otto", "mia", "nils"])
def test_nobody_else_reads_about_it_at_home(cast: Cast, name: str) -> None:
    assert "Set-up" not in home(cast, name)
