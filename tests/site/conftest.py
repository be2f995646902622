"""Two people for the tests of the sign-in: an approver, and a person without this role."""

import pytest
from django.test import Client

from requests_app.domain import clock
from requests_app.models import Membership, Person, Plan, Tenant
from tests.factors import give_app, sign_in

PASSWORD = "a-password-that-nobody-uses"


@pytest.fixture
def tenant(db: None) -> Tenant:
    plan = Plan.objects.create(name="E5")
    return Tenant.objects.create(name="Contoso", slug="contoso", plan=plan, created_at=clock.now())


def person_with(role: str, tenant: Tenant) -> Person:
    person = Person.objects.create_user(f"{role}@contoso.example", PASSWORD, name=role, side="customer")
    Membership.objects.create(tenant=tenant, person=person, role=role, given_at=clock.now())
    if role == "approver":
        give_app(person)
    return person


@pytest.fixture
def approver(tenant: Tenant) -> Person:
    return person_with("approver", tenant)


@pytest.fixture
def member(tenant: Tenant) -> Person:
    return person_with("member", tenant)


def signed_in(person: Person) -> Client:
    """Sign in on the page, as a browser does. Return the browser."""
    client = Client()
    answer = sign_in(person, PASSWORD, client=client)
    assert answer.status_code == 302, answer.content
    return client
