"""Changes by staff that reduce a customer's protection need two humans, an announcement and a waiting time.

Other changes need none of these.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from audit_app import canonical
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import acts, clock
from requests_app.domain.errors import (
    AlreadyDecidedByYou,
    ChangeProposed,
    DeadlinePassed,
    NotAllowed,
    NotFound,
    OwnAccessRequest,
    SecondPersonNeeded,
    StepUpRequired,
    StoreUnavailable,
    Unacceptable,
    WrongState,
)
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.scopes import Scope, in_order
from requests_app.identity.factors import drops_all
from requests_app.models import (
    AccessRequest,
    Client,
    GateProxy,
    GroupRole,
    Identity,
    OutboxMessage,
    Person,
    Plan,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    StaffTerm,
    Tenant,
)
from requests_app.models.people import actor_of_token
from requests_app.platform.database import bounds
from requests_app.queries import tenant as queries
from requests_app.words import proposals
from tests.cast import GATE_RULES, Cast, events_in, outbox_topics
from tests.database.test_bounds import held
from tests.stopwatch import takes

pytestmark = pytest.mark.django_db

WAIT = dt.timedelta(seconds=settings.STAFF_CHANGE_WAIT_SECONDS)


@pytest.fixture
def two(cast: Cast) -> Cast:
    """Return the cast with a second member of staff, who joined long ago."""
    cast.colleague()
    return cast


def proposed(call: Callable[[], Any]) -> Proposal:
    with pytest.raises(ChangeProposed) as outcome:
        call()
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


def uncovered(cast: Cast, by: str = "stella", **more: Any) -> Service:
    row = Service.objects.get(pk=cast.exchange.pk)
    wanted = {"key": row.key, "name": row.name, "connector": row.connector, "is_covered": False, **more}
    return operations.save_service(service_id=row.pk, actor=cast.as_(by), **wanted)


def renamed(cast: Cast, name: str = "Canteen menus") -> Resource:
    return operations.save_resource(resource_id=cast.resource().pk, name=name, actor=cast.as_("stella"))


def due(cast: Cast, travel: Any, row: Proposal) -> Proposal:
    """Move the clock to the time at which a change takes effect, and sweep. Return the proposal."""
    row.refresh_from_db()
    assert row.effective_at is not None
    travel.to(row.effective_at)
    operations.apply_due(actor=cast.system("sweep"), limit=10)
    row.refresh_from_db()
    return row


def facts() -> dict[str, Any]:
    """Return everything that these acts can change."""
    people = Person.objects.get_queryset().order_by("pk")
    return {
        "services": list(Service.objects.order_by("pk").values_list()),
        "plans": list(Plan.objects.order_by("pk").values_list("name", "includes_lockbox")),
        "tenants": list(Tenant.objects.order_by("pk").values_list("plan", "lockbox_on", "is_active")),
        "resources": list(Resource.objects.order_by("pk").values_list("name", "locator", "is_active", "external_id")),
        "queues": sorted(QueueAssignment.objects.values_list("person__name", "role", "service__key")),
        "people": list(people.exclude(kind="client").values_list("human_id", "is_staff", "is_active")),
        "clients": [row.scopes for row in Client.objects.order_by("pk")],
        "proxies": sorted(GateProxy.objects.values_list("name", "service__key", "removed_at")),
        "groups": sorted(GroupRole.objects.values_list("group__name", "role", "service__key")),
    }


def _off(cast: Cast) -> None:
    """Switch off Pat, who is an approver of the provider."""
    Person.objects.filter(pk=cast.pat.pk).update(is_active=False)


def _linked(cast: Cast) -> None:
    Person.objects.filter(pk=cast.paula.pk).update(human_id=cast.priya.human_id)


def _asked_and_withdrew(cast: Cast) -> None:
    operations.withdraw(cast.submitted(resource=cast.resource()).pk, actor=cast.as_("priya"))


def _numbered(cast: Cast) -> None:
    Resource.objects.filter(pk=cast.resource().pk).update(external_id="M-1")


def _inactive_and_uncovered(cast: Cast) -> None:
    Resource.objects.filter(pk=cast.resource().pk).update(is_active=False)
    Service.objects.filter(pk=cast.exchange.pk).update(is_covered=False)


def _switched_off(cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(is_active=False)


def _inactive_service(cast: Cast) -> None:
    Service.objects.filter(pk=cast.exchange.pk).update(is_active=False, is_covered=False)


def _uncovered_service(cast: Cast) -> None:
    Service.objects.create(key="lab", name="Lab", connector="maildir", is_covered=False)


def _client(cast: Cast) -> None:
    operations.create_client(name="Gateway", scopes=["grants:read"], actor=cast.as_("stella"))


def _gate(cast: Cast) -> None:
    Service.objects.filter(pk=cast.quillo().pk).update(gate_rules=GATE_RULES)


Act = Callable[[Cast, Any], Any]
#: Each act: how to prepare its rows, and the act. Northwind never had Lockbox on, so it gets no message.
ACTS: dict[str, tuple[Callable[[Cast], Any] | None, Act]] = {
    "coverage": (None, lambda c, a: uncovered(c)),
    "a new service that is not covered": (
        None,
        lambda c, a: operations.save_service(key="lab", name="Lab", connector="folder", is_covered=False, actor=a),
    ),
    "connector": (None, lambda c, a: uncovered(c, is_covered=True, connector="folder")),
    "key": (None, lambda c, a: uncovered(c, is_covered=True, key="exchange")),
    "name of a service": (None, lambda c, a: uncovered(c, is_covered=True, name="SharePoint")),
    "a new resource where the customer is not asked": (
        _uncovered_service,
        lambda c, a: operations.save_resource(
            tenant_id=c.contoso.pk,
            service_id=Service.objects.get(key="lab").pk,
            name="The chief's mailbox",
            kind="mailbox",
            locator="contoso/chief",
            actor=a,
        ),
    ),
    "name of a resource": (None, lambda c, a: renamed(c)),
    "locator of a resource": (
        None,
        lambda c, a: operations.save_resource(resource_id=c.resource().pk, locator="contoso/mail/chief", actor=a),
    ),
    "first external id of a resource": (
        None,
        lambda c, a: operations.save_resource(resource_id=c.resource().pk, external_id="M-1", actor=a),
    ),
    "external id of a resource": (
        _numbered,
        lambda c, a: operations.save_resource(resource_id=c.resource().pk, external_id="M-2", actor=a),
    ),
    "an inactive resource where the customer is not asked": (
        _inactive_and_uncovered,
        lambda c, a: operations.save_resource(resource_id=c.resource().pk, is_active=True, actor=a),
    ),
    "plan": (
        None,
        lambda c, a: operations.save_plan(plan_id=c.contoso.plan_id, name="E5", includes_lockbox=False, actor=a),
    ),
    "another plan": (
        None,
        lambda c, a: operations.change_tenant(c.contoso.pk, plan_id=Plan.objects.get(name="Basic").pk, actor=a),
    ),
    "a tenant's switch": (None, lambda c, a: operations.switch_off_tenant(c.contoso.pk, actor=a)),
    "a tenant's switch on": (_switched_off, lambda c, a: operations.switch_on_tenant(c.contoso.pk, actor=a)),
    "an inactive service where customers are not asked": (
        _inactive_service,
        lambda c, a: operations.save_service(service_id=c.exchange.pk, is_active=True, actor=a),
    ),
    "link": (None, lambda c, a: operations.link_accounts(c.priya.pk, c.erik.pk, actor=a)),
    "unlink": (_linked, lambda c, a: operations.unlink_accounts(c.paula.pk, actor=a)),
    "staff": (None, lambda c, a: operations.make_staff(c.erik.pk, actor=a)),
    "engineer": (
        None,
        lambda c, a: operations.give_queue_role(c.exchange.pk, c.samir.pk, role="engineer", actor=a),
    ),
    "approver": (
        None,
        lambda c, a: operations.give_queue_role(c.exchange.pk, c.samir.pk, role="provider_approver", actor=a),
    ),
    "switched on": (_off, lambda c, a: operations.switch_on_person(c.pat.pk, actor=a)),
    "client": (
        _client,
        lambda c, a: operations.change_client(
            Client.objects.get().pk, scopes=["grants:read", "evaluate", "requests:submit"], actor=a
        ),
    ),
    "client of an application": (
        lambda c: (c.quillo(), c.own_client("Quillo", ["grants:read"])),
        lambda c, a: operations.change_client(
            Client.objects.get().pk, scopes=["grants:read", "evaluate", "guard"], service_id=c.quillo().pk, actor=a
        ),
    ),
    "proxy of a gate": (
        _gate,
        lambda c, a: operations.add_proxy(c.quillo().pk, name="nginx", secret_hash="ab" * 32, actor=a),
    ),
    "client of a directory": (
        lambda c: c.own_client("Directory", []),
        lambda c, a: operations.change_client(Client.objects.get().pk, scopes=["members:provision"], actor=a),
    ),
    "group": (
        None,
        lambda c, a: operations.map_group(c.exchange.pk, group="Lockbox engineers", role="engineer", actor=a),
    ),
}


#: The invitation is sent in any case, and only its role waits. tests/operations/test_colleagues.py tries these.
ON_INVITATIONS = {"invite_staff", "invite_to_queues"}
#: No person proposes these: they come through a confirmed mapping. tests/api/test_scim_groups.py tries them.
THROUGH_GROUPS = {"give_group_role"}
#: These acts affect only Contoso. Its log has this event when the change is applied.
OF_CONTOSO = {
    "a new resource where the customer is not asked": "resource.added",
    "name of a resource": "resource.changed",
    "locator of a resource": "resource.changed",
    "first external id of a resource": "resource.changed",
    "external id of a resource": "resource.changed",
    "an inactive resource where the customer is not asked": "resource.changed",
    "another plan": "tenant.changed",
    "a tenant's switch": "tenant.switched_off",
    "a tenant's switch on": "tenant.switched_on",
}


@pytest.mark.parametrize("name", ACTS)
def test_a_change_that_weakens_a_customer_waits_for_a_second_human_and_for_its_time(
    two: Cast, travel: Any, name: str
) -> None:
    prepare, act = ACTS[name]
    if prepare is not None:
        prepare(two)
    before, log = facts(), events_in(two.contoso)
    OutboxMessage.objects.all().delete()
    row = proposed(lambda: act(two, two.as_("stella")))
    # Nothing has changed, everybody affected gets a message, and their logs have the entry.
    assert facts() == before
    touched = {two.contoso.pk} if name in OF_CONTOSO else {two.contoso.pk, two.fabrikam.pk}
    assert set(row.touched.values_list("pk", flat=True)) == touched
    assert events_in(two.contoso) == [*log, "proposal.made"]
    # So do the colleagues who can confirm it.
    assert outbox_topics() == ["notify.second_person"] + ["notify.staff_change"] * len(touched)
    message = OutboxMessage.objects.filter(lane="fanout", topic="notify.staff_change").first()
    assert message is not None
    assert set(message.payload["audiences"]) == {"customer", "administrators"}
    assert "%(" not in proposals.words(row.act, row.said)
    assert proposals.words(row.act, row.said) != row.act
    # Without a confirmation, the change never takes effect.
    travel.by(days=6)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    assert facts() == before
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    row.refresh_from_db()
    assert row.effective_at == clock.now() + WAIT
    assert facts() == before
    assert outbox_topics() == ["notify.second_person"] + ["notify.staff_change"] * 2 * len(touched)
    # The change does not take effect earlier, for any caller.
    assert row.effective_at is not None
    travel.to(row.effective_at - dt.timedelta(microseconds=1))
    assert operations.apply_due(actor=two.system("sweep"), limit=10) == 0
    with pytest.raises(WrongState):
        operations.apply_proposal(row.pk, actor=two.system("sweep"))
    assert facts() == before
    row = due(two, travel, row)
    assert (row.outcome, facts() == before) == ("applied", False)
    assert [e for e in events_in(two.contoso) if e.startswith("proposal.")] == [
        *("proposal.made", "proposal.confirmed", "proposal.applied")
    ]
    if name in OF_CONTOSO:
        assert events_in(two.contoso)[-2:] == [OF_CONTOSO[name], "proposal.applied"]
    applied = facts()
    with pytest.raises(WrongState):
        operations.apply_proposal(row.pk, actor=two.system("sweep"))
    assert facts() == applied


def test_each_change_that_is_announced_is_tried_here(two: Cast) -> None:
    """The declarations say which changes are announced. Each of them must have a case in ACTS.

    The held rows of an import have tests of their own (tests/imports): the system proposes them, in one proposal.
    """
    found = set()
    for prepare, act in ACTS.values():
        here = transaction.savepoint()
        if prepare is not None:
            prepare(two)
        found.add(proposed(partial(act, two, two.as_("stella"))).act)
        transaction.savepoint_rollback(here)
    assert found | ON_INVITATIONS | THROUGH_GROUPS | {"import_rows"} == {
        name for name, proposal in acts.PROPOSALS.items() if proposal.by_staff
    }


@pytest.mark.parametrize("name", ACTS)
def test_until_a_tenant_has_lockbox_on_for_the_first_time_nothing_waits(cast: Cast, name: str) -> None:
    Tenant.objects.update(lockbox_on=False)
    prepare, act = ACTS[name]
    if prepare is not None:
        prepare(cast)
    before = facts()
    act(cast, cast.as_("stella"))
    assert facts() != before
    assert not Proposal.objects.exists()


def test_a_tenant_that_switched_lockbox_off_again_still_gets_notice(cast: Cast) -> None:
    Tenant.objects.update(lockbox_on=False)
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    first = Tenant.objects.get(pk=cast.contoso.pk).lockbox_first_on_at
    assert first is not None
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    assert Tenant.objects.get(pk=cast.contoso.pk).lockbox_first_on_at == first
    row = proposed(lambda: uncovered(cast))
    assert list(row.touched.all()) == [cast.contoso]


# --- Who can confirm -----------------------------------------------------------------------------------------


def test_only_another_human_of_the_staff_confirms(two: Cast) -> None:
    two.colleague("stella.too")
    Person.objects.filter(pk=two.people["stella.too"].pk).update(human_id=two.stella.human_id)
    row, before = proposed(lambda: uncovered(two)), facts()
    refusals = {
        **dict.fromkeys(("stella", "stella.too"), SecondPersonNeeded),
        **dict.fromkeys(("pat", "priya", "ines", "ada", "frida"), NotFound),
    }
    for name, refusal in refusals.items():
        for act in (operations.confirm_proposal, operations.withdraw_proposal):
            if refusal is SecondPersonNeeded and act is operations.withdraw_proposal:
                continue
            with pytest.raises(refusal):
                act(row.pk, actor=two.as_(name))
    with pytest.raises(StepUpRequired):
        operations.confirm_proposal(row.pk, actor=two.as_("sten", fresh=False))
    row.refresh_from_db()
    assert (row.effective_at, facts() == before) == (None, True)
    assert events_in(two.contoso)[-1] == "proposal.made"
    # The accounts are no longer linked, but they were one human when the change was proposed.
    Person.objects.filter(pk=two.stella.pk).update(human_id=two.pat.human_id)
    with pytest.raises(SecondPersonNeeded):
        operations.confirm_proposal(row.pk, actor=two.as_("stella.too"))


def test_to_propose_takes_fresh_proof(two: Cast) -> None:
    stale = two.as_("stella", fresh=False)
    with pytest.raises(StepUpRequired):
        operations.give_queue_role(two.exchange.pk, two.samir.pk, role="engineer", actor=stale)
    assert not Proposal.objects.exists()


@pytest.mark.parametrize("newcomer", ["proposer", "confirmer"])
def test_a_newcomer_is_no_second_human(cast: Cast, travel: Any, newcomer: str) -> None:
    """A newcomer, for example one whom the operator created, can't confirm.

    Nobody can confirm a newcomer's proposal.
    """
    travel.by(hours=1)
    Person.objects.create_superuser("new@provider.example", "a third battery of 8 horses", name="New Test")
    cast.people["new"] = Person.objects.get(email="new@provider.example")
    StaffTerm.objects.filter(person=cast.stella).update(from_at=clock.now() - dt.timedelta(days=30))
    proposer, confirmer = ("new", "stella") if newcomer == "proposer" else ("stella", "new")
    row = proposed(lambda: uncovered(cast, by=proposer))
    assert row.effective_at is None
    travel.by(hours=71)
    with pytest.raises(NotAllowed, match="New Test has not been staff for long enough. .* at least 3 days"):
        operations.confirm_proposal(row.pk, actor=cast.as_(confirmer))
    row.refresh_from_db()
    assert row.effective_at is None
    travel.by(hours=1)
    operations.confirm_proposal(row.pk, actor=cast.as_(confirmer))


def test_staff_from_before_lockbox_can_confirm_immediately(cast: Cast, travel: Any) -> None:
    Tenant.objects.update(lockbox_on=False)
    operations.make_staff(cast.erik.pk, actor=cast.as_("stella"))
    travel.by(minutes=1)
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    row = proposed(lambda: uncovered(cast))
    operations.confirm_proposal(row.pk, actor=cast.as_("erik"))
    row.refresh_from_db()
    assert row.effective_at == clock.now() + WAIT


def test_staff_from_the_same_moment_as_lockbox_is_a_newcomer(cast: Cast, travel: Any) -> None:
    travel.freeze()
    Tenant.objects.update(lockbox_on=False)
    operations.make_staff(cast.erik.pk, actor=cast.as_("stella"))
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    row = proposed(lambda: uncovered(cast))
    before = events_in(cast.contoso)
    with pytest.raises(NotAllowed, match="long enough"):
        operations.confirm_proposal(row.pk, actor=cast.as_("erik"))
    row.refresh_from_db()
    assert (row.effective_at, row.confirmed_by, events_in(cast.contoso)) == (None, None, before)


def test_a_person_who_was_reset_or_switched_on_again_is_a_newcomer(two: Cast, travel: Any) -> None:
    """Otherwise a member of staff could take over another member's account, and confirm with it."""
    operations.reset_second_factors(two.people["sten"].pk, actor=two.as_("stella"), keep=drops_all)
    travel.by(hours=1)
    row = proposed(lambda: uncovered(two))
    with pytest.raises(NotAllowed, match="long enough"):
        operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    operations.switch_off_person(two.people["sten"].pk, actor=two.as_("stella"))
    assert StaffTerm.objects.filter(person=two.people["sten"], until_at=None).count() == 0
    two.agreed(lambda: operations.switch_on_person(two.people["sten"].pk, actor=two.as_("stella")))
    with pytest.raises(NotAllowed, match="long enough"):
        operations.confirm_proposal(row.pk, actor=two.as_("sten"))


