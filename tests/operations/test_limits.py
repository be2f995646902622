"""A value exactly at a limit is accepted. A value just beyond it is refused, and nothing changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from requests_app import operations
from requests_app.domain import link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DeadlinePassed, NotFound, TooMany, Unacceptable
from requests_app.models import AccessRequest, Invitation, Mute, OutOfOffice, Resource, Tenant, Ticket
from tests.cast import Cast, events_in
from tests.conftest import Traveller
from tests.offenders import collected
from tests.operations.test_two_person import proposed
from tests.operations.test_witnesses import register
from tests.web.pages import nothing_happens, only_a_refusal
from tests.witness import SmallWitness

pytestmark = pytest.mark.django_db

DAY, STEP = dt.timedelta(days=1), dt.timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("name", "least", "most"), [("tried", 1, 4000), ("justification", 20, 4000)], ids=["tried", "justification"]
)
def test_the_reasons_of_an_access_request_have_a_least_and_a_most_length(
    cast: Cast, name: str, least: int, most: int
) -> None:
    ticket = cast.ticket()
    for length in (least, most):
        assert getattr(cast.submitted(ticket=ticket, **{name: "x" * length}), name) == "x" * length
    for length in (least - 1, most + 1):
        with nothing_happens(), pytest.raises(Unacceptable) as refusal:
            cast.submitted(ticket=ticket, **{name: "x" * length})
        assert refusal.value.field == name


def test_a_comment_has_at_most_2000_characters(cast: Cast) -> None:
    row = cast.submitted()
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        operations.deny_as_provider(row.pk, actor=cast.as_("pat"), note="x" * 2001)
    assert refusal.value.field == "note"
    assert operations.deny_as_provider(row.pk, actor=cast.as_("pat"), note="x" * 2000).state == "DENIED"
    assert row.decisions.get().comment == "x" * 2000


@pytest.mark.parametrize(("name", "most"), [("title", 200), ("body", 4000)])
def test_the_texts_of_a_ticket_have_a_most_length(cast: Cast, name: str, most: int) -> None:
    assert getattr(cast.ticket(**{name: "x" * most}), name) == "x" * most
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        cast.ticket(**{name: "x" * (most + 1)})
    assert refusal.value.field == name
    assert Ticket.objects.count() == 1


def test_an_access_request_names_1_to_20_resources(cast: Cast) -> None:
    ticket, finance = cast.ticket(), cast.resource()
    fields = {"tenant": finance.tenant, "service": finance.service, "kind": finance.kind}
    many = [
        Resource.objects.create(name=f"box{n}@contoso.example", locator=f"contoso/mail/box{n}", **fields)
        for n in range(21)
    ]
    ids = [each.pk for each in many]
    for count in (1, 20):
        row = cast.submitted(ticket=ticket, resource_ids=ids[:count])
        assert row.scope.count() == count
    for count in (0, 21):
        with nothing_happens(), pytest.raises(Unacceptable) as refusal:
            cast.submitted(ticket=ticket, resource_ids=ids[:count])
        assert refusal.value.field == "resource_ids"


def test_an_engineer_raises_20_access_requests_within_an_hour(cast: Cast, travel: Traveller) -> None:
    """Access requests that were withdrawn count too. After exactly an hour, the first one no longer counts."""
    at, ticket = travel.freeze(), cast.ticket()
    for number in range(20):
        # At most ten can be pending, so each is withdrawn.
        operations.withdraw(cast.submitted(ticket=ticket).pk, actor=cast.as_("priya"))
        if number == 0:
            travel.by(seconds=1)
    travel.to(at + dt.timedelta(hours=1) - STEP)
    with only_a_refusal(), pytest.raises(TooMany):
        cast.submitted(ticket=ticket)
    travel.to(at + dt.timedelta(hours=1))
    assert cast.submitted(ticket=ticket).state == "PENDING_PROVIDER"
    with only_a_refusal(), pytest.raises(TooMany):
        cast.submitted(ticket=ticket)
    assert AccessRequest.objects.count() == 21


def _invited(cast: Cast, count: int) -> None:
    first = Invitation.objects.get(pk=cast.invited("p0@contoso.example").pk)
    rows = []
    for number in range(1, count):
        first.pk, first.email, first.secret_hash = uuid4(), f"p{number}@contoso.example", f"{number}"
        rows.append(Invitation(**{each.attname: getattr(first, each.attname) for each in first._meta.concrete_fields}))
    Invitation.objects.bulk_create(rows)


def test_100_invitations_of_a_tenant_wait_at_most(cast: Cast) -> None:
    _invited(cast, 99)
    last = cast.invited("last@contoso.example")
    with only_a_refusal(), pytest.raises(TooMany):
        cast.invited("more@contoso.example")
    assert Invitation.objects.count() == 100
    # A withdrawn invitation no longer counts.
    operations.withdraw_invitation(last.pk, actor=cast.as_("ines"))
    assert cast.invited("more@contoso.example").email == "more@contoso.example"


def test_an_invitation_is_sent_10_times_at_most(cast: Cast) -> None:
    row = cast.invited()
    for sends in range(2, 11):
        assert operations.resend_invitation(row.pk, actor=cast.as_("ines")).sends == sends
    with only_a_refusal(), pytest.raises(TooMany):
        operations.resend_invitation(row.pk, actor=cast.as_("ines"))
    assert Invitation.objects.get().sends == 10


def test_a_deputy_is_named_for_90_days_at_most(cast: Cast, travel: Traveller) -> None:
    at = travel.freeze()

    def named(until: dt.datetime) -> OutOfOffice:
        return operations.set_out_of_office(
            cast.contoso.pk, deputy_id=cast.alan.pk, from_at=at, until_at=until, actor=cast.as_("ada")
        )

    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        named(at + 90 * DAY + STEP)
    assert refusal.value.field == "until_at"
    assert not OutOfOffice.objects.exists()
    assert named(at + 90 * DAY).until_at == at + 90 * DAY


def test_a_tenants_rules_hold_their_least_and_their_most_value(cast: Cast) -> None:
    register(cast, SmallWitness())
    ines = cast.as_("ines")
    rules: list[tuple[str, str, int, int, Callable[..., Any]]] = [
        ("log_retention_days", "days", 30, 36500, operations.set_log_retention),
        ("cosigned_within", "hours", 1, 168, operations.set_cosigning),
    ]
    with collected() as case:
        for column, name, least, most, call in rules:
            for value in (least, most):
                with case(column, value):
                    call(cast.contoso.pk, **{name: value}, actor=ines)
                    assert getattr(Tenant.objects.get(pk=cast.contoso.pk), column) == value
            for value in (least - 1, most + 1):
                with case(column, value), nothing_happens(), pytest.raises(Unacceptable) as refusal:
                    call(cast.contoso.pk, **{name: value}, actor=ines)
                assert refusal.value.field == name
                assert getattr(Tenant.objects.get(pk=cast.contoso.pk), column) == most


def test_a_mute_lasts_1_or_4_or_24_hours(cast: Cast, travel: Traveller) -> None:
    at = travel.freeze()
    with collected() as case:
        for hours in range(-1, 27):
            with case(hours):
                if hours in (1, 4, 24):
                    row = operations.deny_all_and_mute(
                        cast.contoso.pk, engineer_id=None, hours=hours, actor=cast.as_("ada")
                    )
                    assert row.until_at == at + dt.timedelta(hours=hours)
                    continue
                with nothing_happens(), pytest.raises(Unacceptable) as refusal:
                    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=hours, actor=cast.as_("ada"))
                assert refusal.value.field == "hours"
    assert Mute.objects.count() == 3


def test_an_invitation_can_be_accepted_until_its_seven_days_are_over(cast: Cast, travel: Traveller) -> None:
    at = travel.freeze()
    answer: dict[str, Any] = {
        "name": "Grace",
        "password": "a-password-that-nobody-uses",
        "actor": Actor.stranger(door="pages"),
    }
    early, late = (cast.link_of(cast.invited(f"{name}@contoso.example")) for name in ("early", "late"))
    travel.to(at + 7 * DAY - STEP)
    assert operations.accept_invitation(early, **answer).email == "early@contoso.example"
    before = events_in(cast.contoso)
    travel.to(at + 7 * DAY)
    with pytest.raises(NotFound):
        operations.accept_invitation(late, **answer)
    assert events_in(cast.contoso) == before


def test_a_new_address_can_be_confirmed_until_its_day_is_over(cast: Cast, travel: Traveller) -> None:
    at = travel.freeze()
    row = operations.request_address(email="ada@new.example", actor=cast.as_("ada"))
    travel.to(at + DAY - STEP)
    operations.confirm_address(link_secrets.of(row.pk, 1), actor=cast.as_("ada"))
    cast.ada.refresh_from_db()
    assert cast.ada.email == "ada@new.example"


def test_a_proposal_can_be_confirmed_until_its_seven_days_are_over(cast: Cast, travel: Traveller) -> None:
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    at = travel.freeze()
    first = proposed(lambda: operations.set_window_cap(cast.contoso.pk, seconds=3600, actor=cast.as_("ines")))
    travel.to(at + 7 * DAY - STEP)
    operations.confirm_proposal(first.pk, actor=cast.as_("ada"))
    assert Tenant.objects.get(pk=cast.contoso.pk).window_cap == 3600
    at = travel.to(at + 8 * DAY)
    late = proposed(lambda: operations.set_window_cap(cast.contoso.pk, seconds=1800, actor=cast.as_("ines")))
    travel.to(at + 7 * DAY)
    with only_a_refusal(), pytest.raises(DeadlinePassed):
        operations.confirm_proposal(late.pk, actor=cast.as_("ada"))
    assert Tenant.objects.get(pk=cast.contoso.pk).window_cap == 3600
