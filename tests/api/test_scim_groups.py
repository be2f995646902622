"""Roles through groups of the provider's directory: customers get notice, and there is always a waiting time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts.provider_directory import MAP_GROUP, UNMAP_GROUP
from requests_app.domain.errors import ChangeProposed, NotAllowed, NotFound, StepUpRequired, Unacceptable, WrongState
from requests_app.domain.scopes import Scope
from requests_app.doors.admin.proposals import ProposalAdmin
from requests_app.models import (
    Client,
    DirectoryGroup,
    GroupMember,
    GroupRole,
    HeldRow,
    Import,
    Invitation,
    OutboxMessage,
    Person,
    Proposal,
    QueueAssignment,
    StaffTerm,
    Tenant,
)
from requests_app.queries import second_person
from tests.api.test_scim import GROUPS, USERS, fault, ops
from tests.api.test_scim_provider import added, facts, replace
from tests.caller import Caller, caller_for
from tests.cast import Cast, events_in, outbox_topics
from tests.imports.worlds import run
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db

SCOPE = Scope.MEMBERS_PROVISION
WAIT = dt.timedelta(seconds=settings.STAFF_CHANGE_WAIT_SECONDS)
ENGINEERS = "Lockbox engineers"


def mapped(cast: Cast, name: str = ENGINEERS, role: str = "engineer", service: str = "exchange") -> GroupRole:
    """Return a mapping that a second person has confirmed, and whose waiting time is over."""
    where, stella = getattr(cast, service), cast.as_("stella")
    cast.agreed(lambda: operations.map_group(where.pk, group=name, role=role, actor=stella))
    return GroupRole.objects.get(group__name=name, role=role, service=where)


@pytest.fixture
def mapping(cast: Cast) -> GroupRole:
    return mapped(cast)


@pytest.fixture
def caller(cast: Cast, mapping: GroupRole) -> Caller:
    return caller_for(cast, None, SCOPE)


def path_of(caller: Caller, name: str = ENGINEERS) -> str:
    """Return the address of a group, found by its name as a directory finds it."""
    [found] = caller.get(GROUPS, {"filter": f'displayName eq "{name}"'}).json()["Resources"]
    return f"{GROUPS}/{found['id']}"


def put_in(*people: Person) -> dict[str, Any]:
    return ops({"op": "Add", "path": "members", "value": [{"value": str(each.pk)} for each in people]})


def take_out(person: Person) -> dict[str, Any]:
    return ops({"op": "Remove", "path": "members", "value": [{"value": str(person.pk)}]})


def joined(caller: Caller, person: Person, name: str = ENGINEERS) -> Any:
    answer = caller.patch(path_of(caller, name), put_in(person))
    assert answer.status_code == 200, answer.content
    return answer


def waiting() -> list[Proposal]:
    return list(Proposal.objects.of_staff().filter(act="give_group_role", ended_at=None).order_by("proposed_at"))


def swept(cast: Cast, travel: Any) -> None:
    """Move the clock past the waiting time of everything that waits, and sweep."""
    travel.to(max(row.effective_at for row in waiting() if row.effective_at) + dt.timedelta(seconds=1))
    operations.apply_due(actor=cast.system("sweep"), limit=50)


def roles(person: Person) -> list[tuple[str, str]]:
    return sorted(person.queue_assignments.values_list("service__key", "role"))


# --- Mappings --------------------------------------------------------------------------------------------------


def test_a_mapping_needs_a_second_human_notice_and_the_waiting_time(cast: Cast, travel: Any) -> None:
    cast.colleague()
    before = facts()
    with pytest.raises(ChangeProposed):
        operations.map_group(cast.exchange.pk, group=ENGINEERS, role="engineer", actor=cast.as_("stella"))
    assert not GroupRole.objects.exists()
    assert facts()["roles"] == before["roles"]
    row = Proposal.objects.get(act="map_group")
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(row.pk, actor=cast.as_("stella"))
    operations.confirm_proposal(row.pk, actor=cast.as_("sten"))
    assert operations.apply_due(actor=cast.system("sweep"), limit=5) == 0
    travel.by(seconds=WAIT.total_seconds() + 1)
    operations.apply_due(actor=cast.system("sweep"), limit=5)
    assert GroupRole.objects.get().group.name == ENGINEERS
    assert events_in(cast.contoso)[-3:] == ["proposal.made", "proposal.confirmed", "proposal.applied"]


def test_before_any_customer_has_lockbox_all_of_it_acts_at_once(cast: Cast) -> None:
    cast.peaceful()
    operations.map_group(cast.exchange.pk, group=ENGINEERS, role="engineer", actor=cast.as_("stella"))
    caller = caller_for(cast, None, SCOPE)
    person = added(caller)
    joined(caller, person)
    assert roles(person) == [("exchange-online", "engineer")]
    assert not Proposal.objects.exists()


@pytest.mark.parametrize("early", ["mapping", "client"])
def test_what_one_human_made_before_the_first_lockbox_gives_no_role_without_a_second(
    cast: Cast, travel: Any, early: str
) -> None:
    """Otherwise that human could give an accomplice a role alone, for as long as the mapping and the client exist."""
    cast.colleague()
    cast.colleague("stina")
    first = Tenant.objects.all().first_on_at()
    assert first is not None
    before = first - dt.timedelta(hours=1)
    mapping, caller = mapped(cast), caller_for(cast, None, SCOPE)
    if early == "mapping":
        GroupRole.objects.filter(pk=mapping.pk).update(made_at=before)
    else:
        Client.objects.filter(tenant=None).update(created_at=before)
    grace = added(caller)
    joined(caller, grace)
    [row] = waiting()
    assert (row.effective_at, row.is_alone, row.is_through_group) == (None, False, False)
    assert (second_person.count_unconfirmed(clock.now()), second_person.count_through_groups()) == (1, 0)
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(row.pk, actor=cast.as_("stella"))
    travel.by(seconds=WAIT.total_seconds() + 1)
    operations.apply_due(actor=cast.system("sweep"), limit=5)
    assert roles(grace) == []
    operations.confirm_proposal(row.pk, actor=cast.as_("sten"))
    swept(cast, travel)
    assert roles(grace) == [("exchange-online", "engineer")]


@pytest.mark.parametrize("how", ["by hand", "in a file"])
def test_a_role_that_waits_through_a_group_is_not_proposed_again(
    cast: Cast, caller: Caller, tmp_path: Path, how: str
) -> None:
    cast.colleague()
    grace = added(caller)
    joined(caller, grace)
    before = facts()
    if how == "by hand":
        with pytest.raises(WrongState, match=ENGINEERS):
            operations.give_queue_role(cast.exchange.pk, grace.pk, role="engineer", actor=cast.as_("stella"))
    else:
        roles_ = "[{service: exchange-online, role: engineer}]"
        text = f"version: 1\npeople:\n- {{email: {grace.email}, roles: {roles_}}}\n"
        status, out, err = run("apply", text, tmp_path / "people.yaml")
        assert (status, err) == (0, ""), out
        assert not HeldRow.objects.exists()
    assert facts() == before


@pytest.mark.parametrize("how", ["by hand", "in a file"])
def test_a_role_that_staff_proposed_is_not_announced_again_through_a_group(
    cast: Cast, caller: Caller, how: str
) -> None:
    """When staff withdraw it, the directory offers the role with its next call."""
    cast.colleague()
    grace = added(caller)
    with pytest.raises(ChangeProposed) as outcome:
        operations.give_queue_role(cast.exchange.pk, grace.pk, role="engineer", actor=cast.as_("stella"))
    row = Proposal.objects.get(pk=outcome.value.current["proposal"])
    if how == "in a file":
        at = clock.now()
        fields = {"file_name": "people.yaml", "sha256": "0" * 64, "door": "admin", "started_name": "Stella Test"}
        file = Import.objects.create(**fields, started_at=at, finished_at=at, rows=1, proposal=row)
        HeldRow.objects.create(of=file, act=row.act, line=1, terms=row.said, digest="0" * 64, until_at=at + WAIT)
        Proposal.objects.filter(pk=row.pk).update(act="import_rows", said={"import": str(file.pk)})
    sent = OutboxMessage.objects.count()
    joined(caller, grace)
    assert (waiting(), OutboxMessage.objects.count()) == ([], sent)
    assert GroupMember.objects.get(person=grace).has_lapsed
    if how == "by hand":
        operations.withdraw_proposal(row.pk, actor=cast.as_("sten"))
        joined(caller, grace)
        assert [each.said["person"] for each in waiting()] == [str(grace.pk)]


def test_nobody_but_staff_with_fresh_proof_makes_or_removes_a_mapping(cast: Cast, mapping: GroupRole) -> None:
    before, count = facts(), GroupRole.objects.count()
    for name in ("erik", "pat", "ines", "ada"):
        with pytest.raises((NotAllowed, NotFound)):
            operations.map_group(cast.exchange.pk, group="Mine", role="engineer", actor=cast.as_(name))
        with pytest.raises((NotAllowed, NotFound)):
            operations.unmap_group(mapping.pk, actor=cast.as_(name))
    with pytest.raises(StepUpRequired):
        operations.map_group(cast.exchange.pk, group="M", role="engineer", actor=cast.as_("stella", fresh=False))
    with pytest.raises(WrongState):
        operations.map_group(cast.exchange.pk, group=ENGINEERS.upper(), role="engineer", actor=cast.as_("stella"))
    assert (facts(), GroupRole.objects.count()) == (before, count)


def test_removing_a_mapping_ends_the_roles_that_came_only_through_it(
    cast: Cast, caller: Caller, mapping: GroupRole, travel: Any
) -> None:
    """A role given by hand stays, and a role that another group gives too stays."""
    other = mapped(cast, "On call")
    grace, hugo, ivy = (added(caller, name) for name in ("grace", "hugo", "ivy"))
    caller.patch(path_of(caller), put_in(grace, hugo, cast.priya))
    joined(caller, hugo, "On call")
    swept(cast, travel)
    joined(caller_for(cast, None, SCOPE), ivy)
    assert roles(grace) == roles(hugo) == [("exchange-online", "engineer")]
    assert len(waiting()) == 1
    operations.unmap_group(mapping.pk, actor=cast.as_("stella"))
    assert (roles(grace), roles(ivy), waiting()) == ([], [], [])
    assert roles(hugo) == [("exchange-online", "engineer")]
    assert ("exchange-online", "engineer") in roles(cast.priya)
    assert list(DirectoryGroup.objects.values_list("name", flat=True)) == ["On call"]
    operations.unmap_group(other.pk, actor=cast.as_("stella"))
    assert (roles(hugo), DirectoryGroup.objects.count(), GroupMember.objects.count()) == ([], 0, 0)


def test_a_new_mapping_of_a_group_announces_the_role_of_each_member(cast: Cast, caller: Caller, travel: Any) -> None:
    grace = added(caller)
    joined(caller, grace)
    swept(cast, travel)
    mapped(cast, ENGINEERS, "provider_approver", "sharepoint")
    [row] = waiting()
    assert (row.said["role"], row.said["person"]) == ("provider_approver", str(grace.pk))
    assert row.effective_at == clock.now() + WAIT
    assert roles(grace) == [("exchange-online", "engineer")]
    swept(cast, travel)
    assert roles(grace) == [("exchange-online", "engineer"), ("sharepoint-online", "provider_approver")]


# --- Members ---------------------------------------------------------------------------------------------------


def test_the_groups_are_those_that_staff_have_mapped(cast: Cast, caller: Caller, mapping: GroupRole) -> None:
    found = caller.get(GROUPS).json()["Resources"]
    assert [(each["displayName"], each["members"]) for each in found] == [(ENGINEERS, [])]
    assert caller.post(GROUPS, {"displayName": "Mine"}).status_code == 501
    assert caller.delete(path_of(caller)).status_code == 501
    renamed = ops({"op": "replace", "path": "displayName", "value": "Other"})
    assert fault(caller.patch(path_of(caller), renamed)) == (400, "mutability")
    tenants = caller_for(cast, "contoso", SCOPE)
    group = f"{GROUPS}/{mapping.group_id}"
    for answer in (tenants.get(group), tenants.patch(group, put_in(cast.mia)), tenants.put(group, {})):
        assert answer.status_code == 404


def test_a_member_gets_the_role_after_notice_and_the_waiting_time(cast: Cast, caller: Caller, travel: Any) -> None:
    cast.colleague()
    grace = added(caller)
    OutboxMessage.objects.all().delete()
    log = events_in(cast.contoso)
    answer = joined(caller, grace)
    # The directory sees a member, and never sends the person again.
    assert [each["value"] for each in answer.json()["members"]] == [str(grace.pk)]
    assert [each["display"] for each in caller.get(f"{USERS}/{grace.pk}").json()["groups"]] == [ENGINEERS]
    [row] = waiting()
    assert (roles(grace), row.effective_at, row.confirmed_by) == ([], row.proposed_at + WAIT, None)
    assert (row.proposed_by, row.is_alone) == (cast.stella, False)
    assert outbox_topics() == ["notify.second_person"] + ["notify.staff_change"] * 2
    assert events_in(cast.contoso) == [*log, "proposal.made"]
    with pytest.raises(WrongState):
        operations.confirm_proposal(row.pk, actor=cast.as_("sten"))
    assert row.effective_at is not None
    travel.to(row.effective_at - dt.timedelta(microseconds=1))
    assert operations.apply_due(actor=cast.system("sweep"), limit=5) == 0
    assert roles(grace) == []
    travel.by(seconds=1)
    operations.apply_due(actor=cast.system("sweep"), limit=5)
    assert roles(grace) == [("exchange-online", "engineer")]
    assert QueueAssignment.objects.get(person=grace).is_through_group
    assert events_in(cast.contoso)[-1] == "proposal.applied"
    [entry] = AuditEntry.objects.filter(event="role.given", subject_id=str(grace.pk))
    assert ENGINEERS in bytes(entry.canonical).decode()


def test_the_same_call_again_proposes_nothing(cast: Cast, caller: Caller, travel: Any) -> None:
    grace = added(caller)
    joined(caller, grace)
    before, path = facts(), path_of(caller)
    whole = caller.get(path).json()
    for call in (lambda: caller.patch(path, put_in(grace)), lambda: caller.put(path, whole)):
        assert call().status_code == 200
    assert (facts(), len(waiting())) == (before, 1)
    swept(cast, travel)
    before, again = facts(), caller_for(cast, None, SCOPE)
    assert again.patch(path, put_in(grace)).status_code == 200
    assert facts()["roles"] == before["roles"]
    assert waiting() == []


def test_who_is_taken_out_loses_the_role_immediately(cast: Cast, caller: Caller, travel: Any) -> None:
    grace, hugo = added(caller), added(caller, "hugo")
    joined(caller, grace)
    swept(cast, travel)
    calls = caller_for(cast, None, SCOPE)
    joined(calls, hugo)
    row = cast.submitted("fabrikam", by="priya")
    row.requested_by, row.requester_human = grace, grace.human_id
    row.save()
    for person in (grace, hugo):
        assert calls.patch(path_of(calls), take_out(person)).status_code == 200
    row.refresh_from_db()
    assert (roles(grace), roles(hugo), waiting(), row.state) == ([], [], [], "WITHDRAWN")
    assert Proposal.objects.filter(act="give_group_role", outcome="withdrawn").count() == 1


def test_nobody_of_a_customer_and_no_staff_role_comes_through_a_group(cast: Cast, caller: Caller) -> None:
    before = facts()
    for person in (cast.ada, cast.mia):
        assert fault(caller.patch(path_of(caller), put_in(person))) == (400, "invalidValue")
    assert (facts(), GroupMember.objects.count()) == (before, 0)
    with pytest.raises(Unacceptable):
        operations.map_group(cast.exchange.pk, group="Staff", role="staff", actor=cast.as_("stella"))


@pytest.mark.parametrize("why", ["withdrawn", "unmapped", "left", "off", "scope", "client", "staff"])
def test_a_role_takes_effect_only_if_all_of_it_is_still_valid(
    cast: Cast, caller: Caller, mapping: GroupRole, travel: Any, why: str
) -> None:
    cast.colleague()
    grace = added(caller)
    joined(caller, grace)
    [row] = waiting()
    assert row.proposed_through is not None
    client = row.proposed_through.client
    ends: dict[str, Callable[[], Any]] = {
        "withdrawn": lambda: operations.withdraw_proposal(row.pk, actor=cast.as_("sten")),
        "unmapped": lambda: operations.unmap_group(mapping.pk, actor=cast.as_("sten")),
        "left": lambda: GroupMember.objects.all().delete(),
        "off": lambda: operations.switch_off_person(grace.pk, actor=cast.as_("sten")),
        "scope": lambda: operations.change_client(client.pk, scopes=["grants:read"], actor=cast.as_("sten")),
        "client": lambda: operations.remove_client(client.pk, actor=cast.as_("sten")),
        "staff": lambda: Person.objects.filter(pk=cast.stella.pk).update(is_staff=False),
    }
    ends[why]()
    travel.to(clock.now() + WAIT + dt.timedelta(seconds=1))
    operations.apply_due(actor=cast.system("sweep"), limit=5)
    row.refresh_from_db()
    assert (roles(grace), row.outcome in ("withdrawn", "lapsed")) == ([], True)


def test_a_member_whose_only_proof_is_a_copied_link_gets_no_role_in_the_end(
    cast: Cast, caller: Caller, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    grace = added(caller)
    joined(caller, grace)
    monkeypatch.setattr(second_person, "came_by_copied_link", lambda person: person.pk == grace.pk)
    swept(cast, travel)
    assert (roles(grace), Proposal.objects.get(act="give_group_role").outcome) == ([], "lapsed")


def test_the_holder_of_the_secret_is_staff_when_the_role_takes_effect(cast: Cast, caller: Caller, travel: Any) -> None:
    """The human who took the secret after the announcement counts, too."""
    cast.colleague()
    grace = added(caller)
    joined(caller, grace)
    client = Client.objects.live().get(tenant=None, scopes=[str(SCOPE)])
    operations.rotate_client_secret(client.pk, actor=cast.as_("sten"))
    Person.objects.filter(pk=cast.sten.pk).update(is_staff=False)
    swept(cast, travel)
    assert (roles(grace), Proposal.objects.get(act="give_group_role").outcome) == ([], "lapsed")


def test_somebody_whom_the_directory_deleted_is_not_put_into_a_group(cast: Cast, caller: Caller) -> None:
    grace = added(caller)
    assert caller.delete(f"{USERS}/{grace.pk}").status_code == 204
    before = facts()
    assert fault(caller.patch(path_of(caller), put_in(grace))) == (400, "invalidValue")
    assert (facts(), GroupMember.objects.count()) == (before, 0)


def test_somebody_who_is_switched_off_gets_the_role_only_after_the_account_is_on(cast: Cast, caller: Caller) -> None:
    grace = added(caller)
    assert caller.patch(f"{USERS}/{grace.pk}", replace(active=False)).status_code == 200
    joined(caller, grace)
    assert (waiting(), roles(grace)) == ([], [])
    assert caller.patch(f"{USERS}/{grace.pk}", replace(active=True)).status_code == 200
    assert [row.said["person"] for row in waiting()] == [str(grace.pk)]


def test_a_new_mapping_gives_nothing_through_a_client_that_lost_its_scope(cast: Cast, caller: Caller) -> None:
    grace = added(caller)
    joined(caller, grace)
    client = Client.objects.live().get(tenant=None, scopes=[str(SCOPE)])
    operations.change_client(client.pk, scopes=["grants:read"], actor=cast.as_("stella"))
    mapped(cast, ENGINEERS, "provider_approver", "sharepoint")
    assert "provider_approver" not in {row.said["role"] for row in waiting()}
    assert GroupMember.objects.get(person=grace).has_lapsed


def test_the_address_stays_while_a_role_waits_through_an_accepted_invitation(cast: Cast, caller: Caller) -> None:
    """The proposal names the address of the invitation, and not the account. So the account keeps the address."""
    cast.colleague()
    invited = cast.invited_colleague("ina@provider.example")
    grace = added(caller)
    Invitation.objects.filter(pk=invited.pk).update(accepted_by=grace, accepted_at=clock.now())
    assert Proposal.objects.of_staff().filter(pk=Invitation.objects.get(pk=invited.pk).proposal_id).exists()
    before = facts()
    mine = replace(emails=[{"value": "mallory@provider.example"}])
    assert fault(caller.patch(f"{USERS}/{grace.pk}", mine)) == (400, "invalidValue")
    assert facts() == before


def test_a_withdrawn_role_does_not_come_back_with_the_next_call(cast: Cast, caller: Caller) -> None:
    """Staff said no. Only taking the person out of the group and putting them in again announces the role again."""
    grace, hugo = added(caller), added(caller, "hugo")
    joined(caller, grace)
    operations.withdraw_proposal(waiting()[0].pk, actor=cast.as_("stella"))
    joined(caller, grace)
    joined(caller, hugo)
    assert [row.said["person"] for row in waiting()] == [str(hugo.pk)]
    caller.patch(path_of(caller), take_out(grace))
    joined(caller, grace)
    assert {row.said["person"] for row in waiting()} == {str(hugo.pk), str(grace.pk)}


def test_a_role_that_lapsed_is_announced_again_when_the_directory_next_changes_the_group(
    cast: Cast, caller: Caller, travel: Any
) -> None:
    cast.colleague()
    grace = added(caller)
    joined(caller, grace)
    Person.objects.filter(pk=cast.stella.pk).update(is_staff=False)
    swept(cast, travel)
    assert GroupMember.objects.get().has_lapsed
    Person.objects.filter(pk=cast.stella.pk).update(is_staff=True)
    calls = caller_for(cast, None, SCOPE)
    assert calls.patch(path_of(calls), put_in(grace)).status_code == 200
    assert ([row.said["person"] for row in waiting()], roles(grace)) == ([str(grace.pk)], [])


# --- The cheapest ways to get a role for an accomplice with one human ------------------------------------------


def test_switching_off_and_on_again_does_not_pass_the_waiting_time_by(cast: Cast, caller: Caller, travel: Any) -> None:
    grace = added(caller)
    joined(caller, grace)
    swept(cast, travel)
    calls = caller_for(cast, None, SCOPE)
    for active in (False, True):
        assert calls.patch(f"{USERS}/{grace.pk}", replace(active=active)).status_code == 200
    [row] = waiting()
    assert (roles(grace), row.effective_at) == ([], clock.now() + WAIT)


def test_a_person_who_waits_can_not_become_somebody_else(cast: Cast, caller: Caller) -> None:
    """Customers got a mail with a name. Neither the name nor the address changes before the role takes effect."""
    grace = added(caller)
    joined(caller, grace)
    before = facts()
    for change in ({"displayName": "Mallory"}, {"emails": [{"value": "mallory@provider.example"}]}):
        assert fault(caller.patch(f"{USERS}/{grace.pk}", replace(**change))) == (400, "invalidValue")
    assert facts() == before


def test_nor_can_a_person_whose_role_was_proposed_by_hand(cast: Cast, caller: Caller) -> None:
    grace = added(caller)
    with pytest.raises(ChangeProposed):
        operations.give_queue_role(cast.exchange.pk, grace.pk, role="engineer", actor=cast.as_("stella"))
    mine = replace(emails=[{"value": "mallory@provider.example"}])
    assert fault(caller.patch(f"{USERS}/{grace.pk}", mine)) == (400, "invalidValue")


@pytest.mark.parametrize("named", ["person", "email"])
def test_nor_can_a_person_whose_role_waits_in_an_import(cast: Cast, caller: Caller, named: str) -> None:
    """The person may have an account, or may have accepted an invitation that was made from the file."""
    grace, at = added(caller), clock.now()
    fields = {"file_name": "people.yaml", "sha256": "0" * 64, "door": "admin", "started_name": "Stella Test"}
    row = Import.objects.create(**fields, started_at=at, finished_at=at, rows=1)
    terms = {"person": {"person": str(grace.pk)}, "email": {"email": grace.email}}[named]
    HeldRow.objects.create(of=row, act="give_queue_role", line=1, terms=terms, digest="0" * 64, until_at=at + WAIT)
    mine = replace(emails=[{"value": "mallory@provider.example"}])
    assert fault(caller.patch(f"{USERS}/{grace.pk}", mine)) == (400, "invalidValue")


def test_one_human_makes_no_client_that_gives_roles(cast: Cast, mapping: GroupRole) -> None:
    """The scope itself needs a second person, notice and the waiting time."""
    cast.colleague()
    made = operations.create_client(name="Mine", scopes=[SCOPE], actor=cast.as_("stella"))
    assert made.row.scopes == []
    row = Proposal.objects.get(act="let_client_provision")
    assert (row.effective_at, row.ended_at) == (None, None)
    other = operations.create_client(name="Other", scopes=["grants:read"], actor=cast.as_("stella")).row
    with pytest.raises(ChangeProposed):
        operations.change_client(cast.own_client("Third", []).row.pk, scopes=[SCOPE], actor=cast.as_("stella"))
    assert SCOPE not in other.scopes


def test_a_client_that_got_another_scope_meanwhile_does_not_get_this_one(cast: Cast, travel: Any) -> None:
    """A client of the directory never has a second scope, not even if both were on their way."""
    made = operations.create_client(name="Mine", scopes=[SCOPE], actor=cast.as_("stella"))
    operations.change_client(made.row.pk, scopes=["provision"], actor=cast.as_("stella"))
    travel.by(seconds=WAIT.total_seconds() + 1)
    operations.apply_due(actor=cast.system("sweep"), limit=5)
    made.row.refresh_from_db()
    assert (made.row.scopes, Proposal.objects.get(act="let_client_provision").outcome) == (["provision"], "lapsed")


def test_a_newcomer_with_the_secret_puts_nobody_into_a_group(cast: Cast, mapping: GroupRole, travel: Any) -> None:
    """A member of the staff whose account is new could be a second account of another one."""
    travel.by(days=10)
    cast.colleague("newt", hours=1)
    client = cast.own_client("Directory", [str(SCOPE)]).row
    made = operations.make_lasting_token(client.pk, days=30, actor=cast.as_("newt"))
    calls = Caller(made.secret)
    grace = added(calls)
    before = facts()
    assert calls.patch(path_of(calls), put_in(grace)).status_code == 403
    assert (facts(), GroupMember.objects.count()) == (before, 0)


def newcomers(cast: Cast, person: str = "newt") -> Caller:
    """Return the calls of somebody new to the staff who took a new secret of the directory's client."""
    long_on = Tenant.objects.filter(pk__in=Tenant.objects.ever_on().values("pk"))
    long_on.update(lockbox_first_on_at=clock.now() - dt.timedelta(days=900))
    StaffTerm.objects.filter(person=cast.stella).update(from_at=clock.now() - dt.timedelta(days=1000))
    cast.colleague(person, hours=1)
    client = Client.objects.live().get(tenant=None, scopes=[str(SCOPE)])
    operations.rotate_client_secret(client.pk, actor=cast.as_(person))
    client.refresh_from_db()
    return Caller(operations.issue_access_token(client, scopes=[SCOPE]).secret)