def test_a_member_of_the_staff_whose_identity_was_unlinked_is_a_newcomer(two: Cast, travel: Any) -> None:
    """Somebody else with the same address could use the account next."""
    sten, at = two.people["sten"], clock.now()
    row = Identity.objects.create(tenant=None, issuer="https://idp.example", subject="s", person=sten, linked_at=at)
    operations.unlink_identity(row.pk, actor=two.as_("stella"))
    travel.by(hours=1)
    change = proposed(lambda: uncovered(two))
    with pytest.raises(NotAllowed, match="long enough"):
        operations.confirm_proposal(change.pk, actor=two.as_("sten"))
    change.refresh_from_db()
    assert change.effective_at is None
    # An account that is not staff has no period as staff.
    row = Identity.objects.create(tenant=None, issuer="https://idp.example", subject="p", person=two.pat, linked_at=at)
    operations.unlink_identity(row.pk, actor=two.as_("stella"))
    assert not StaffTerm.objects.filter(person=two.pat).exists()


def test_nobody_confirms_a_change_of_their_own_accounts(two: Cast) -> None:
    Person.objects.filter(pk=two.paula.pk).update(human_id=two.people["sten"].human_id)
    row = proposed(lambda: operations.unlink_accounts(two.paula.pk, actor=two.as_("stella")))
    with pytest.raises(NotAllowed, match="your own account"):
        operations.confirm_proposal(row.pk, actor=two.as_("sten"))


