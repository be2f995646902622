"""The provider's people are invited, and a role that weakens customers' protection still needs two humans and notice.

Nobody gets round this: not by accepting early, not through a second mailbox, and not through a withdrawn proposal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.test import Client as Browser
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    ChangeProposed,
    InsufficientScope,
    NotAllowed,
    NotFound,
    OwnAccount,
    SecondPersonNeeded,
    StepUpRequired,
    TooMany,
    Unacceptable,
    WrongState,
)
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import (
    Client,
    Domain,
    Installation,
    Invitation,
    OutboxMessage,
    Person,
    Proposal,
    QueueAssignment,
    StaffTerm,
    Tenant,
    Token,
)
from requests_app.models.people import actor_of, actor_of_token
from requests_app.queries.installation import MAIL_FILES
from requests_app.words import proposals
from tests.caller import service_of
from tests.cast import Cast, events_in, outbox_topics
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db

WAIT = dt.timedelta(seconds=settings.STAFF_CHANGE_WAIT_SECONDS)
STRANGER = Actor.stranger(door="pages")
NEW: dict[str, Any] = {"name": "New Colleague", "password": "a long and unheard-of phrase 7", "actor": STRANGER}


@pytest.fixture
def two(cast: Cast) -> Cast:
    """Return the cast with a second member of staff, who joined long ago. Contoso has Lockbox on."""
    cast.colleague()
    return cast


@pytest.fixture
def early(cast: Cast) -> Cast:
    """Return the cast before any tenant has ever had Lockbox on."""
    cast.peaceful()
    return cast


def accepted(cast: Cast, row: Invitation) -> Person:
    return operations.accept_invitation(cast.link_of(row), **NEW)


def roles_of(email: str = "new@provider.example") -> tuple[bool, list[tuple[str, str]]]:
    """Return whether the person is staff, and their roles in queues."""
    person = Person.objects.get(email=email)
    return person.is_staff, sorted(person.queue_assignments.values_list("service__key", "role"))


def provider_events() -> list[str]:
    rows = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG).order_by("seq")
    return list(rows.values_list("event", flat=True))


def confirmed(cast: Cast, row: Invitation, *, by: str = "sten") -> Proposal:
    row.refresh_from_db()
    assert row.proposal_id is not None
    return operations.confirm_proposal(row.proposal_id, actor=cast.as_(by))


def due(cast: Cast, travel: Any, row: Invitation) -> Proposal:
    """Move the clock to the time at which the role takes effect, and sweep. Return the proposal."""
    proposal = Proposal.objects.get(pk=row.proposal_id)
    assert proposal.effective_at is not None
    travel.to(proposal.effective_at)
    operations.apply_due(actor=cast.system("sweep"), limit=10)
    proposal.refresh_from_db()
    return proposal


NO_ROLE: tuple[bool, list[tuple[str, str]]] = (False, [])
ENGINEER = (False, [("exchange-online", "engineer")])


# --- Before any tenant has ever had Lockbox on ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("engineer", (False, [("exchange-online", "engineer"), ("sharepoint-online", "engineer")])),
        (
            "provider_approver",
            (False, [("exchange-online", "provider_approver"), ("sharepoint-online", "provider_approver")]),
        ),
        ("staff", (True, [])),
    ],
)
def test_one_form_gives_role_and_queues_when_the_reader_accepts(early: Cast, role: str, expected: Any) -> None:
    services = [] if role == "staff" else [early.exchange.pk, early.sharepoint.pk]
    row = operations.invite_colleague(
        email=" New@Provider.example", role=role, services=services, actor=early.as_("stella")
    )
    assert (row.email, row.tenant, row.proposal, row.invited_by) == ("new@provider.example", None, None, early.stella)
    assert not Person.objects.filter(email=row.email).exists()
    person = accepted(early, row)
    assert (person.side, person.is_superuser, person.email_verified_at) == ("provider", False, person.created_at)
    assert roles_of() == expected
    gives = ["role.given"] * (2 if services else 1)
    assert provider_events() == ["invitation.sent", "invitation.accepted", *gives]
    assert StaffTerm.objects.filter(person=person, until_at=None).exists() is (role == "staff")
    assert not Proposal.objects.exists()
    with pytest.raises(NotFound):
        accepted(early, row)


def test_the_time_zone_can_be_a_city(early: Cast) -> None:
    row = operations.invite_colleague(
        email="x@provider.example", role="staff", time_zone="Lisbon", actor=early.as_("stella")
    )
    assert row.time_zone == "Europe/Lisbon"


def test_the_time_zone_is_the_inviters_unless_another_is_chosen(early: Cast) -> None:
    Person.objects.filter(pk=early.stella.pk).update(time_zone="Europe/Lisbon")
    assert accepted(early, early.invited_colleague()).time_zone == "Europe/Lisbon"
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        operations.invite_colleague(
            email="x@provider.example", role="staff", time_zone="Mars/Base", actor=early.as_("stella")
        )
    assert refusal.value.field == "time_zone"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": "emperor"}, "role"),
        ({"role": "administrator"}, "role"),
        ({"role": "engineer"}, "services"),
        ({"role": "staff", "services": ["exchange"]}, "services"),
        ({"role": "staff", "email": "no address"}, "email"),
        ({"role": "staff", "email": "priya@provider.example"}, "email"),
        ({"role": "staff", "email": "invited@provider.example"}, "email"),
    ],
)
def test_a_refused_invitation_names_its_field(early: Cast, fields: dict[str, Any], field: str) -> None:
    early.invited_colleague("invited@provider.example")
    services = [early.exchange.pk for _ in fields.pop("services", [])]
    wanted = {"email": "new@provider.example", "services": services, **fields}
    before = Invitation.objects.count()
    with pytest.raises(Unacceptable) as refusal:
        operations.invite_colleague(actor=early.as_("stella"), **wanted)
    assert (refusal.value.field, Invitation.objects.count()) == (field, before)


def test_an_invitation_into_a_queue_that_does_not_exist_is_refused(early: Cast) -> None:
    with pytest.raises(NotFound):
        operations.invite_colleague(
            email="x@provider.example", role="engineer", services=[early.contoso.pk], actor=early.as_("stella")
        )
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("name", ["priya", "pat", "ines", "mia"])
def test_only_staff_invite_the_providers_people(early: Cast, name: str) -> None:
    with only_a_refusal(), pytest.raises(NotAllowed):
        early.invited_colleague(by=name)
    row = early.invited_colleague()
    for call in (operations.resend_invitation, operations.withdraw_invitation, operations.copy_invitation_link):
        with pytest.raises((NotAllowed, NotFound)):
            call(row.pk, actor=early.as_(name))
    row.refresh_from_db()
    assert (row.sends, row.withdrawn_at, row.link_copied_at) == (1, None, None)


def test_each_door_to_a_provider_role_needs_fresh_proof(early: Cast) -> None:
    row, stale = early.invited_colleague(), early.as_("stella", fresh=False)
    with nothing_happens():
        for call in (
            lambda: operations.invite_colleague(email="x@provider.example", role="staff", actor=stale),
            lambda: operations.resend_invitation(row.pk, actor=stale),
            lambda: operations.copy_invitation_link(row.pk, actor=stale),
        ):
            with pytest.raises(StepUpRequired):
                call()


def test_a_client_of_the_provider_never_invites_staff(early: Cast) -> None:
    """And without the scope for provisioning, it invites nobody."""
    robot = service_of(early)
    calls: list[tuple[str, dict[str, Any], type[Exception]]] = [
        ("members:manage", {"role": "engineer", "services": [early.exchange.pk]}, InsufficientScope),
        ("provision", {"role": "staff"}, NotAllowed),
    ]
    for scope, wanted, refusal in calls:
        for model in (Client, Token):
            model.objects.update(scopes=[scope])
        token = Token.objects.select_related("account__client").get(pk=robot.token_id)
        with only_a_refusal(), pytest.raises(NotAllowed) as refused:
            operations.invite_colleague(email="x@provider.example", actor=actor_of_token(token), **wanted)
        assert type(refused.value) is refusal
    assert not Invitation.objects.exists()


def test_the_invitations_of_the_provider_are_limited(early: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requests_app.domain.limits.INVITATIONS_MAX", 2)
    monkeypatch.setattr("requests_app.domain.limits.INVITATION_SENDS_MAX", 2)
    # Those of a tenant don't count.
    early.invited("a@contoso.example")
    first, _second = early.invited_colleague("a@provider.example"), early.invited_colleague("b@provider.example")
    with pytest.raises(TooMany):
        early.invited_colleague("c@provider.example")
    operations.resend_invitation(first.pk, actor=early.as_("stella"))
    with pytest.raises(TooMany):
        operations.resend_invitation(first.pk, actor=early.as_("stella"))
    operations.withdraw_invitation(first.pk, actor=early.as_("stella"))
    assert early.invited_colleague("c@provider.example").pk


def test_a_link_ends_with_a_withdrawal_a_new_mail_seven_days_and_the_inviters_role(early: Cast, travel: Any) -> None:
    at = travel.freeze()
    early.colleague()
    withdrawn, again, late, orphan = (early.invited_colleague(f"{name}@provider.example") for name in "abcd")
    good = early.invited_colleague("e@provider.example", by="sten")
    old = early.link_of(again)
    operations.withdraw_invitation(withdrawn.pk, actor=early.as_("sten"))
    operations.resend_invitation(again.pk, actor=early.as_("stella"))
    Person.objects.filter(pk=early.stella.pk).update(is_staff=False)
    with nothing_happens():
        for secret in (early.link_of(withdrawn), old, early.link_of(orphan), early.link_of(again)):
            with pytest.raises(NotFound):
                operations.accept_invitation(secret, **NEW)
    assert accepted(early, good).email == "e@provider.example"
    Person.objects.filter(pk=early.stella.pk).update(is_staff=True)
    travel.to(at + limits.INVITATION_FOR)
    with nothing_happens(), pytest.raises(NotFound):
        accepted(early, late)


def test_an_address_that_got_an_account_meanwhile_is_not_taken_over(early: Cast) -> None:
    row = early.invited_colleague("free@provider.example")
    for side in ("provider", "customer"):
        there = early.stranger("free@provider.example", side=side)
        with nothing_happens(), pytest.raises(Unacceptable):
            accepted(early, row)
        there.refresh_from_db()
        assert not there.check_password(NEW["password"])
        there.delete()


def test_one_human_with_two_mailboxes_counts_once(early: Cast) -> None:
    """Stella invites herself at another address of her mailbox. This makes no second member of staff."""
    row = early.invited_colleague("Stella+two@provider.example", "staff")
    second = accepted(early, row)
    assert second.is_staff
    assert second.human_id == early.stella.human_id
    assert "accounts.linked" in provider_events()
    Tenant.objects.filter(pk=early.contoso.pk).update(lockbox_on=True)
    early.people["second"] = second
    held = early.invited_colleague("erika@provider.example", "staff")
    assert held.proposal.is_alone
    with pytest.raises((SecondPersonNeeded, OwnAccount, WrongState)):
        operations.confirm_proposal(held.proposal_id, actor=early.as_("second"))


def test_the_database_keeps_roles_and_sides_together(early: Cast) -> None:
    row = early.invited_colleague()
    for change in ({"role": "approver"}, {"tenant": early.contoso}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Invitation.objects.filter(pk=row.pk).update(**change)


# --- After a tenant has had Lockbox on -----------------------------------------------------------------------


def test_the_invitation_goes_out_and_one_proposal_is_made_for_role_and_queues(two: Cast) -> None:
    row = operations.invite_colleague(
        email="new@provider.example",
        role="engineer",
        services=[two.exchange.pk, two.sharepoint.pk],
        actor=two.as_("stella"),
    )
    [proposal] = Proposal.objects.all()
    assert row.proposal == proposal
    terms = {"email": row.email, "role": "engineer", "queues": "Exchange Online, SharePoint Online"}
    assert proposal.said == {**terms, "invitation": str(row.pk)}
    words = "give new@provider.example, who is invited, the role “Engineer” for Exchange Online, SharePoint Online"
    assert proposals.words(proposal.act, proposal.said) == words
    assert provider_events() == ["invitation.sent", "proposal.made"]
    assert events_in(two.contoso) == ["proposal.made"]
    assert events_in(two.northwind) == []
    messages = ["notify.invitation", "notify.second_person", "notify.staff_change", "notify.staff_change"]
    assert sorted(outbox_topics()) == messages


@pytest.mark.parametrize("role", ["engineer", "provider_approver", "staff"])
def test_accepting_early_gives_an_account_without_any_role(two: Cast, travel: Any, role: str) -> None:
    row = two.invited_colleague(role=role)
    person = accepted(two, row)
    assert roles_of() == NO_ROLE
    assert "role.given" not in provider_events()
    confirmed(two, row)
    assert roles_of() == NO_ROLE
    travel.to(clock.now() + WAIT - dt.timedelta(seconds=1))
    operations.apply_due(actor=two.system("sweep"), limit=10)
    assert roles_of() == NO_ROLE
    row.refresh_from_db()
    assert due(two, travel, row).outcome == "applied"
    assert roles_of() == ((True, []) if role == "staff" else (False, [("exchange-online", role)]))
    assert person.pk == row.accepted_by_id


def test_accepting_after_the_waiting_time_gives_the_role_at_once(two: Cast, travel: Any) -> None:
    row = two.invited_colleague()
    confirmed(two, row)
    row.refresh_from_db()
    assert due(two, travel, row).outcome == "applied"
    assert not QueueAssignment.objects.filter(person__email=row.email).exists()
    accepted(two, row)
    assert roles_of() == ENGINEER


def test_a_proposal_that_was_withdrawn_gives_nothing_before_or_after_the_acceptance(two: Cast, travel: Any) -> None:
    before, after = two.invited_colleague("before@provider.example"), two.invited_colleague("after@provider.example")
    accepted(two, before)
    for row in (before, after):
        operations.withdraw_proposal(row.proposal_id, actor=two.as_("sten"))
    with nothing_happens(), pytest.raises(NotFound):
        accepted(two, after)
    travel.to(clock.now() + dt.timedelta(days=6))
    operations.apply_due(actor=two.system("sweep"), limit=10)
    assert roles_of("before@provider.example") == NO_ROLE
    # Sent again, the role is proposed again, and needs the second person again.
    operations.resend_invitation(after.pk, actor=two.as_("stella"))
    after.refresh_from_db()
    assert after.proposal.ended_at is None
    accepted(two, after)
    assert roles_of("after@provider.example") == NO_ROLE


def test_withdrawing_the_invitation_withdraws_the_proposal(two: Cast, travel: Any) -> None:
    row = two.invited_colleague()
    confirmed(two, row)
    operations.withdraw_invitation(row.pk, actor=two.as_("sten"))
    proposal = Proposal.objects.get()
    assert (proposal.outcome, events_in(two.contoso)[-1]) == ("withdrawn", "proposal.withdrawn")
    travel.to(clock.now() + WAIT * 2)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    assert not Person.objects.filter(email=row.email).exists()


def _no_staff(cast: Cast, name: str) -> None:
    Person.objects.filter(pk=cast.people[name].pk).update(is_staff=False)


def _switched_off(cast: Cast, name: str) -> None:
    Person.objects.filter(pk=cast.people[name].pk).update(is_active=False)


@pytest.mark.parametrize("loses", [_no_staff, _switched_off])
@pytest.mark.parametrize("name", ["stella", "sten"])
def test_the_role_lapses_if_one_of_the_two_people_is_no_longer_staff(
    two: Cast, travel: Any, loses: Callable[[Cast, str], None], name: str
) -> None:
    row = two.invited_colleague()
    accepted(two, row)
    confirmed(two, row)
    loses(two, name)
    row.refresh_from_db()
    assert due(two, travel, row).outcome == "lapsed"
    assert roles_of() == NO_ROLE


def test_the_second_person_is_another_human_and_no_newcomer(two: Cast) -> None:
    Tenant.objects.filter(pk=two.contoso.pk).update(lockbox_first_on_at=clock.now() - dt.timedelta(days=9))
    row = two.invited_colleague(role="staff")
    person = accepted(two, row)
    two.people["new"] = person
    two.colleague("newcomer", hours=1)
    for name in ("stella", "new", "newcomer"):
        with pytest.raises((NotAllowed, NotFound)):
            confirmed(two, row, by=name)
    Person.objects.filter(pk=two.sten.pk).update(human_id=two.stella.human_id)
    with pytest.raises(NotAllowed):
        confirmed(two, row)
    assert Proposal.objects.get().effective_at is None
    assert roles_of() == NO_ROLE


def test_a_person_who_was_switched_off_meanwhile_gets_no_role(two: Cast, travel: Any) -> None:
    row = two.invited_colleague()
    person = accepted(two, row)
    confirmed(two, row)
    operations.switch_off_person(person.pk, actor=two.as_("stella"))
    row.refresh_from_db()
    assert due(two, travel, row).outcome == "lapsed"
    assert roles_of() == NO_ROLE


def test_an_invitation_that_expired_is_not_filled_by_its_proposal(two: Cast, travel: Any) -> None:
    at = travel.freeze()
    row = two.invited_colleague()
    travel.to(at + dt.timedelta(days=6, hours=23))
    confirmed(two, row)
    row.refresh_from_db()
    assert due(two, travel, row).outcome == "lapsed"
    operations.resend_invitation(row.pk, actor=two.as_("stella"))
    accepted(two, row)
    assert roles_of() == NO_ROLE
    assert Proposal.objects.filter(ended_at=None).count() == 1


def test_a_tenant_that_switches_lockbox_on_in_between_gets_notice_before_the_role_is_given(early: Cast) -> None:
    row = early.invited_colleague()
    Tenant.objects.filter(pk=early.northwind.pk).update(lockbox_on=True)
    with nothing_happens(), pytest.raises(NotAllowed, match="A customer has switched Lockbox on since"):
        accepted(early, row)
    operations.resend_invitation(row.pk, actor=early.as_("stella"))
    assert events_in(early.northwind) == ["proposal.made"]
    accepted(early, row)
    assert roles_of() == NO_ROLE


def test_a_tenant_that_got_no_notice_of_an_agreed_role_gets_it_first(two: Cast, travel: Any) -> None:
    row = two.invited_colleague()
    confirmed(two, row)
    row.refresh_from_db()
    assert due(two, travel, row).outcome == "applied"
    Tenant.objects.filter(pk=two.northwind.pk).update(lockbox_on=True)
    with nothing_happens(), pytest.raises(NotFound):
        accepted(two, row)
    assert not Person.objects.filter(email=row.email).exists()


# --- The copied link -----------------------------------------------------------------------------------------


def mail_works() -> None:
    Installation.objects.update_or_create(pk=1, defaults={"mail_tested_at": clock.now()})


def bare(cast: Cast) -> Tenant:
    stella = cast.as_("stella")
    return operations.create_tenant(name="Adatum", slug="adatum", plan_id=cast.contoso.plan_id, actor=stella)


def invited_to(cast: Cast, tenant: Tenant, role: str = "administrator", name: str = "first") -> Invitation:
    email = f"{name}@adatum.example"
    return operations.invite_person(tenant.pk, email=email, role=role, actor=cast.as_("stella"))


def test_the_link_of_a_tenants_first_administrator_is_copied_once_and_its_reader_knows(early: Cast) -> None:
    tenant = bare(early)
    row = invited_to(early, tenant)
    copied = operations.copy_invitation_link(row.pk, actor=early.as_("stella"))
    secret = early.link_of(row)
    assert copied.url == f"{settings.BASE_URL}/invitation/{secret}/"
    assert events_in(tenant)[-1] == "invitation.link_copied"
    for entry in AuditEntry.objects.all():
        assert secret not in bytes(entry.canonical).decode()
    operations.resend_invitation(row.pk, actor=early.as_("stella"))
    with pytest.raises(WrongState):
        operations.copy_invitation_link(row.pk, actor=early.as_("stella"))
    person = operations.accept_invitation(early.link_of(row), **NEW)
    early.people["first"] = person
    row.refresh_from_db()
    assert (row.link_copied_by, row.copy_noted_at) == (early.stella, None)
    with pytest.raises(NotAllowed):
        operations.note_link_copy(row.pk, actor=early.as_("stella"))
    operations.note_link_copy(row.pk, actor=early.as_("first"))
    assert events_in(tenant)[-1] == "invitation.copy_noted"
    with pytest.raises(WrongState):
        operations.note_link_copy(row.pk, actor=early.as_("first"))


def test_after_the_first_test_mail_no_link_is_copied(early: Cast) -> None:
    row = early.invited_colleague()
    mail_works()
    with only_a_refusal(), pytest.raises(WrongState):
        operations.copy_invitation_link(row.pk, actor=early.as_("stella"))
    row.refresh_from_db()
    assert row.link_copied_at is None


def _has_one(cast: Cast, tenant: Tenant, row: Invitation) -> None:
    first = invited_to(cast, tenant, name="zero")
    operations.accept_invitation(cast.link_of(first), **NEW)


def _had_one(cast: Cast, tenant: Tenant, row: Invitation) -> None:
    _has_one(cast, tenant, row)
    tenant.memberships.all().delete()


def _withdrawn(cast: Cast, tenant: Tenant, row: Invitation) -> None:
    operations.withdraw_invitation(row.pk, actor=cast.as_("stella"))


def _expired(cast: Cast, tenant: Tenant, row: Invitation) -> None:
    Invitation.objects.filter(pk=row.pk).update(expires_at=clock.now())


@pytest.mark.parametrize("happens", [_has_one, _had_one, _withdrawn, _expired])
def test_no_link_is_copied_that_is_not_the_first_administrators(early: Cast, happens: Any) -> None:
    tenant = bare(early)
    row = invited_to(early, tenant)
    happens(early, tenant, row)
    with only_a_refusal(), pytest.raises((NotAllowed, WrongState)):
        operations.copy_invitation_link(row.pk, actor=early.as_("stella"))


@pytest.mark.parametrize("role", ["member", "approver", "auditor", "deputy"])
def test_only_an_administrators_link_is_copied(early: Cast, role: str) -> None:
    row = invited_to(early, bare(early), role)
    with only_a_refusal(), pytest.raises(NotAllowed):
        operations.copy_invitation_link(row.pk, actor=early.as_("stella"))


def test_staff_copy_no_link_of_a_tenant_with_people(early: Cast) -> None:
    row = early.invited(role="administrator")
    with only_a_refusal(), pytest.raises(NotAllowed):
        operations.copy_invitation_link(row.pk, actor=early.as_("stella"))


def test_once_a_tenant_has_switched_lockbox_on_no_link_is_copied(two: Cast) -> None:
    row = two.invited_colleague(role="staff")
    first = invited_to(two, bare(two))
    Tenant.objects.filter(lockbox_on=True).update(lockbox_on=False, lockbox_first_on_at=clock.now())
    for each in (row, first):
        with only_a_refusal(), pytest.raises(WrongState, match="switched Lockbox on"):
            operations.copy_invitation_link(each.pk, actor=two.as_("stella"))


def test_once_the_mail_server_has_accepted_a_mail_no_link_is_copied(early: Cast, settings: Any) -> None:
    row = early.invited_colleague()
    OutboxMessage.objects.filter(lane="fanout").update(state="delivered")
    message = OutboxMessage.objects.get()
    OutboxMessage.objects.create(
        topic=message.topic,
        about=row.pk,
        key="sent",
        state="delivered",
        lane="mail",
        created_at=message.created_at,
        next_attempt_at=message.created_at,
    )
    with only_a_refusal(), pytest.raises(WrongState, match="accepted a mail"):
        operations.copy_invitation_link(row.pk, actor=early.as_("stella"))
    # Mails in files reach nobody, so there the link can still be copied.
    settings.EMAIL_BACKEND = MAIL_FILES
    assert operations.copy_invitation_link(row.pk, actor=early.as_("stella")).url


def copied(cast: Cast, email: str, role: str = "engineer") -> Person:
    """Return the account of somebody who accepted with a copied link."""
    row = cast.invited_colleague(email, role)
    operations.copy_invitation_link(row.pk, actor=cast.as_("stella"))
    return accepted(cast, row)


def proven(person: Person) -> None:
    """Let the person set a password with a link from a mail."""
    actor = actor_of(person, door="pages")
    operations.set_password(password="one more unheard-of phrase 8", how="reset", actor=actor)


def test_a_copied_link_joins_nobody_until_a_mail_was_opened(early: Cast) -> None:
    other = copied(early, "stella+x@provider.example")
    assert other.email_verified_at is None
    assert other.human_id != early.stella.human_id
    assert "accounts.linked" not in provider_events()
    proven(other)
    other.refresh_from_db()
    assert other.human_id == early.stella.human_id
    assert "accounts.linked" in provider_events()


def test_no_link_is_copied_for_an_address_in_a_domain_of_a_customers_people(early: Cast) -> None:
    tenant = bare(early)
    Domain.objects.create(
        tenant=early.northwind, name="proven.example", claimed_at=clock.now(), verified_at=clock.now()
    )
    for email in ("ada+x@contoso.example", "newhire@contoso.example", "new@proven.example"):
        ours = early.invited_colleague(email)
        theirs = operations.invite_person(tenant.pk, email=email, role="administrator", actor=early.as_("stella"))
        for row in (ours, theirs):
            with only_a_refusal(), pytest.raises(WrongState, match="another tenant"):
                operations.copy_invitation_link(row.pk, actor=early.as_("stella"))


def test_a_copied_link_signs_in_and_later_too(early: Cast) -> None:
    person = copied(early, "new@provider.example")
    form = {"login": person.email, "password": NEW["password"]}
    browser = Browser()
    assert browser.post(reverse("account_login"), form).status_code == 302
    # An address that nobody accepted an invitation for still signs nobody in.
    Person.objects.filter(pk=person.pk).update(email="else@provider.example")
    answer = Browser().post(reverse("account_login"), {**form, "login": "else@provider.example"})
    assert answer.status_code == 403


def test_a_link_that_was_sent_after_the_copy_proves_the_mailbox(early: Cast) -> None:
    row = early.invited_colleague()
    operations.copy_invitation_link(row.pk, actor=early.as_("stella"))
    operations.resend_invitation(row.pk, actor=early.as_("stella"))
    assert accepted(early, row).email_verified_at is not None


def test_a_copied_link_takes_over_no_account(early: Cast) -> None:
    there = Person.objects.create_user("first@adatum.example", None, name="First", side="customer")
    row = invited_to(early, bare(early))
    operations.copy_invitation_link(row.pk, actor=early.as_("stella"))
    with nothing_happens(), pytest.raises(Unacceptable):
        accepted(early, row)
    there.refresh_from_db()
    assert there.name == "First"


def test_whoever_came_by_a_copied_link_gets_no_announced_role_and_confirms_nothing(early: Cast, travel: Any) -> None:
    person = copied(early, "paul.real@provider.example", "staff")
    early.people["paul"] = person
    engineer = copied(early, "new@provider.example")
    travel.by(hours=1000)
    queue: dict[str, Any] = {"service_id": early.exchange.pk, "role": "provider_approver", "actor": early.as_("stella")}
    Tenant.objects.filter(pk=early.contoso.pk).update(lockbox_on=True)
    for call in (
        lambda: operations.give_queue_role(person_id=person.pk, **queue),
        lambda: operations.make_staff(engineer.pk, actor=early.as_("stella")),
    ):
        with only_a_refusal(), pytest.raises(NotAllowed, match="link was copied"):
            call()
    row = early.invited_colleague("third@provider.example")
    with only_a_refusal(), pytest.raises(NotAllowed, match="link was copied"):
        confirmed(early, row, by="paul")
    proven(person)
    with pytest.raises(ChangeProposed):
        operations.give_queue_role(person_id=person.pk, **queue)
    assert confirmed(early, row, by="paul").confirmed_by == person
