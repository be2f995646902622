"""An API client of the provider proposes what weakens a customer. It counts as the humans who could use its secret."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import strip_tags

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import ChangeProposed, InsufficientScope, NotAllowed, SecondPersonNeeded, WrongState
from requests_app.domain.scopes import Scope
from requests_app.models import Client, OutboxMessage, Person, Proposal, QueueAssignment, Service, Tenant, Token
from requests_app.models.people import actor_of_token
from tests.cast import Cast, events_in
from tests.factors import force_login
from tests.web.pages import only_a_refusal

pytestmark = pytest.mark.django_db

WAIT = dt.timedelta(seconds=settings.STAFF_CHANGE_WAIT_SECONDS)


@pytest.fixture
def two(cast: Cast) -> Cast:
    """Return the cast with a second member of staff, who joined long ago."""
    cast.colleague()
    return cast


def client_of(cast: Cast, who: str = "stella", *scopes: Scope) -> Client:
    names = [str(scope) for scope in scopes or (Scope.PROVISION,)]
    made: Client = operations.create_client(name="Importer", scopes=names, actor=cast.as_(who)).row
    return made


def acting(client: Client) -> Actor:
    """Return the actor of a client, with a token that stays valid for the whole test."""
    client = Client.objects.get(pk=client.pk)
    operations.issue_access_token(client, scopes=frozenset(Scope(name) for name in client.scopes))
    Token.objects.filter(account=client.account).update(expires_at=clock.now() + dt.timedelta(days=30))
    rows = Token.objects.select_related("account__client").filter(account=client.account)
    return actor_of_token(rows.latest("created_at"))


def uncover(cast: Cast, actor: Actor) -> Service:
    return operations.save_service(service_id=cast.exchange.pk, is_covered=False, actor=actor)


def newest(log: UUID) -> Any:
    row = AuditEntry.objects.filter(tenant_id=log).latest("seq")
    return json.loads(bytes(row.canonical))


def proposed(call: Callable[[], Any]) -> Proposal:
    with pytest.raises(ChangeProposed) as outcome:
        call()
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


def test_what_a_client_proposes_is_shown_as_its_own_and_confirmed_by_another_human(two: Cast, travel: Any) -> None:
    client = client_of(two)
    row = proposed(lambda: uncover(two, acting(client)))
    assert (row.proposed_by, row.proposed_through) == (two.stella, client.account)
    assert Service.objects.get(pk=two.exchange.pk).is_covered
    entry = newest(two.contoso.pk)
    assert (entry["event"], entry["actor"]["kind"]) == ("proposal.made", "client")
    assert (entry["detail"]["proposed_by"], entry["detail"]["holder"]) == ("Importer", "Stella Test")
    assert OutboxMessage.objects.filter(topic="notify.staff_change").count() == 2
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    travel.by(hours=WAIT.total_seconds() / 3600 + 1)
    operations.apply_due(actor=two.system(), limit=9)
    assert not Service.objects.get(pk=two.exchange.pk).is_covered
    browser = Browser()
    force_login(browser, two.otto)
    log = strip_tags(browser.get(reverse("web:log", args=[two.contoso.pk])).content.decode())
    assert "A change took effect: the API client Importer of Stella Test had proposed to" in log
    assert re.search(r"the API client\s+Importer.*proposed to", log)


def test_one_human_with_a_client_weakens_no_customer_alone(two: Cast) -> None:
    """Neither the human who made the client confirms its proposal, nor the client, nor their second account."""
    client = client_of(two)
    machine = acting(client)
    row = proposed(lambda: uncover(two, machine))
    two.colleague("stina")
    Person.objects.filter(email="stina@provider.example").update(human_id=two.stella.human_id)
    two.people["stina"].refresh_from_db()
    for who in ("stella", "stina"):
        with pytest.raises(SecondPersonNeeded):
            operations.confirm_proposal(row.pk, actor=two.as_(who))
    humans = proposed(lambda: operations.save_service(service_id=two.exchange.pk, name="Ex", actor=two.as_("stella")))
    for each in (row, humans):
        with pytest.raises(InsufficientScope):
            operations.confirm_proposal(each.pk, actor=machine)
        with pytest.raises(NotAllowed):
            operations.confirm_proposal(each.pk, actor=replace(machine, scopes=frozenset(Scope)))
        each.refresh_from_db()
        assert each.effective_at is None
    assert Service.objects.get(pk=two.exchange.pk).is_covered


def test_a_client_from_before_the_first_lockbox_still_proposes(two: Cast) -> None:
    """Its maker could give it the scope alone at that time. But it can do alone only what its maker can."""
    on = list(Tenant.objects.filter(lockbox_on=True).values_list("pk", flat=True))
    two.peaceful()
    machine = acting(client_of(two))
    QueueAssignment.objects.filter(person=two.erik).delete()
    Tenant.objects.filter(pk__in=on).update(lockbox_on=True)
    before = QueueAssignment.objects.count()
    acts: list[Callable[[], Any]] = [
        lambda: operations.give_queue_role(two.exchange.pk, two.erik.pk, role="engineer", actor=machine),
        lambda: uncover(two, machine),
        lambda: operations.save_resource(resource_id=two.resource().pk, name="Other", actor=machine),
    ]
    for each in acts:
        row = proposed(each)
        assert row.effective_at is None
        with pytest.raises(SecondPersonNeeded):
            operations.confirm_proposal(row.pk, actor=two.as_("stella"))
    assert QueueAssignment.objects.count() == before
    with pytest.raises(NotAllowed):
        operations.make_staff(two.erik.pk, actor=machine)


def test_the_human_who_renewed_the_secret_counts_and_so_does_the_maker(two: Cast) -> None:
    two.colleague("stina")
    client = client_of(two)
    operations.rotate_client_secret(client.pk, actor=two.as_("sten"))
    row = proposed(lambda: uncover(two, acting(client)))
    assert row.proposed_by == two.people["sten"]
    for who in ("stella", "sten"):
        with pytest.raises(SecondPersonNeeded):
            operations.confirm_proposal(row.pk, actor=two.as_(who))
    with transaction.atomic(), pytest.raises(IntegrityError):
        Proposal.objects.filter(pk=row.pk).update(
            confirmed_by=two.people["stina"], confirmed_human=two.stella.human_id, confirmed_at=clock.now()
        )
    operations.confirm_proposal(row.pk, actor=two.as_("stina"))
    row.refresh_from_db()
    assert row.effective_at is not None


@pytest.mark.parametrize("how", ["left", "linked"])
def test_a_confirmed_change_lapses_if_the_maker_leaves_or_is_the_human_who_confirmed(
    two: Cast, travel: Any, how: str
) -> None:
    """Sten holds the secret, and Stella made the client. Stina's confirmation counts only beside both of them."""
    two.colleague("stina")
    client = client_of(two)
    operations.rotate_client_secret(client.pk, actor=two.as_("sten"))
    row = proposed(lambda: uncover(two, acting(client)))
    operations.confirm_proposal(row.pk, actor=two.as_("stina"))
    if how == "left":
        Person.objects.filter(pk=two.stella.pk).update(is_staff=False)
    else:
        Person.objects.filter(pk=two.stella.pk).update(human_id=two.people["stina"].human_id)
    travel.by(hours=WAIT.total_seconds() / 3600 + 1)
    operations.apply_due(actor=two.system(), limit=9)
    row.refresh_from_db()
    assert row.outcome == "lapsed"
    assert newest(two.contoso.pk)["detail"]["reason"] == {"left": "no_longer_staff", "linked": "one_human"}[how]
    assert Service.objects.get(pk=two.exchange.pk).is_covered