def test_a_machine_proposes_and_confirms_nothing(two: Cast) -> None:
    row = proposed(lambda: uncovered(two))
    client = operations.create_client(name="Desk", scopes=["grants:read"], actor=two.as_("stella")).row
    token = operations.issue_access_token(client, scopes=list(Scope)).row
    # Without an operation. No client gets these scopes, and otherwise the scope alone would refuse these acts.
    Client.objects.filter(pk=client.pk).update(scopes=in_order(Scope))
    actor = actor_of_token(token)
    for call in (
        lambda: operations.confirm_proposal(row.pk, actor=actor),
        lambda: operations.withdraw_proposal(row.pk, actor=actor),
        lambda: operations.make_staff(two.erik.pk, actor=actor),
    ):
        with pytest.raises(NotAllowed):
            call()
    row.refresh_from_db()
    assert (row.effective_at, row.ended_at) == (None, None)


# --- Tenants that are affected later -----------------------------------------------------------------------------


@pytest.mark.parametrize("swept", [True, False])
def test_a_tenant_that_switches_lockbox_on_meanwhile_has_the_whole_waiting_time(
    two: Cast, travel: Any, swept: bool
) -> None:
    """A tenant that switches Lockbox on while a change waits gets the whole time, even if no sweep ran in between."""
    Tenant.objects.filter(pk=two.fabrikam.pk).update(lockbox_on=False, lockbox_first_on_at=None)
    before, row = facts()["services"], proposed(lambda: uncovered(two))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    row.refresh_from_db()
    first = row.effective_at
    assert first is not None
    assert list(row.touched.all()) == [two.contoso]
    travel.to(first - dt.timedelta(hours=1))
    operations.switch_lockbox(two.fabrikam.pk, on=True, actor=two.as_("finn"))
    assert list(queries.announced([two.fabrikam.pk])) == []
    OutboxMessage.objects.all().delete()
    contoso = events_in(two.contoso)
    at = clock.now() if swept else travel.to(first)
    assert operations.apply_due(actor=two.system("sweep"), limit=10) == 0
    row.refresh_from_db()
    assert row.effective_at is not None
    assert (row.effective_at, row.outcome) == (at + WAIT, "")
    assert list(queries.announced([two.fabrikam.pk])) == [row]
    assert events_in(two.fabrikam)[-1] == "proposal.confirmed"
    entry = AuditEntry.objects.get(tenant_id=two.fabrikam.pk, event="proposal.confirmed")
    assert canonical.instant(row.effective_at) in bytes(entry.canonical).decode()
    message = OutboxMessage.objects.get(lane="fanout")
    assert (message.tenant_id, message.payload["what"], message.payload["by"]) == (
        two.fabrikam.pk,
        "confirmed",
        "Sten Test",
    )
    # The message is sent once. The database itself also refuses an earlier end.
    assert operations.apply_due(actor=two.system("sweep"), limit=10) == 0
    travel.to(row.effective_at - dt.timedelta(microseconds=1))
    assert operations.apply_due(actor=two.system("sweep"), limit=10) == 0
    with pytest.raises(WrongState):
        operations.apply_proposal(row.pk, actor=two.system("sweep"))
    with pytest.raises(IntegrityError, match="proposal_applied_when_due"), transaction.atomic():
        Proposal.objects.filter(pk=row.pk).update(ended_at=clock.now(), outcome="applied")
    assert (facts()["services"], events_in(two.contoso)) == (before, contoso)
    assert events_in(two.fabrikam)[-2:] == ["lockbox.switched_on", "proposal.confirmed"]
    assert due(two, travel, row).outcome == "applied"
    assert facts()["services"] != before
    assert events_in(two.fabrikam)[-1] == "proposal.applied"


