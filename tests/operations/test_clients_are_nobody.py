"""A client has an account but is not a person: it gets no role, ticket or queue, and can't be switched on again."""

from __future__ import annotations

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import NotFound, Unacceptable
from requests_app.models import Membership, Person, QueueAssignment, Ticket
from requests_app.queries import access
from requests_app.queries import tickets as queries
from tests.caller import access_token, client_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def theirs(cast: Cast) -> Person:
    """Return the account of a client of Contoso."""
    return client_of(cast)[0].account


@pytest.fixture
def ours(cast: Cast) -> Person:
    """Return the account of a client of the provider."""
    return client_of(cast, None)[0].account


def test_a_client_gets_no_role_in_a_tenant(cast: Cast, theirs: Person) -> None:
    bare = operations.create_tenant(
        plan_id=cast.contoso.plan_id, name="Adatum", slug="adatum", time_zone="UTC", actor=cast.as_("stella")
    )
    before = AuditEntry.objects.count()
    with pytest.raises(NotFound):
        operations.give_role(cast.contoso.pk, theirs.pk, role="member", actor=cast.as_("ines"))
    with pytest.raises(NotFound):
        operations.give_role(bare.pk, theirs.pk, role="approver", actor=cast.as_("stella"))
    assert not Membership.objects.filter(person=theirs).exists()
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("role", ["engineer", "provider_approver"])
def test_a_client_is_put_into_no_queue(cast: Cast, ours: Person, role: str) -> None:
    with pytest.raises(NotFound):
        operations.give_queue_role(cast.exchange.pk, ours.pk, role=role, actor=cast.as_("stella"))
    assert not QueueAssignment.objects.filter(person=ours).exists()


def test_a_row_that_should_not_be_there_makes_it_no_engineer_and_no_approver(
    cast: Cast, ours: Person, theirs: Person
) -> None:
    """Roles that were written directly into the database, without an operation, give the API client nothing."""
    at = clock.now()
    QueueAssignment.objects.create(service=cast.exchange, person=ours, role="engineer", given_at=at)
    Membership.objects.create(tenant=cast.contoso, person=theirs, role="approver", given_at=at)
    ticket = cast.ticket()
    with pytest.raises(Unacceptable):
        operations.assign_ticket(ticket.pk, assignee_id=ours.pk, actor=cast.as_("priya"))
    assert Ticket.objects.get().assignee is None
    assert ours not in queries.engineers(ticket)
    assert access.engineer_named(str(ours.pk)) is None
    assert access.engineer_named(ours.email) is None
    assert theirs not in Person.objects.get_queryset().approvers_of(cast.contoso.pk)
    assert theirs not in queries.people_of(cast.contoso)


def test_no_ticket_is_recorded_for_it(cast: Cast, theirs: Person) -> None:
    Membership.objects.create(tenant=cast.contoso, person=theirs, role="member", given_at=clock.now())
    with pytest.raises(Unacceptable):
        cast.ticket(by="priya", on_behalf_of_id=theirs.pk)
    assert not Ticket.objects.exists()


def test_staff_cannot_switch_a_client_off_or_on(cast: Cast) -> None:
    """A client that its tenant has removed stays removed, and its secret never works again."""
    client, secret = client_of(cast)
    with pytest.raises(NotFound):
        operations.switch_off_person(client.account_id, actor=cast.as_("stella"))
    operations.remove_client(client.pk, actor=cast.as_("ines"))
    for who in ("stella", "ines"):
        with pytest.raises(NotFound):
            operations.switch_on_person(client.account_id, actor=cast.as_(who))
    assert access_token(client, secret).json()["error"] == "invalid_client"