def test_a_maker_who_is_no_longer_staff_leaves_a_client_that_proposes_nothing(two: Cast) -> None:
    client = client_of(two)
    machine = acting(client)
    operations.rotate_client_secret(client.pk, actor=two.as_("sten"))
    machine = acting(client)
    Person.objects.filter(pk=two.stella.pk).update(is_staff=False)
    with pytest.raises(NotAllowed, match="no longer staff"):
        uncover(two, machine)
    assert not Proposal.objects.exists()
    assert "proposal.made" not in events_in(two.contoso)


def test_a_client_with_an_unknown_holder_proposes_nothing(two: Cast) -> None:
    client = client_of(two)
    Client.objects.filter(pk=client.pk).update(secret_by=None, secret_at=clock.now() + dt.timedelta(seconds=1))
    with pytest.raises(NotAllowed, match="Nobody knows"):
        uncover(two, acting(client))
    assert not Proposal.objects.exists()


def test_a_client_does_not_make_a_newcomer_count(two: Cast, travel: Any) -> None:
    travel.by(hours=100)
    two.colleague("newcomer", hours=1)
    client = client_of(two, "newcomer")
    row = proposed(lambda: uncover(two, acting(client)))
    with pytest.raises(NotAllowed, match="long enough"):
        operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    row.refresh_from_db()
    assert row.effective_at is None


@pytest.mark.parametrize("reason", ["client_removed", "no_longer_staff"])
def test_a_confirmed_change_lapses_if_its_client_or_its_maker_is_gone(two: Cast, travel: Any, reason: str) -> None:
    client = client_of(two)
    row = proposed(lambda: uncover(two, acting(client)))
    operations.confirm_proposal(row.pk, actor=two.as_("sten"))
    if reason == "client_removed":
        operations.remove_client(client.pk, actor=two.as_("sten"))
    else:
        Person.objects.filter(pk=two.stella.pk).update(is_staff=False)
    travel.by(hours=WAIT.total_seconds() / 3600 + 1)
    operations.apply_due(actor=two.system(), limit=9)
    row.refresh_from_db()
    assert row.outcome == "lapsed"
    assert newest(two.contoso.pk)["detail"]["reason"] == reason
    assert Service.objects.get(pk=two.exchange.pk).is_covered