@pytest.mark.parametrize("alone", [True, False])
def test_a_change_that_nobody_confirmed_is_reported_as_such(cast: Cast, travel: Any, alone: bool) -> None:
    Tenant.objects.filter(pk=cast.fabrikam.pk).update(lockbox_on=False, lockbox_first_on_at=None)
    if not alone:
        cast.colleague()
    row = proposed(lambda: uncovered(cast))
    at = travel.by(hours=10)
    operations.switch_lockbox(cast.fabrikam.pk, on=True, actor=cast.as_("finn"))
    OutboxMessage.objects.all().delete()
    operations.apply_due(actor=cast.system("sweep"), limit=10)
    row.refresh_from_db()
    assert row.effective_at == (at + WAIT if alone else None)
    assert list(queries.announced([cast.fabrikam.pk])) == [row]
    assert events_in(cast.fabrikam)[-1] == "proposal.made"
    assert OutboxMessage.objects.get(lane="fanout").payload["what"] == "made"
    assert events_in(cast.contoso).count("proposal.made") == 1


# --- Nobody else ---------------------------------------------------------------------------------------------


def test_without_other_staff_only_the_waiting_time_applies(cast: Cast, travel: Any) -> None:
    row = proposed(lambda: uncovered(cast))
    assert (row.is_alone, row.effective_at) == (True, row.proposed_at + WAIT)
    assert due(cast, travel, row).outcome == "applied"
    assert not Service.objects.get(pk=cast.exchange.pk).is_covered