@pytest.mark.parametrize("has_role", [False, True])
def test_a_newcomer_with_the_secret_gives_no_member_a_role_by_switching_on_and_off(
    cast: Cast, caller: Caller, travel: Any, has_role: bool
) -> None:
    """Nor does the newcomer get the membership for somebody else, who gets the account."""
    grace = added(caller)
    joined(caller, grace)
    if has_role:
        swept(cast, travel)
    calls, path = newcomers(cast), f"{USERS}/{grace.pk}"
    for active in (False, True):
        assert calls.patch(path, replace(active=active)).status_code == 200
    assert (waiting(), roles(grace)) == ([], [])
    assert GroupMember.objects.get(person=grace).has_lapsed
    calls.patch(path, replace(active=False))
    mine = {"displayName": "Accomplice", "emails": [{"value": "accomplice@provider.example"}]}
    assert calls.patch(path, replace(**mine)).status_code == 200
    assert calls.patch(path, replace(active=True)).status_code == 200
    assert (waiting(), roles(grace), GroupMember.objects.count()) == ([], [], 0)


def test_after_a_newcomer_switched_somebody_on_an_established_client_announces_the_role(
    cast: Cast, caller: Caller
) -> None:
    grace = added(caller)
    joined(caller, grace)
    calls = newcomers(cast)
    for active in (False, True):
        calls.patch(f"{USERS}/{grace.pk}", replace(active=active))
    client = Client.objects.live().get(tenant=None, scopes=[str(SCOPE)])
    operations.rotate_client_secret(client.pk, actor=cast.as_("stella"))
    client.refresh_from_db()
    calls = Caller(operations.issue_access_token(client, scopes=[SCOPE]).secret)
    joined(calls, grace)
    assert [row.said["person"] for row in waiting()] == [str(grace.pk)]


