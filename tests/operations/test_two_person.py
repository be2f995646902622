"""Two-person control, through all interfaces: one person proposes a change, and another human confirms it.

Nothing changes before that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from audit_app.models import AuditEntry, Witness
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    ChangeProposed,
    DeadlinePassed,
    NotAllowed,
    NotFound,
    SecondPersonNeeded,
    StepUpRequired,
    Unacceptable,
    WrongState,
)
from requests_app.domain.scopes import Scope
from requests_app.identity import factors
from requests_app.identity.sso import sealing
from requests_app.models import (
    Client,
    Domain,
    Invitation,
    Membership,
    OutboxMessage,
    Person,
    Proposal,
    SignOn,
    Tenant,
    Webhook,
)
from requests_app.models.people import actor_of_token
from requests_app.words.proposals import words
from requests_app.work import outbox
from tests.cast import Cast, events_in, outbox_topics
from tests.passkeys import enrolled
from tests.web.pages import nothing_happens, signed_in
from tests.witness import SmallWitness

pytestmark = pytest.mark.django_db

NEW: dict[str, Any] = {"name": "Grace", "password": "another battery of 7 horses"}


@pytest.fixture
def two(cast: Cast) -> Cast:
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    OutboxMessage.objects.all().delete()
    return cast


def proposed(call: Callable[[], Any]) -> Proposal:
    with pytest.raises(ChangeProposed) as outcome:
        call()
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


def state(cast: Cast) -> list[Any]:
    tenant = Tenant.objects.filter(pk=cast.contoso.pk)
    return [
        set(Membership.objects.filter(tenant=cast.contoso).values_list("person", "role", "person__is_active")),
        list(tenant.values_list("lockbox_on", "window_cap", "log_retention_days", "needs_two", "yes_rule")),
        Invitation.objects.count(),
    ]


def acts(cast: Cast, actor: Actor) -> dict[str, Callable[[], Any]]:
    """Return every change that two-person control covers, as a call of its operation."""
    pk = cast.contoso.pk
    return {
        "give_role": lambda: operations.give_role(pk, cast.mia.pk, role="approver", actor=actor),
        "take_role": lambda: operations.take_role(pk, cast.ada.pk, role="approver", actor=actor),
        "switch_off_person": lambda: operations.switch_off_person(cast.alan.pk, actor=actor),
        "invite_person": lambda: operations.invite_person(pk, email="g@contoso.example", role="deputy", actor=actor),
        "switch_lockbox": lambda: operations.switch_lockbox(pk, on=False, actor=actor),
        "set_window_cap": lambda: operations.set_window_cap(pk, seconds=3600, actor=actor),
        "set_yes_rule": lambda: operations.set_yes_rule(pk, rule="signed", actor=actor),
        "set_log_retention": lambda: operations.set_log_retention(pk, days=365, actor=actor),
        "set_two_person_control": lambda: operations.set_two_person_control(pk, on=False, actor=actor),
    }


@pytest.mark.parametrize(
    "act",
    [
        *("give_role", "take_role", "switch_off_person", "invite_person", "switch_lockbox", "set_window_cap"),
        *("set_log_retention", "set_two_person_control", "set_yes_rule"),
    ],
)
def test_one_human_proposes_and_only_another_confirms(two: Cast, act: str) -> None:
    if act == "set_yes_rule":
        enrolled(two, "alan")
        OutboxMessage.objects.all().delete()
    before, ines = state(two), two.as_("ines")
    row = proposed(acts(two, ines)[act])
    assert (row.act, state(two), events_in(two.contoso)[-1]) == (act, before, "proposal.made")
    assert outbox_topics() == ["notify.proposal"]
    with pytest.raises(WrongState):
        acts(two, ines)[act]()
    refusals = {"ines": SecondPersonNeeded, "mia": NotAllowed, "stella": NotAllowed, "frida": NotFound}
    for name, refusal in refusals.items():
        with pytest.raises(refusal):
            operations.confirm_proposal(row.pk, actor=two.as_(name))
    assert state(two) == before
    operations.confirm_proposal(row.pk, actor=two.as_("ada"))
    assert state(two) != before
    assert "proposal.confirmed" in events_in(two.contoso)
    again = two.as_("alan" if act == "take_role" else "ada")
    with pytest.raises(WrongState):
        operations.confirm_proposal(row.pk, actor=again)


def test_every_proposal_needs_fresh_proof(two: Cast) -> None:
    """Somebody who finds an open session can't send a proposal to the second person. Nobody gets a message."""
    enrolled(two, "alan")
    away, ines = two.stranger(), two.as_("ines", fresh=False)
    Membership.objects.create(tenant=two.contoso, person=away, role="deputy", given_at=two.contoso.created_at)
    Person.objects.filter(pk=away.pk).update(is_active=False)
    left_open = {
        **acts(two, ines),
        "switch_on_person": lambda: operations.switch_on_person(away.pk, actor=ines),
        "reset_second_factors": lambda: operations.reset_second_factors(two.ada.pk, actor=ines, keep=factors.drops_all),
    }
    for name, act in left_open.items():
        with pytest.raises(StepUpRequired), nothing_happens():
            act()
        assert Proposal.objects.count() == 0, name