def test_the_answer_to_a_proposal_has_the_waiting_time_and_the_customers_get_a_mail(cast: Cast) -> None:
    assert dt.timedelta(hours=72) == WAIT
    OutboxMessage.objects.all().delete()
    with pytest.raises(ChangeProposed, match=r"takes effect in 3 days\."):
        uncovered(cast)
    messages = OutboxMessage.objects.filter(lane="fanout")
    assert {message.payload["what"] for message in messages} == {"made"}


def test_switching_the_others_off_gains_nothing(two: Cast, travel: Any) -> None:
    operations.switch_off_person(two.people["sten"].pk, actor=two.as_("stella"))
    row = proposed(lambda: uncovered(two))
    assert (row.is_alone, row.effective_at) == (False, None)
    travel.by(seconds=WAIT.total_seconds() - 1)
    operations.withdraw_proposal(row.pk, actor=two.as_("stella"))
    assert not proposed(lambda: uncovered(two)).is_alone
    Proposal.objects.all().delete()
    travel.by(seconds=2)
    assert proposed(lambda: uncovered(two)).is_alone


def test_linking_the_others_to_oneself_gains_nothing(two: Cast) -> None:
    Person.objects.filter(pk=two.people["sten"].pk).update(human_id=two.stella.human_id)
    assert not proposed(lambda: uncovered(two)).is_alone