def test_a_newcomer_announces_no_role_through_another_group_or_a_new_mapping(cast: Cast, caller: Caller) -> None:
    mapped(cast, "On call")
    grace = added(caller)
    joined(caller, grace)
    joined(caller, grace, "On call")
    calls = newcomers(cast)
    assert calls.patch(path_of(calls), take_out(grace)).status_code == 200
    assert (waiting(), GroupMember.objects.get(person=grace).has_lapsed) == ([], True)
    mapped(cast, "On call", "provider_approver", "sharepoint")
    assert (waiting(), roles(grace)) == ([], [])


@pytest.mark.parametrize("why", ["maker", "holder"])
def test_nobody_who_could_use_the_client_is_new_when_it_puts_somebody_in(
    cast: Cast, mapping: GroupRole, travel: Any, why: str
) -> None:
    """Each of them counts, also if the token of the call is one that an established human read."""
    travel.by(days=10)
    cast.colleague("newt", hours=1)
    client = cast.own_client("Directory", [str(SCOPE)]).row
    if why == "maker":
        Client.objects.filter(pk=client.pk).update(created_by=cast.people["newt"], secret_by=cast.stella)
    else:
        operations.rotate_client_secret(client.pk, actor=cast.as_("newt"))
    calls = Caller(operations.make_lasting_token(client.pk, days=30, actor=cast.as_("stella")).secret)
    grace = added(calls)
    before = facts()
    assert calls.patch(path_of(calls), put_in(grace)).status_code == 403
    assert (facts(), GroupMember.objects.count()) == (before, 0)