def wired(cast: Cast, actor: Actor) -> dict[str, tuple[Callable[[], Any], Callable[[], Any], str]]:
    """Return changes of the tenant's webhooks, clients, witnesses and single sign-on, by the name of the act.

    Each has the call, a function that reads the result, and the text of the proposal.
    """
    pk = cast.contoso.pk
    hook = operations.add_webhook(pk, url="https://hooks.contoso.example/p4th", events=["*"], actor=actor).webhook
    robot = operations.create_client(tenant_id=pk, name="Robot", scopes=["log:read"], actor=actor).row
    first, second = SmallWitness("first.example"), SmallWitness("second.example")
    connection = operations.Connection(
        issuer="https://idp.contoso.example", client_id="lockbox", client_secret="s3cret", role_map={"Staff": "member"}
    )

    def hooks() -> Any:
        return list(Webhook.objects.values_list("url", "events", "is_on", "removed_at"))

    def watch(witness: SmallWitness) -> Callable[[], Any]:
        return lambda: operations.add_witness(pk, vkey=witness.vkey, url="https://w.example/", actor=actor)

    return {
        "enable_webhook": (
            lambda: operations.enable_webhook(hook.pk, actor=actor),
            hooks,
            "switch on the webhook at https://hooks.contoso.example, which gets messages about everything",
        ),
        "change_webhook": (
            lambda: operations.change_webhook(
                hook.pk, url="https://else.example/p4th", events=["grant.closed"], actor=actor
            ),
            hooks,
            "change the webhook at https://hooks.contoso.example: its address becomes https://else.example, and it "
            "gets messages about Window closed as planned",
        ),
        "disable_webhook": (
            lambda: operations.disable_webhook(hook.pk, actor=actor),
            hooks,
            "switch off the webhook at https://else.example",
        ),
        "remove_webhook": (
            lambda: operations.remove_webhook(hook.pk, actor=actor),
            hooks,
            "remove the webhook at https://else.example",
        ),
        "change_client": (
            lambda: operations.change_client(
                robot.pk, scopes=["decisions:write"], decides_for_id=cast.ada.pk, actor=actor
            ),
            lambda: list(Client.objects.values_list("scopes", "decides_for")),
            "allow the API client Robot to approve and deny in the name of Ada Test",
        ),
        "add_witness": (
            watch(first),
            lambda: list(Witness.objects.values_list("vkey")),
            "register the witness first.example at https://w.example/",
        ),
        "add_witness again": (
            watch(second),
            lambda: list(Witness.objects.values_list("vkey")),
            "register the witness second.example at https://w.example/",
        ),
        "remove_witness": (
            lambda: operations.remove_witness(pk, Witness.objects.get(vkey=first.vkey).pk, actor=actor),
            lambda: list(Witness.objects.values_list("vkey")),
            "remove the witness first.example",
        ),
        "set_sign_on": (
            lambda: operations.set_sign_on(pk, connection=connection, was=None, actor=actor),
            lambda: list(SignOn.objects.values_list("issuer", "client_id", "sealed")),
            "set single sign-on to “off”, with the identity provider https://idp.contoso.example and the client "
            "lockbox; groups that give roles: Staff → Member; people who can sign in without single sign-on: nobody",
        ),
        "claim_domain": (
            lambda: operations.claim_domain(pk, name="contoso.example", actor=actor),
            lambda: list(Domain.objects.values_list("name")),
            "add the domain contoso.example, so that people with an address of this domain sign in with single sign-on",
        ),
    }