def test_another_human_of_the_staff_who_may_not_confirm_still_makes_the_change_wait(two: Cast) -> None:
    """Stella made the client and Sten holds its secret, so neither can confirm. The change must not go through."""
    client = client_of(two)
    operations.rotate_client_secret(client.pk, actor=two.as_("sten"))
    row = proposed(lambda: uncover(two, acting(client)))
    assert row.effective_at is None


def test_a_client_without_the_scope_or_in_an_engineers_name_provisions_nothing(two: Cast) -> None:
    before = (Service.objects.count(), QueueAssignment.objects.count())
    other = acting(client_of(two, "stella", Scope.TICKETS_READ))
    with pytest.raises(InsufficientScope):
        uncover(two, other)
    client = client_of(two)
    machine = acting(client)
    in_name = replace(machine, person_id=two.priya.pk, human_id=two.priya.human_id)
    with pytest.raises(NotAllowed):
        uncover(two, in_name)
    with pytest.raises(NotAllowed):
        operations.give_queue_role(two.exchange.pk, two.samir.pk, role="engineer", actor=in_name)
    assert (Service.objects.count(), QueueAssignment.objects.count()) == before
    assert not Proposal.objects.exists()


def test_a_client_never_makes_staff_nor_switches_them_on(two: Cast) -> None:
    machine = acting(client_of(two))
    with pytest.raises(InsufficientScope):
        operations.make_staff(two.erik.pk, actor=machine)
    operations.switch_off_person(two.people["sten"].pk, actor=machine)
    with pytest.raises(NotAllowed, match="Only a person"):
        operations.switch_on_person(two.people["sten"].pk, actor=machine)
    assert not Person.objects.get(pk=two.erik.pk).is_staff
    assert not Person.objects.get(pk=two.people["sten"].pk).is_active
    assert not Proposal.objects.exists()


@pytest.mark.parametrize("leaver", ["maker", "holder"])
@pytest.mark.parametrize("how", ["switched_off", "no_longer_staff"])
def test_a_client_of_somebody_who_left_provisions_nothing(two: Cast, leaver: str, how: str) -> None:
    """Threat 57. Stella made the client and Sten holds its secret. Either of them could still use it."""
    client = client_of(two)
    operations.rotate_client_secret(client.pk, actor=two.as_("sten"))
    two.colleague("stina")
    person = {"maker": two.stella, "holder": two.people["sten"]}[leaver]
    if how == "switched_off":
        operations.switch_off_person(person.pk, actor=two.as_("stina"))
    else:
        Person.objects.filter(pk=person.pk).update(is_staff=False)
    machine = acting(client)
    acts: list[Callable[[], Any]] = [
        lambda: operations.save_service(key="new", name="New", connector="folder", actor=machine),
        lambda: operations.save_plan(name="New", includes_lockbox=True, actor=machine),
        lambda: operations.create_tenant(name="New", slug="new", plan_id=two.contoso.plan_id, actor=machine),
        lambda: operations.switch_off_tenant(two.contoso.pk, actor=machine),
        lambda: operations.switch_off_person(two.pat.pk, actor=machine),
        lambda: operations.switch_off_person(two.people["stina"].pk, actor=machine),
        lambda: operations.take_queue_role(two.exchange.pk, two.pat.pk, role="provider_approver", actor=machine),
        lambda: operations.check_resource(two.resource().pk, actor=machine),
    ]
    for each in acts:
        with only_a_refusal(), pytest.raises(NotAllowed, match="no longer staff"):
            each()
    assert Person.objects.get(pk=two.pat.pk).is_active


def test_a_client_of_active_staff_switches_off_everybody_but_the_last_of_them(cast: Cast) -> None:
    cast.colleague()
    machine = acting(client_of(cast))
    operations.switch_off_person(cast.people["sten"].pk, actor=machine)
    with only_a_refusal(), pytest.raises(WrongState, match="last member of the staff"):
        operations.switch_off_person(cast.stella.pk, actor=machine)
    assert Person.objects.get(pk=cast.stella.pk).is_active
    assert Person.objects.get(pk=cast.stella.pk).is_staff


def test_only_acts_that_provision_ask_who_answers_for_the_client(two: Cast) -> None:
    """All other calls of a client of somebody who left go on, for example those of a ticket system."""
    client = client_of(two, "sten", Scope.TICKETS_WRITE, Scope.TICKETS_READ)
    operations.switch_off_person(two.people["sten"].pk, actor=two.as_("stella"))
    ticket = two.ticket()
    operations.comment(ticket.pk, body="Still there", actor=acting(client))