# --- Withdrawn and expired -----------------------------------------------------------------------------------


@pytest.mark.parametrize("confirmed", [False, True])
def test_anybody_of_the_staff_withdraws_it_until_it_takes_effect(two: Cast, travel: Any, confirmed: bool) -> None:
    before, row = facts(), proposed(lambda: uncovered(two))
    if confirmed:
        operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    travel.by(hours=71)
    # Withdrawing needs only a session.
    operations.withdraw_proposal(row.pk, actor=two.as_("sten", fresh=False))
    assert events_in(two.contoso)[-1] == "proposal.withdrawn"
    travel.by(days=9)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    row.refresh_from_db()
    assert (row.outcome, facts()) == ("withdrawn", before)
    for call in (operations.confirm_proposal, operations.withdraw_proposal):
        with pytest.raises(WrongState, match="no longer open. Its state is: withdrawn"):
            call(row.pk, actor=two.as_("sten"))


def test_a_proposal_that_nobody_confirms_within_seven_days_lapses(two: Cast, travel: Any) -> None:
    before, row = facts(), proposed(lambda: uncovered(two))
    travel.to(row.expires_at)
    with pytest.raises(DeadlinePassed):
        operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    assert operations.apply_due(actor=two.system("sweep"), limit=10) == 1
    row.refresh_from_db()
    assert (row.outcome, facts()) == ("lapsed", before)
    assert events_in(two.contoso)[-1] == "proposal.lapsed"
    assert operations.apply_due(actor=two.system("sweep"), limit=10) == 0


@pytest.mark.parametrize("name", ["stella", "sten"])
def test_a_change_lapses_if_one_of_the_two_is_no_longer_staff(two: Cast, travel: Any, name: str) -> None:
    two.colleague("sara")
    before, row = facts()["services"], proposed(lambda: uncovered(two))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    operations.switch_off_person(two.people[name].pk, actor=two.as_("sara"))
    assert due(two, travel, row).outcome == "lapsed"
    assert facts()["services"] == before


def test_a_change_lapses_if_the_two_turn_out_to_be_one_human(two: Cast, travel: Any) -> None:
    before, row = facts()["services"], proposed(lambda: uncovered(two))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    Person.objects.filter(pk=two.stella.pk).update(human_id=two.people["sten"].human_id)
    assert due(two, travel, row).outcome == "lapsed"
    assert facts()["services"] == before


def test_a_change_that_no_longer_fits_lapses_with_an_entry(two: Cast, travel: Any) -> None:
    row = proposed(lambda: uncovered(two, is_covered=True, name="Exchange"))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    Service.objects.filter(pk=two.exchange.pk).update(name="Exchange Server")
    assert due(two, travel, row).outcome == "lapsed"
    assert Service.objects.get(pk=two.exchange.pk).name == "Exchange Server"
    assert events_in(two.contoso)[-1] == "proposal.lapsed"
    assert "service.changed" not in events_in(two.contoso)


def test_the_database_takes_no_change_that_was_applied_early(two: Cast) -> None:
    row = proposed(lambda: uncovered(two))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    with pytest.raises(IntegrityError, match="proposal_applied_when_due"), transaction.atomic():
        Proposal.objects.filter(pk=row.pk).update(ended_at=clock.now(), outcome="applied")
    with pytest.raises(IntegrityError), transaction.atomic():
        Proposal.objects.filter(pk=row.pk).update(confirmed_human=row.proposed_human)


def test_nobody_but_the_system_applies_it(two: Cast, travel: Any) -> None:
    row = proposed(lambda: uncovered(two))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    travel.by(hours=73)
    for name in ("stella", "sten", "ines", "pat"):
        with pytest.raises(NotAllowed):
            operations.apply_proposal(row.pk, actor=two.as_(name))
    assert Service.objects.get(pk=two.exchange.pk).is_covered