def test_connections_are_changed_only_by_two_people(two: Cast) -> None:
    """The changes are made one after the other. The log gets neither a secret nor the path of a URL."""
    for name, (act, made, text) in wired(two, two.as_("ines")).items():
        before = made()
        row = proposed(act)
        assert (name.split(" ")[0], made(), events_in(two.contoso)[-1]) == (row.act, before, "proposal.made")
        assert words(row.act, row.shown) == text
        with pytest.raises(SecondPersonNeeded):
            operations.confirm_proposal(row.pk, actor=two.as_("ines"))
        operations.confirm_proposal(row.pk, actor=two.as_("ada"))
        assert made() != before
    assert sealing.opened(SignOn.objects.get().sealed) == "s3cret"
    log = b"".join(bytes(entry.canonical) for entry in AuditEntry.objects.all())
    for secret in (b"p4th", b"s3cret", SignOn.objects.get().sealed.encode()):
        assert secret not in log


def test_one_person_sees_a_secret_and_alone_gives_it_no_power(two: Cast) -> None:
    pk, ines = two.contoso.pk, two.as_("ines")
    decides: dict[str, Any] = {"scopes": ["decisions:write"], "decides_for_id": two.ada.pk}
    with pytest.raises(Unacceptable) as refused:
        operations.create_client(tenant_id=pk, name="Robot", **decides, actor=ines)
    assert (refused.value.field, Client.objects.count()) == ("decides_for", 0)
    robot = operations.create_client(tenant_id=pk, name="Robot", scopes=["decisions:write"], actor=ines).row
    operations.rotate_client_secret(robot.pk, actor=ines)
    row = proposed(lambda: operations.change_client(robot.pk, **decides, actor=ines))
    operations.confirm_proposal(row.pk, actor=two.as_("alan"))
    stored_row = Client.objects.get().secret_hash
    with pytest.raises(WrongState):
        operations.rotate_client_secret(robot.pk, actor=ines)
    assert Client.objects.get().secret_hash == stored_row
    # Acts that take rights away need no second person.
    operations.change_client(robot.pk, decides_for_id=None, actor=ines)
    operations.rotate_client_secret(robot.pk, actor=ines)
    hook = operations.add_webhook(pk, url="https://hooks.contoso.example/a", events=["*"], actor=ines).webhook
    assert not Webhook.objects.get(pk=hook.pk).is_on
    operations.send_webhook_test(hook.pk, actor=ines)
    operations.change_webhook(hook.pk, label="Desk", actor=ines)
    on = proposed(lambda: operations.enable_webhook(hook.pk, actor=ines))
    gone = proposed(lambda: operations.remove_webhook(hook.pk, actor=ines))
    operations.confirm_proposal(gone.pk, actor=two.as_("ada"))
    with pytest.raises(WrongState):
        operations.confirm_proposal(on.pk, actor=two.as_("ada"))


def test_a_second_account_is_no_second_person(two: Cast) -> None:
    row = proposed(acts(two, two.as_("ines"))["give_role"])
    two.agreed(lambda: operations.link_accounts(two.ines.pk, two.alan.pk, actor=two.as_("stella")))
    with pytest.raises(SecondPersonNeeded):
        operations.confirm_proposal(row.pk, actor=two.as_("alan"))
    assert not Membership.objects.filter(person=two.mia, role="approver").exists()
    operations.confirm_proposal(row.pk, actor=two.as_("ada"))
    assert Membership.objects.filter(person=two.mia, role="approver").exists()


