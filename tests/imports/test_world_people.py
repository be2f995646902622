"""The provider's people in a file: who is invited, what takes effect immediately, and what needs a second human."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, NotFound, StepUpRequired, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.imports import PERSON, Row, Source
from requests_app.domain.scopes import Scope
from requests_app.domain.states import State
from requests_app.messages.mails._invitations import invited
from requests_app.models import HeldRow, Import, Invitation, OutboxMessage, Person, Proposal, QueueAssignment
from requests_app.queries.invitations import prepared
from tests.api.test_scim_groups import joined, mapped
from tests.api.test_scim_provider import added, replace
from tests.caller import caller_for
from tests.cast import Cast
from tests.imports.worlds import exported, run, state
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db

NEW, PHRASE = "new@provider.example", "a long and unheard-of phrase 7"
ENGINEER = "{service: exchange-online, role: engineer}"
APPROVER = "{service: sharepoint-online, role: provider_approver}"
STRANGER = Actor.stranger(door="pages")


def file(*people: str) -> str:
    return "version: 1\npeople:\n" + "".join(f"- {{{each}}}\n" for each in people)


def sam(*roles: str, more: str = "") -> str:
    return f"email: {NEW}, name: Sam New, time_zone: Europe/Oslo{more}, roles: [{', '.join(roles)}]"


def applied(text: str, path: Path, *flags: str) -> str:
    status, out, err = run("apply", text, path, *flags)
    assert (status, err) == (0, ""), out
    return out


def roles_of(person: Person) -> list[tuple[str, str]]:
    return sorted(person.queue_assignments.values_list("service__key", "role"))


def entries() -> list[str]:
    rows = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG).order_by("seq")
    return [event for event in rows.values_list("event", flat=True) if not event.startswith("import.")]


def accepted(cast: Cast) -> Person:
    row = Invitation.objects.get(email=NEW, beside=None)
    return operations.accept_invitation(cast.link_of(row), name="Sam New", password=PHRASE, actor=STRANGER)


# --- Before the first Lockbox ------------------------------------------------------------------------------------


def test_somebody_new_is_invited_and_a_human_sends_the_invitation(early: Cast, write: Path) -> None:
    applied(file(sam(ENGINEER, APPROVER)), write)
    assert not OutboxMessage.objects.exists(), "nobody knows which human ran the command"
    assert entries() == ["invitation.prepared", "invitation.prepared"]
    main, other = Invitation.objects.get(beside=None), Invitation.objects.exclude(beside=None).get()
    assert (other.beside, main.sends, main.invited_by) == (main, 0, None)
    with pytest.raises(NotFound):
        operations.accept_invitation(early.link_of(main), name="Sam", password=PHRASE, actor=STRANGER)
    stella, address = signed_in(early, "stella"), reverse("admin:set_up_send_invitations")
    assert NEW in stella.get(address).content.decode()
    assert stella.post(address, {"shown": prepared().digest}).status_code == 302
    message = OutboxMessage.objects.get(topic="notify.invitation")
    mail = str(invited(message, clock.now()))
    assert "Stella Test, on the staff of" in mail
    assert ("Exchange Online" in mail, "SharePoint Online" in mail) == (True, True)
    person = accepted(early)
    assert roles_of(person) == [("exchange-online", "engineer"), ("sharepoint-online", "provider_approver")]
    assert (person.time_zone, person.is_staff) == ("Europe/Oslo", False)
    assert {row.accepted_by for row in Invitation.objects.all()} == {person}


def test_staff_are_invited_too_and_the_same_file_again_changes_nothing(early: Cast, write: Path) -> None:
    text = file(sam(ENGINEER, more=", staff: true"))
    applied(text, write)
    before = state()
    assert "nothing to change" in applied(text, write)
    assert state() == before
    operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    before = state()
    applied(text, write)
    assert state() == before
    person = accepted(early)
    assert (person.is_staff, roles_of(person)) == (True, [("exchange-online", "engineer")])
    before = state()
    applied(text, write)
    assert state() == before


def test_known_people_are_changed_with_the_entries_of_the_single_acts(early: Cast, write: Path) -> None:
    text = file(
        f"email: erik@provider.example, name: Erik Other, time_zone: Asia/Tokyo, staff: true, roles: [{APPROVER}]"
    )
    status, out, _err = run("plan", text, write)
    assert (status, "change the person “Erik Other”: name is “Erik Test” and becomes “Erik Other”" in out) == (0, True)
    assert "create the role “Erik Other: Provider approver, SharePoint Online”" in out
    assert "not in the file: role “erik@provider.example: engineer, exchange-online”" in out
    applied(text, write)
    erik = Person.objects.get(pk=early.erik.pk)
    assert (erik.name, erik.time_zone, erik.is_staff) == ("Erik Other", "Asia/Tokyo", True)
    assert roles_of(erik) == [("exchange-online", "engineer"), ("sharepoint-online", "provider_approver")]
    assert entries() == ["person.changed", "role.given", "role.given"]


def test_export_has_the_people_and_the_invited(early: Cast, write: Path) -> None:
    applied(file(sam(ENGINEER)), write)
    text = exported()
    assert f"- email: {NEW}\n  name: Sam New\n  time_zone: Europe/Oslo\n  staff: false\n  active: true\n" in text
    assert "email: stella@provider.example" in text
    before = state()
    assert "nothing to change" in applied(text, write, "--prune")
    assert state() == before


# --- What takes power away, immediately ----------------------------------------------------------------------------


def test_prune_takes_away_what_the_file_lacks_through_its_acts(two: Cast, write: Path) -> None:
    pending = two.submitted()
    names = ["bea", "erik", "pat", "paula", "stella", "sten"]
    lines = [f"email: {name}@provider.example" for name in names]
    lines[0] += f", roles: [{ENGINEER}]"
    before = entries()
    shown = run("plan", file(*lines), write)[1]
    assert "not in the file: person “Priya Test (priya@provider.example)”" in shown
    applied(file(*lines), write)
    assert entries() == before, "without --prune, it is only shown"
    applied(file(*lines), write, "--prune")
    assert sorted(Person.objects.get_queryset().filter(side="provider", is_active=False).values_list("name")) == [
        ("Priya Test",), ("Samir Test",),
    ]  # fmt: skip
    assert roles_of(two.bea) == [("exchange-online", "engineer")]
    assert entries()[len(before) :] == ["role.taken", "person.switched_off", "person.switched_off"]
    pending.refresh_from_db()
    assert pending.state == State.WITHDRAWN
    assert not Proposal.objects.exists()


def test_a_role_that_is_taken_ends_the_access_that_it_gave(two: Cast, write: Path) -> None:
    grant = two.opened()
    text = file("email: priya@provider.example, roles: [{service: sharepoint-online, role: engineer}]")
    people = [f"email: {name}@provider.example" for name in ("bea", "erik", "pat", "paula", "samir", "stella", "sten")]
    applied(text + "".join(f"- {{{each}}}\n" for each in people), write, "--prune")
    grant.refresh_from_db()
    assert grant.closed_at is not None
    assert roles_of(two.priya) == [("sharepoint-online", "engineer")]


@pytest.mark.parametrize("flags", [(), ("--prune",)])
def test_the_last_active_member_of_the_staff_is_never_switched_off(cast: Cast, write: Path, flags: tuple[str]) -> None:
    line = "email: stella@provider.example, active: false" if not flags else "email: erik@provider.example"
    before = state()
    status, _out, err = run("apply", file(line), write, *flags)
    assert (status, "is the last active member of the staff" in err, state()) == (2, True, before)


def test_of_two_members_of_the_staff_a_file_switches_off_only_one(two: Cast, write: Path) -> None:
    both = [f"email: {name}@provider.example, active: false" for name in ("stella", "sten")]
    before = state()
    assert (run("apply", file(*both), write)[0], state()) == (2, before)
    applied(file(both[0]), write)
    assert not Person.objects.get_queryset().get(pk=two.stella.pk).is_active


def test_an_invitation_is_withdrawn_if_the_file_lacks_the_person(early: Cast, write: Path) -> None:
    everybody = exported()
    applied(file(sam(ENGINEER, APPROVER, more=", staff: true")), write)
    applied(everybody, write, "--prune")
    assert Invitation.objects.expected(clock.now()).count() == 0
    assert entries()[-3:] == ["invitation.withdrawn"] * 3
    assert exported() == everybody


def test_one_role_of_somebody_invited_is_taken_away_and_the_rest_stays(early: Cast, write: Path) -> None:
    applied(file(sam(ENGINEER, APPROVER)), write)
    operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    text = exported()
    begin = text.index(f"- email: {NEW}")
    shorter = text[begin:].replace("  - service: exchange-online\n    role: engineer\n", "", 1)
    applied(text[:begin] + shorter, write, "--prune")
    left = Invitation.objects.get(email=NEW, withdrawn_at=None)
    assert (left.role, left.beside, left.sends) == ("provider_approver", None, 0), "a human sends it again"
    operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    person = operations.accept_invitation(early.link_of(left), name="Sam", password=PHRASE, actor=STRANGER)
    assert roles_of(person) == [("sharepoint-online", "provider_approver")]


# --- Abuse: one human, and the shell, on a live installation ---------------------------------------------------------


POWER = [
    ("email: erik@provider.example, staff: true", "make_staff"),
    (f"email: erik@provider.example, roles: [{APPROVER}]", "give_queue_role"),
    (sam(more=", staff: true"), "invite_staff"),
    (sam(APPROVER), "invite_to_queues"),
]


def powers(*emails: str) -> dict[str, Any]:
    people = Person.objects.get_queryset().filter(email__in=emails or ["erik@provider.example", NEW])
    return {person.email: (person.is_active, person.is_staff, roles_of(person)) for person in people}


@pytest.mark.parametrize(("line", "act"), POWER)
def test_the_shell_and_one_human_give_nobody_power(two: Cast, write: Path, travel: Any, line: str, act: str) -> None:
    before = powers()
    applied(file(line), write)
    assert [(row.act, row.tenant_id) for row in HeldRow.objects.all()] == [(act, None)]
    assert powers() == before
    again = state()
    applied(file(line), write)
    assert state() == again, "it is held once"
    # Nobody has proposed it, so no time makes it true, and no link works.
    with pytest.raises(WrongState):
        operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
    travel.by(seconds=100 * 3600)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    assert powers() == before
    # The human who proposes it can't confirm it, and it does not take effect alone.
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    tasks.run_imports()
    proposal = Proposal.objects.get()
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(proposal.pk, actor=two.as_("stella"))
    travel.by(seconds=100 * 3600)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    assert powers() == before


@pytest.mark.parametrize(("line", "act"), POWER)
def test_two_humans_and_the_waiting_time_give_it(two: Cast, write: Path, travel: Any, line: str, act: str) -> None:
    applied(file(line), write)
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    tasks.run_imports()
    proposal = Proposal.objects.get()
    if "invite" in act:
        operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
        person = accepted(two)
        assert powers(NEW) == {NEW: (True, False, [])}
    else:
        person = two.erik
    before = powers()
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    assert powers() == before
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    proposal.refresh_from_db()
    assert (proposal.outcome, HeldRow.objects.get().outcome) == ("applied", "applied")
    person.refresh_from_db()
    assert person.is_staff or ("sharepoint-online", "provider_approver") in roles_of(person)
    for tenant in (two.contoso, two.fabrikam):
        found = list(AuditEntry.objects.filter(tenant_id=tenant.pk).values_list("event", flat=True))
        assert found.count("proposal.made") == 2, "about the import, and about this change"


def test_somebody_who_accepts_after_the_agreement_gets_the_role_then(two: Cast, write: Path, travel: Any) -> None:
    applied(file(sam(APPROVER)), write)
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    tasks.run_imports()
    proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
    assert roles_of(accepted(two)) == [("sharepoint-online", "provider_approver")]


def test_a_withdrawn_proposal_gives_no_role_and_the_link_stops_working(two: Cast, write: Path) -> None:
    applied(file(sam(APPROVER)), write)
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    tasks.run_imports()
    operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
    operations.withdraw_proposal(Proposal.objects.get().pk, actor=two.as_("sten"))
    with pytest.raises(NotFound):
        accepted(two)
    applied(file(sam(APPROVER)), write)
    assert HeldRow.objects.open(clock.now()).count() == 1, "the file still says so, and it can be proposed again"


def test_withdrawing_an_invitation_ends_only_its_own_row_of_the_import(two: Cast, write: Path) -> None:
    applied(file(sam(APPROVER), f"email: erik@provider.example, roles: [{APPROVER}]"), write)
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    tasks.run_imports()
    operations.withdraw_invitation(Invitation.objects.get(email=NEW).pk, actor=two.as_("stella"))
    assert Proposal.objects.get().ended_at is None


def test_switching_on_somebody_with_a_role_is_held_and_without_one_is_not(two: Cast, write: Path) -> None:
    Person.objects.get_queryset().filter(email__in=["erik@provider.example", "paula@provider.example"]).update(
        is_active=False
    )
    QueueAssignment.objects.filter(person=two.paula).delete()
    applied(file(*(f"email: {name}@provider.example, active: true" for name in ("erik", "paula"))), write)
    assert [row.act for row in HeldRow.objects.all()] == ["switch_on_provider"]
    two.erik.refresh_from_db()
    two.paula.refresh_from_db()
    assert (two.erik.is_active, two.paula.is_active) == (False, True)


def test_a_role_of_a_file_comes_by_no_other_way_than_the_command(two: Cast) -> None:
    """The administration and the API import tenants and resources, and never people."""
    source = Source([Row(1, PERSON.name, {"email": "erik@provider.example", "staff": True})], file_name="x")
    before = state()
    with pytest.raises(NotAllowed):
        operations.start_import(source, actor=two.as_("stella"))
    assert state()[0] == before[0]
    assert not Import.objects.exists()


def test_only_staff_with_a_fresh_proof_send_invitations(early: Cast, write: Path) -> None:
    applied(file(sam(ENGINEER)), write)
    for name in ("erik", "pat", "ines"):
        with pytest.raises(NotAllowed):
            operations.send_invitations(shown=prepared().digest, actor=early.as_(name))
    with pytest.raises(StepUpRequired):
        operations.send_invitations(shown=prepared().digest, actor=early.as_("stella", fresh=False))
    assert (Invitation.objects.get().sends, OutboxMessage.objects.count()) == (0, 0)


def test_the_set_up_shows_how_many_invitations_wait(early: Cast, write: Path) -> None:
    stella, words = signed_in(early, "stella"), "A file has prepared an invitation for 1 person"
    assert words not in stella.get(reverse("admin:set_up")).content.decode()
    applied(file(sam(ENGINEER, APPROVER)), write)
    page = stella.get(reverse("admin:set_up")).content.decode()
    assert (words in page, reverse("admin:set_up_send_invitations") in page) == (True, True)


def test_an_address_that_got_an_account_meanwhile_is_not_invited(early: Cast, write: Path) -> None:
    applied(file(sam(ENGINEER)), write)
    early.stranger(NEW, side="provider")
    operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    assert (OutboxMessage.objects.count(), Invitation.objects.get().withdrawn_at is None) == (0, False)


def test_a_role_that_is_added_after_the_mail_is_not_accepted_with_it(early: Cast, write: Path) -> None:
    """The person has not read about it. When the file is applied again, the account gets it."""
    applied(file(sam(ENGINEER)), write)
    operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    applied(file(sam(ENGINEER, APPROVER)), write)
    person = accepted(early)
    assert roles_of(person) == [("exchange-online", "engineer")]
    assert not Invitation.objects.unanswered().exists()
    applied(file(sam(ENGINEER, APPROVER)), write)
    assert len(roles_of(person)) == 2


def test_a_role_that_is_added_after_the_mail_is_sent_with_a_new_link(early: Cast, write: Path) -> None:
    applied(file(sam(ENGINEER)), write)
    operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    applied(file(sam(ENGINEER, APPROVER)), write)
    operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    assert OutboxMessage.objects.filter(topic="notify.invitation").count() == 2
    assert len(roles_of(accepted(early))) == 2


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("email: nobody", "email: This is not an email address."),
        ("email: mia@contoso.example, staff: true", "email: This address belongs to an account that is not one"),
        ("email: stella@provider.example, staff: false", "staff: Nobody stops being staff"),
        (f"email: {NEW}", "line 3, column 3: Nobody is invited without a role."),
        (f"email: {NEW}, time_zone: Mars, staff: true", "time_zone: There is no time zone “Mars”."),
        (f"email: {NEW}, time_zone: Istanbul, staff: true", "time_zone: There is no time zone “Istanbul”."),
        (
            f"email: {NEW}, roles: [{{service: none, role: engineer}}]",
            "service: There is no service with the key “none”.",
        ),
        (f"email: {NEW}, roles: [{{service: exchange-online, role: staff}}]", "role: Use one of these values"),
        (f"email: {NEW}, roles: [{{role: engineer}}]", "service: This must not be empty."),
        (f"email: {NEW}, roles: [{{service: exchange-online, role: engineer, taken: true}}]", "There is no such key"),
        (f"email: {NEW}, password: x", "password: There is no such key."),
        (f"email: {NEW}, staff: true}}\n- {{email: {NEW}, staff: false", "staff: This differs from line 3"),
    ],
)
def test_a_fault_about_people_is_named_and_nothing_is_changed(cast: Cast, write: Path, line: str, fault: str) -> None:
    before = state()
    status, _out, err = run("apply", file(line), write)
    assert (status, fault in err) == (2, True), err
    assert state() == before


# --- The name that people know --------------------------------------------------------------------------------------


def test_a_file_renames_nobody_whose_role_waits(two: Cast, write: Path) -> None:
    line = f"email: erik@provider.example, name: Erik Other, roles: [{APPROVER}]"
    applied(file(line), write)
    two.erik.refresh_from_db()
    assert two.erik.name == "Erik Other", "this role began to wait with the new name"
    before = state()
    status, _out, err = run("apply", file(line.replace("Erik Other", "Ines Test")), write)
    assert (status, "person_name" in err, "gives Erik Other power waits" in err) == (2, False, True), err
    assert state() == before
    applied(file(line.replace("name: Erik Other", "time_zone: Asia/Tokyo")), write)


def test_a_file_renames_nobody_whose_access_request_has_not_ended(two: Cast, write: Path) -> None:
    pending = two.submitted()
    line = file("email: priya@provider.example, name: Ines Test")
    before = state()
    status, _out, err = run("apply", line, write)
    assert (status, "An access request of Priya Test has not ended" in err) == (2, True), err
    assert state() == before
    operations.withdraw(pending.pk, actor=two.as_("priya"))
    applied(line, write)
    two.priya.refresh_from_db()
    assert two.priya.name == "Ines Test"


# --- The same file again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "act"), POWER[2:])
def test_the_same_file_after_the_acceptance_holds_the_role_once(two: Cast, write: Path, line: str, act: str) -> None:
    applied(file(line), write)
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    tasks.run_imports()
    operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
    accepted(two)
    before = state()
    applied(file(line), write)
    assert state() == before
    assert [row.act for row in HeldRow.objects.all()] == [act]
    # The one proposal is withdrawn, so nothing is left that gives the role. The file can hold it again.
    operations.withdraw_proposal(Proposal.objects.get().pk, actor=two.as_("sten"))
    assert not HeldRow.objects.open(clock.now()).exists()
    applied(file(line), write)
    assert HeldRow.objects.open(clock.now()).count() == 1


def test_the_role_of_an_invitation_by_hand_is_not_held_by_a_file_too(two: Cast, write: Path) -> None:
    row = two.invited_colleague(NEW)
    operations.accept_invitation(two.link_of(row), name="Sam New", password=PHRASE, actor=STRANGER)
    assert Proposal.objects.get().said["role"] == "engineer"
    before = state()
    applied(file(f"email: {NEW}, roles: [{ENGINEER}]"), write)
    assert (state(), HeldRow.objects.exists()) == (before, False)


def test_staff_read_whether_an_import_only_holds_a_change(two: Cast, write: Path) -> None:
    applied(file(f"email: erik@provider.example, roles: [{APPROVER}]"), write)

    def give() -> None:
        operations.give_queue_role(two.sharepoint.pk, two.erik.pk, role="provider_approver", actor=two.as_("stella"))

    with pytest.raises(WrongState, match="nobody has proposed it yet"):
        give()
    assert not Proposal.objects.exists()
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    with pytest.raises(WrongState, match="An import has already proposed this change"):
        give()
    assert Proposal.objects.count() == 1


# --- Who can get a role ---------------------------------------------------------------------------------------------


ERIK = ("staff: true", f"roles: [{APPROVER}]")


@pytest.mark.parametrize("what", ERIK)
@pytest.mark.parametrize("more", ["", "active: false, "])
def test_an_account_that_is_switched_off_gets_nothing(two: Cast, write: Path, what: str, more: str) -> None:
    Person.objects.get_queryset().filter(pk=two.erik.pk).update(is_active=bool(more))
    before = state()
    status, _out, err = run("apply", file(f"email: erik@provider.example, {more}{what}"), write)
    assert (status, "This account is switched off. Switch it on to give it a role." in err) == (2, True), err
    assert state() == before


@pytest.mark.parametrize("what", ERIK)
def test_an_account_whose_reader_nobody_knows_gets_nothing(two: Cast, write: Path, what: str) -> None:
    at = clock.now()
    times = {"created_at": at, "valid_from": at, "expires_at": at, "accepted_at": at, "link_copied_at": at}
    by = {"accepted_by": two.erik, "invited_by": two.stella, "link_copied_by": two.stella}
    link = {"secret_hash": "0" * 64, "link_copied_send": 1}
    Invitation.objects.create(email=two.erik.email, role="engineer", **times, **by, **link)
    Person.objects.get_queryset().filter(pk=two.erik.pk).update(email_verified_at=None)
    text, before = file(f"email: erik@provider.example, {what}"), state()
    status, _out, err = run("apply", text, write)
    assert (status, "nobody knows who reads this address" in err) == (2, True), err
    assert state() == before
    Person.objects.get_queryset().filter(pk=two.erik.pk).update(email_verified_at=at)
    applied(text, write)
    assert HeldRow.objects.count() == 1


def test_a_file_that_switches_an_account_off_withdraws_its_waiting_roles(cast: Cast, write: Any) -> None:
    cast.colleague()
    mapped(cast)
    calls = caller_for(cast, None, Scope.MEMBERS_PROVISION)
    grace = added(calls)
    joined(calls, grace)
    applied(file(f"email: {grace.email}, active: false"), write)
    row = Proposal.objects.get(act="give_group_role")
    assert (row.ended_at is not None, row.outcome) == (True, "withdrawn")
    assert calls.patch(f"/scim/v2/Users/{grace.pk}", replace(active=True)).status_code == 200
    assert not Proposal.objects.filter(act="give_group_role", ended_at=None).exists()