@pytest.mark.parametrize("new", [{"userName": "other"}, {"emails": [{"value": "other@provider.example"}]}])
def test_somebody_else_does_not_inherit_a_membership(cast: Cast, caller: Caller, new: dict[str, Any]) -> None:
    mapped(cast, "On call")
    grace = added(caller)
    joined(caller, grace)
    joined(caller, grace, "On call")
    operations.withdraw_proposal(waiting()[0].pk, actor=cast.as_("stella"))
    assert caller.patch(f"{USERS}/{grace.pk}", replace(userName="GRACE@provider.example")).status_code == 200
    assert GroupMember.objects.count() == 2
    assert caller.patch(f"{USERS}/{grace.pk}", replace(**new)).status_code == 200
    assert (GroupMember.objects.count(), waiting()) == (0, [])
    assert caller.get(f"{USERS}/{grace.pk}").json()["groups"] == []


@pytest.mark.parametrize("again", ["active", "lapsed", "other group"])
def test_a_withdrawn_role_does_not_come_back_with_the_account_or_another_group(
    cast: Cast, caller: Caller, again: str
) -> None:
    mapped(cast, "On call")
    grace = added(caller)
    joined(caller, grace)
    operations.withdraw_proposal(waiting()[0].pk, actor=cast.as_("stella"))
    if again == "active":
        for active in (False, True):
            assert caller.patch(f"{USERS}/{grace.pk}", replace(active=active)).status_code == 200
    elif again == "lapsed":
        GroupMember.objects.update(has_lapsed=True)
    joined(caller, grace, "On call" if again == "other group" else ENGINEERS)
    assert (waiting(), roles(grace)) == ([], [])
    caller.patch(path_of(caller), take_out(grace))
    joined(caller, grace)
    assert [row.said["person"] for row in waiting()] == [str(grace.pk)]