def test_a_proposal_ends_after_seven_days_and_with_the_role_of_who_made_it(two: Cast, travel: Any) -> None:
    at = travel.freeze()
    pk = two.contoso.pk
    given = proposed(lambda: operations.give_role(pk, two.otto.pk, role="administrator", actor=two.as_("ines")))
    operations.confirm_proposal(given.pk, actor=two.as_("ada"))
    late = proposed(acts(two, two.as_("ines"))["give_role"])
    by_otto = proposed(lambda: operations.set_window_cap(pk, seconds=3600, actor=two.as_("otto")))
    gone = proposed(lambda: operations.take_role(pk, two.otto.pk, role="administrator", actor=two.as_("ines")))
    operations.confirm_proposal(gone.pk, actor=two.as_("ada"))
    with pytest.raises(WrongState):
        operations.confirm_proposal(by_otto.pk, actor=two.as_("ada"))
    travel.to(at + dt.timedelta(days=7))
    with pytest.raises(DeadlinePassed):
        operations.confirm_proposal(late.pk, actor=two.as_("ada"))
    assert not Membership.objects.filter(person=two.mia, role="approver").exists()
    # The change can be proposed again.
    proposed(acts(two, two.as_("ines"))["give_role"])


def test_neither_the_provider_nor_a_machine_changes_who_decides(two: Cast) -> None:
    before = state(two)
    made = operations.create_client(
        tenant_id=two.contoso.pk, name="Desk", scopes=["tenant:manage", "members:provision"], actor=two.as_("ines")
    )
    token = operations.issue_access_token(made.row, scopes=[Scope.TENANT_MANAGE, Scope.MEMBERS_PROVISION]).row
    machine = actor_of_token(token)
    profile = operations.Profile(user_name="x", name="X", email="x@contoso.example", roles=frozenset({"approver"}))
    for call in (
        lambda: operations.switch_off_person(two.alan.pk, actor=two.as_("stella")),
        lambda: operations.switch_lockbox(two.contoso.pk, on=False, actor=machine),
        lambda: operations.set_window_cap(two.contoso.pk, seconds=3600, actor=machine),
        lambda: operations.provision_member(two.contoso.pk, profile=profile, actor=machine, drop=factors.drops_all),
        lambda: operations.remove_provisioned(two.contoso.pk, two.alan.pk, actor=machine),
        lambda: operations.change_provisioned(
            two.contoso.pk,
            two.otto.pk,
            profile=replace(profile, roles=frozenset({"deputy"})),
            actor=machine,
            drop=factors.drops_all,
        ),
    ):
        with pytest.raises(NotAllowed):
            call()
    assert state(two) == before
    assert not Proposal.objects.exists()
    assert not Person.objects.filter(email="x@contoso.example").exists()


def test_a_change_that_affects_no_decider_needs_no_second_person(two: Cast) -> None:
    operations.give_role(two.contoso.pk, two.mia.pk, role="auditor", actor=two.as_("ines"))
    operations.switch_off_person(two.mia.pk, actor=two.as_("ines"))
    operations.invite_person(two.contoso.pk, email="g@contoso.example", role="member", actor=two.as_("ines"))
    assert not Proposal.objects.exists()


def test_an_invitation_counts_if_a_second_person_confirmed_it(cast: Cast) -> None:
    early = cast.invited("early@contoso.example", "approver")
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    stranger = Actor.stranger(door="pages")
    with pytest.raises(NotFound):
        operations.accept_invitation(cast.link_of(early), **NEW, actor=stranger)
    pk = cast.contoso.pk
    wanted = {"email": "late@contoso.example", "role": "approver"}
    row = proposed(lambda: operations.invite_person(pk, **wanted, actor=cast.as_("ines")))
    operations.confirm_proposal(row.pk, actor=cast.as_("ada"))
    late = Invitation.objects.get(email="late@contoso.example")
    operations.accept_invitation(cast.link_of(late), **NEW, actor=stranger)
    assert Membership.objects.filter(person__email="late@contoso.example", role="approver").exists()


def test_two_who_could_confirm_are_always_left(two: Cast) -> None:
    pk = two.fabrikam.pk
    operations.set_two_person_control(pk, on=True, actor=two.as_("finn"))
    row = proposed(lambda: operations.give_role(pk, two.frida.pk, role="administrator", actor=two.as_("finn")))
    operations.confirm_proposal(row.pk, actor=two.as_("frida"))
    off = proposed(lambda: operations.switch_off_person(two.finn.pk, actor=two.as_("finn")))
    with pytest.raises(WrongState):
        operations.confirm_proposal(off.pk, actor=two.as_("frida"))
    assert Person.objects.get(pk=two.finn.pk).is_active