# --- Access requests in progress -----------------------------------------------------------------------------


def test_an_access_request_keeps_the_need_for_the_customers_approval(two: Cast, travel: Any) -> None:
    row = proposed(lambda: uncovered(two))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    travel.by(seconds=WAIT.total_seconds() - 60)
    access_request = two.submitted()
    assert due(two, travel, row).outcome == "applied"
    operations.approve_as_provider(access_request.pk, actor=two.as_("pat"))
    assert AccessRequest.objects.get(pk=access_request.pk).state == "PENDING_CUSTOMER"
    assert AccessRequest.objects.get(pk=two.confirmed().pk).state == "OPEN"


@pytest.mark.parametrize("what", ["resource", "connector", "unlink"])
def test_a_change_waits_for_affected_access_requests_under_way(two: Cast, travel: Any, what: str) -> None:
    _asked_and_withdrew(two)
    if what == "unlink":
        _linked(two)
    acts = {
        "resource": lambda: renamed(two),
        "connector": lambda: uncovered(two, is_covered=True, connector="folder"),
        "unlink": lambda: operations.unlink_accounts(two.priya.pk, actor=two.as_("stella")),
    }
    row = proposed(acts[what])
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    before = facts()
    travel.by(seconds=WAIT.total_seconds() - 60)
    grant = two.opened(resource=two.resource())
    assert due(two, travel, row).outcome == ""
    assert facts() == before
    assert "proposal.lapsed" not in events_in(two.contoso)
    travel.to(grant.closes_at)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    row.refresh_from_db()
    assert (row.outcome, facts() == before) == ("applied", False)


@pytest.mark.parametrize(("other", "parted"), [("priya", "pat"), ("pat", "ada")])
def test_an_account_is_parted_only_after_what_its_other_account_did(
    two: Cast, travel: Any, other: str, parted: str
) -> None:
    """The accounts stay linked until the access request has ended.

    Otherwise the account could decide on what the other account raised or approved.
    """
    row = two.confirmed() if other == "pat" else two.submitted()
    Person.objects.filter(pk=two.people[parted].pk).update(human_id=two.people[other].human_id)
    change = proposed(lambda: operations.unlink_accounts(two.people[parted].pk, actor=two.as_("stella")))
    operations.withdraw(row.pk, actor=two.as_("priya"))
    operations.confirm_proposal(change.pk, actor=two.as_("sten"))
    travel.by(seconds=WAIT.total_seconds() - 60)
    row = two.confirmed() if other == "pat" else two.submitted()
    assert due(two, travel, change).outcome == ""
    decide = operations.approve_as_customer if other == "pat" else operations.approve_as_provider
    with pytest.raises((AlreadyDecidedByYou, OwnAccessRequest)):
        decide(row.pk, actor=two.as_(parted))
    operations.withdraw(row.pk, actor=two.as_("priya"))
    operations.apply_due(actor=two.system("sweep"), limit=10)
    change.refresh_from_db()
    assert change.outcome == "applied"


def test_no_tenant_is_moved_to_a_plan_that_is_about_to_lose_lockbox(two: Cast, travel: Any) -> None:
    """On that plan, the tenant would lose Lockbox without an announcement and without a waiting time."""
    stella, plan = two.as_("stella"), two.contoso.plan
    other = operations.save_plan(name="Pro", includes_lockbox=True, actor=stella)
    operations.change_tenant(two.fabrikam.pk, plan_id=other.pk, actor=stella)
    row = proposed(lambda: operations.save_plan(plan_id=plan.pk, name="E5", includes_lockbox=False, actor=stella))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    with pytest.raises(WrongState, match="announced"):
        operations.change_tenant(two.fabrikam.pk, plan_id=plan.pk, actor=stella)
    assert Tenant.objects.get(pk=two.fabrikam.pk).plan_id == other.pk
    assert due(two, travel, row).outcome == "applied"
    assert list(row.touched.all()) == [two.contoso]


def test_a_tenants_name_is_not_lost_when_its_plan_is_announced(two: Cast) -> None:
    before, log, basic = facts(), events_in(two.contoso), Plan.objects.get(name="Basic")
    for field, value in {"name": "Contoso Ltd", "time_zone": "Europe/Berlin"}.items():
        with pytest.raises(Unacceptable, match="first") as refusal:
            operations.change_tenant(two.contoso.pk, plan_id=basic.pk, **{field: value}, actor=two.as_("stella"))
        assert refusal.value.field == field
    assert not Proposal.objects.exists()
    assert (facts(), events_in(two.contoso), outbox_topics()) == (before, log, [])
    # If the form sends the other fields unchanged, the change of the plan is announced.
    row = Tenant.objects.get(pk=two.contoso.pk)
    same = {"name": row.name, "slug": row.slug, "time_zone": row.time_zone}
    assert proposed(lambda: operations.change_tenant(row.pk, plan_id=basic.pk, **same, actor=two.as_("stella")))


def test_a_resource_of_a_tenant_that_never_had_lockbox_on_is_corrected_immediately(two: Cast) -> None:
    row = two.resource("northwind", "finance")
    changed = operations.save_resource(resource_id=row.pk, name="Law", external_id="N-1", actor=two.as_("stella"))
    assert (changed.name, changed.external_id) == ("Law", "N-1")
    assert not Proposal.objects.exists()