def test_staff_who_switch_an_account_off_withdraw_its_waiting_roles(cast: Cast, caller: Caller) -> None:
    """The directory can switch the account on again, but it gives no role, and no waiting time continues."""
    cast.colleague()
    grace = added(caller)
    joined(caller, grace)
    operations.switch_off_person(grace.pk, actor=cast.as_("sten"))
    row = Proposal.objects.get(act="give_group_role")
    assert (waiting(), row.outcome) == ([], "withdrawn")
    assert caller.patch(f"{USERS}/{grace.pk}", replace(active=True)).status_code == 200
    assert (waiting(), roles(grace)) == ([], [])


def test_a_directory_that_switches_an_account_off_ends_its_waiting_roles(cast: Cast, caller: Caller) -> None:
    grace = added(caller)
    joined(caller, grace)
    assert caller.patch(f"{USERS}/{grace.pk}", replace(active=False)).status_code == 200
    row = Proposal.objects.get(act="give_group_role")
    assert (waiting(), row.outcome) == ([], "lapsed")
    assert events_in(cast.contoso)[-1] == "proposal.lapsed"
    assert caller.patch(f"{USERS}/{grace.pk}", replace(active=True)).status_code == 200
    [again] = waiting()
    assert again.effective_at == again.proposed_at + WAIT