def test_a_confirmed_switch_of_an_account_names_the_state_that_the_account_already_has(two: Cast) -> None:
    person = Person.objects.filter(pk=two.alan.pk)
    off = proposed(lambda: operations.switch_off_person(two.alan.pk, actor=two.as_("ines")))
    person.update(is_active=False)
    with pytest.raises(WrongState, match="already switched off"):
        operations.confirm_proposal(off.pk, actor=two.as_("ada"))
    on = proposed(lambda: operations.switch_on_person(two.alan.pk, actor=two.as_("ines")))
    person.update(is_active=True)
    with pytest.raises(WrongState, match="already switched on"):
        operations.confirm_proposal(on.pk, actor=two.as_("ada"))


def test_two_person_control_needs_two_humans_who_can_answer(cast: Cast) -> None:
    cast.agreed(lambda: operations.link_accounts(cast.finn.pk, cast.frida.pk, actor=cast.as_("stella")))
    with pytest.raises(WrongState):
        operations.set_two_person_control(cast.fabrikam.pk, on=True, actor=cast.as_("finn"))
    assert not Tenant.objects.get(pk=cast.fabrikam.pk).needs_two


def test_the_recovery_key_lets_somebody_in_where_nobody_is_left_to_confirm(two: Cast, travel: Any) -> None:
    at = travel.freeze()
    key = operations.make_recovery_key(two.contoso.pk, actor=two.as_("ines")).key
    stranger = Actor.stranger(door="pages")
    row = operations.use_recovery_key(key, email="next@contoso.example", actor=stranger)
    travel.to(at + dt.timedelta(hours=72))
    operations.accept_invitation(two.link_of(row), **NEW, actor=stranger)
    assert not Tenant.objects.get(pk=two.contoso.pk).needs_two
    assert events_in(two.contoso)[-1] == "two_person_control.switched_off"


def test_everybody_who_could_confirm_a_proposal_can_withdraw_it(two: Cast) -> None:
    row = proposed(acts(two, two.as_("ines"))["give_role"])
    for name, refusal in (("mia", NotAllowed), ("otto", NotAllowed), ("stella", NotAllowed), ("finn", NotFound)):
        with pytest.raises(refusal):
            operations.withdraw_proposal(row.pk, actor=two.as_(name))
    operations.withdraw_proposal(row.pk, actor=two.as_("alan"))
    with pytest.raises(WrongState):
        operations.confirm_proposal(row.pk, actor=two.as_("ada"))
    assert events_in(two.contoso)[-2:] == ["proposal.withdrawn", "act.refused"]
    outbox.drain(limit=100)
    messages = OutboxMessage.objects.filter(lane="mail").values_list("recipient", flat=True)
    assert {f"{name}@contoso.example" for name in ("ada", "alan", "ines")} == set(messages)


def test_a_page_leads_to_what_was_proposed_and_another_confirms_there(two: Cast) -> None:
    person = f"/tenant/{two.contoso.pk}/people/{two.mia.pk}/"
    here = f"/tenant/{two.contoso.pk}/proposals/"
    ines, ada = signed_in(two, "ines"), signed_in(two, "ada")
    answer = ines.post(person, {"act": "give", "role": "approver"})
    assert (answer.status_code, answer["Location"]) == (302, here)
    row = Proposal.objects.get()
    assert "give Mia Test the role “Approver”" in ines.get(here).content.decode()
    assert 'value="confirm"' not in ines.get(here).content.decode()
    assert 'value="confirm"' in ada.get(here).content.decode()
    assert 'value="withdraw"' not in signed_in(two, "mia").get(here).content.decode()
    form = {"act": "confirm", "proposal": str(row.pk)}
    assert ines.post(here, form).status_code == 403
    assert ada.post(here, form).status_code == 302
    assert ada.post(here, form).status_code == 409
    assert Membership.objects.filter(person=two.mia, role="approver").exists()