def test_a_change_that_strengthens_a_customer_is_done_immediately(two: Cast) -> None:
    stella = two.as_("stella")
    Service.objects.filter(pk=two.exchange.pk).update(is_covered=False)
    row = Service.objects.get(pk=two.exchange.pk)
    same = {"key": row.key, "name": row.name, "connector": row.connector}
    assert operations.save_service(service_id=row.pk, is_covered=True, actor=stella, **same).is_covered
    operations.save_plan(plan_id=two.northwind.plan_id, name="Basic", includes_lockbox=True, actor=stella)
    operations.take_queue_role(two.exchange.pk, two.pat.pk, role="provider_approver", actor=stella)
    operations.save_service(key="teams", name="Teams", connector="folder", actor=stella)
    operations.change_tenant(two.northwind.pk, plan_id=two.contoso.plan_id, actor=stella)
    assert not Proposal.objects.exists()


def test_covering_and_renaming_at_once_is_announced_as_a_whole(two: Cast) -> None:
    Service.objects.filter(pk=two.exchange.pk).update(is_covered=False)
    before = facts()
    proposed(lambda: uncovered(two, is_covered=True, name="Everything"))
    assert facts() == before


def test_a_new_client_is_made_without_what_is_announced(two: Cast, travel: Any) -> None:
    scopes = ["evaluate", "grants:read"]
    made = operations.create_client(name="Gateway", scopes=scopes, actor=two.as_("stella"))
    assert Client.objects.get(pk=made.row.pk).scopes == ["grants:read"]
    row = Proposal.objects.get()
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    assert due(two, travel, row).outcome == "applied"
    assert set(Client.objects.get(pk=made.row.pk).scopes) == set(scopes)


def test_every_tenant_finds_in_its_log_who_took_the_secret_of_a_client_that_asks_everywhere(two: Cast) -> None:
    asks = two.own_client("Gateway", ["evaluate", "grants:read"]).row
    reads = two.own_client("Reader", ["grants:read"]).row
    for client in (reads, asks):
        operations.rotate_client_secret(client.pk, actor=two.as_("stella"))
    found = AuditEntry.objects.filter(event="client.secret_rotated")
    assert set(found.filter(subject_id=str(asks.pk)).values_list("tenant_id", flat=True)) == {
        *(PROVIDER_LOG, two.contoso.pk, two.fabrikam.pk)
    }
    assert [entry.tenant_id for entry in found.filter(subject_id=str(reads.pk))] == [PROVIDER_LOG]


def test_the_same_is_not_proposed_twice(two: Cast) -> None:
    proposed(lambda: uncovered(two))
    with pytest.raises(WrongState):
        uncovered(two)
    assert Proposal.objects.count() == 1


# --- Who gets a message --------------------------------------------------------------------------------------


def test_a_tenant_learns_nothing_about_other_tenants_people(two: Cast) -> None:
    linked = proposed(lambda: operations.link_accounts(two.ada.pk, two.pat.pk, actor=two.as_("stella")))
    assert list(linked.touched.all()) == [two.contoso]
    Person.objects.filter(pk=two.ada.pk).update(human_id=two.pat.human_id)
    parted = proposed(lambda: operations.unlink_accounts(two.ada.pk, actor=two.as_("stella")))
    assert list(parted.touched.all()) == [two.contoso]
    assert "proposal.made" not in events_in(two.fabrikam)
    # If both people have roles of the provider, the entry names their accounts at the provider.
    both = proposed(lambda: operations.link_accounts(two.ada.pk, two.erik.pk, actor=two.as_("stella")))
    assert both.touched.count() == 2
    assert "Ada" not in str(both.said)


def test_the_customer_sees_what_is_announced_and_nobody_elses(two: Cast) -> None:
    _asked_and_withdrew(two)
    row = proposed(lambda: renamed(two))
    assert list(queries.announced([two.contoso.pk])) == [row]
    assert list(queries.announced([two.fabrikam.pk])) == []
    operations.withdraw_proposal(row.pk, actor=two.as_("stella"))
    assert list(queries.announced([two.contoso.pk])) == []


def test_the_operators_new_staff_is_in_every_log_that_it_concerns(cast: Cast) -> None:
    Person.objects.create_superuser("new@provider.example", "a third battery of 8 horses")
    found = AuditEntry.objects.filter(event="role.given", door="command")
    assert set(found.values_list("tenant_id", flat=True)) == {PROVIDER_LOG, cast.contoso.pk, cast.fabrikam.pk}


@pytest.mark.timed
@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_due_change_gives_up_a_held_log_and_takes_effect_later(two: Cast, travel: Any) -> None:
    """The change has locked the logs of other tenants, so it must not wait long for one more log."""
    row = proposed(lambda: uncovered(two))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    before = facts()
    with held(two.contoso.pk), bounds.within(bounds.worker(wait_seconds=6)), takes(most=4):
        with pytest.raises(StoreUnavailable):
            due(two, travel, row)
        assert facts() == before
    assert due(two, travel, row).outcome == "applied"