@pytest.mark.parametrize("who", ["maker", "holder", "reader", "other"])
def test_nobody_gives_themselves_a_role_through_their_own_client(cast: Cast, mapping: GroupRole, who: str) -> None:
    """The proposer would be the one who gets the role, and nobody has to confirm it."""
    person = cast.colleague()
    client = cast.own_client("Directory", [str(SCOPE)]).row
    calls = Caller(operations.make_lasting_token(client.pk, days=30, actor=cast.as_("stella")).secret)
    match who:
        case "maker":
            Client.objects.filter(pk=client.pk).update(created_by=person, secret_by=cast.stella)
        case "holder":
            Client.objects.filter(pk=client.pk).update(secret_by=person)
        case "reader":
            operations.make_lasting_token(client.pk, days=30, actor=cast.as_("sten"))
    if who == "other":
        Person.objects.filter(pk=person.pk).update(human_id=cast.stella.human_id)
    grace = added(calls)
    before = facts()
    assert calls.patch(path_of(calls), put_in(grace, person)).status_code == 403
    assert (facts(), GroupMember.objects.count()) == (before, 0)
    assert calls.patch(path_of(calls), put_in(grace)).status_code == 200


def test_a_member_who_takes_the_secret_meanwhile_gets_no_role(cast: Cast, caller: Caller, travel: Any) -> None:
    person = cast.colleague()
    joined(caller, person)
    client = Client.objects.live().get(tenant=None, scopes=[str(SCOPE)])
    operations.rotate_client_secret(client.pk, actor=cast.as_("sten"))
    swept(cast, travel)
    assert (roles(person), waiting(), GroupMember.objects.get().has_lapsed) == ([], [], True)
    mapped(cast, ENGINEERS, "provider_approver", "sharepoint")
    assert (roles(person), waiting()) == ([], [])


def test_colleagues_see_a_role_through_a_group_while_they_can_withdraw_it(cast: Cast, caller: Caller) -> None:
    cast.colleague()
    grace = added(caller)
    sten, words = signed_in(cast, "sten"), "1 role through a group waits. You can withdraw it."
    assert words not in sten.get("/").content.decode()
    joined(caller, grace)
    assert words in sten.get("/").content.decode()
    assert ProposalAdmin.waiting() == 1
    assert words not in signed_in(cast, "pat").get("/").content.decode()
    operations.withdraw_proposal(waiting()[0].pk, actor=cast.as_("sten"))
    assert words not in sten.get("/").content.decode()
    assert ProposalAdmin.waiting() == 0


def test_a_client_makes_no_mapping(cast: Cast, caller: Caller) -> None:
    """No scope leads to a mapping, so a leaked secret reaches only the roles on which two people agreed."""
    for act in (MAP_GROUP, UNMAP_GROUP):
        assert (act.scope, act.provider_scope, act.any_token, act.humans_only) == (None, None, False, True)


def test_a_customer_that_switches_lockbox_on_meanwhile_has_the_whole_waiting_time(
    cast: Cast, caller: Caller, travel: Any
) -> None:
    grace = added(caller)
    joined(caller, grace)
    [row] = waiting()
    travel.by(hours=24)
    type(cast.northwind).objects.filter(pk=cast.northwind.pk).update(lockbox_on=True)
    operations.apply_due(actor=cast.system("sweep"), limit=5)
    row.refresh_from_db()
    assert row.effective_at == clock.now() + WAIT
    assert roles(grace) == []
