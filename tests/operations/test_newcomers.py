"""A first sign-in makes an account only if the tenant allows it, and only for somebody whom nobody knows here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed, Unacceptable
from requests_app.models import Domain, Identity, Membership, OutboxMessage, Person, SignOn, Tenant
from requests_app.operations import AssertedIdentity, Connection, Profile
from tests.cast import Cast, events_in
from tests.operations.test_sign_in_addresses import ISSUER, comes, connected, has_verified

pytestmark = pytest.mark.django_db

NINA = "nina@contoso.example"


@pytest.fixture(params=["oidc", "saml"])
def issuer(request: Any, cast: Cast) -> str:
    """Return the issuer of Contoso's identity provider. Contoso has verified its domain, and lets newcomers in."""
    has_verified(cast.contoso, "contoso.example")
    issuer = connected(cast.contoso, request.param)
    SignOn.objects.update(newcomer_role="member")
    return issuer


def test_a_newcomer_gets_an_account_that_decides_nothing(cast: Cast, issuer: str) -> None:
    before, mails = len(events_in(cast.contoso)), OutboxMessage.objects.count()
    nina = comes(cast, cast.contoso, issuer, "Nina@contoso.example", name="Nina New")
    assert (nina.name, nina.email, nina.side, nina.has_usable_password()) == ("Nina New", NINA, "customer", False)
    assert list(nina.memberships.values_list("tenant__slug", "role")) == [(cast.contoso.slug, "member")]
    assert events_in(cast.contoso)[before:] == ["person.created", "role.given", "identity.linked"]
    assert (nina.email_verified_at is not None, OutboxMessage.objects.count()) == (True, mails)
    # From now on, issuer and subject identify the person.
    assert comes(cast, cast.contoso, issuer, "other@elsewhere.example") == nina
    assert Identity.objects.get().person == nina


@pytest.mark.parametrize(("name", "shown"), [("", "nina"), ("Nina\u202eNew", "nina"), ("x" * 200, "nina")])
def test_a_newcomer_without_a_usable_name_is_called_by_the_address(
    cast: Cast, issuer: str, name: str, shown: str
) -> None:
    assert comes(cast, cast.contoso, issuer, NINA, name=name).name == shown


def test_groups_give_a_newcomer_only_the_roles_that_the_administrator_has_named(cast: Cast, issuer: str) -> None:
    SignOn.objects.update(role_map={"Readers": "auditor"})
    nina = comes(cast, cast.contoso, issuer, NINA, groups=("Readers", "approver", "administrator"))
    assert set(nina.memberships.values_list("role", flat=True)) == {"member", "auditor"}


def _is_off(cast: Cast) -> None:
    SignOn.objects.update(newcomer_role="")


def _has_no_domain(cast: Cast) -> None:
    Domain.objects.update(verified_at=None)


def _is_removed(cast: Cast) -> None:
    Person.objects.create_user(NINA, None, name="Nina", side="customer")


def _is_removed_with_a_subaddress(cast: Cast) -> None:
    Person.objects.create_user("Nina+old@contoso.example", None, name="Nina", side="customer")


def _is_switched_off(cast: Cast) -> None:
    person = Person.objects.create_user(NINA, None, name="Nina", side="customer", is_active=False)
    Membership.objects.create(tenant=cast.contoso, person=person, role="member", given_at=clock.now())


def _was_deleted_by_the_directory(cast: Cast) -> None:
    profile = Profile(user_name="nina", email=NINA, name="Nina", external_id="k")
    person = operations.provision_member(cast.contoso.pk, profile=profile, actor=cast.as_("ines"))
    operations.remove_provisioned(cast.contoso.pk, person.pk, actor=cast.as_("ines"))


def _is_of_the_provider(cast: Cast) -> None:
    Person.objects.create_user(NINA, None, name="Nina", side="provider")


def _is_of_another_tenant(cast: Cast) -> None:
    person = Person.objects.create_user(NINA, None, name="Nina", side="customer")
    Membership.objects.create(tenant=cast.fabrikam, person=person, role="approver", given_at=clock.now())


def _tenant_is_off(cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(is_active=False)


@pytest.mark.parametrize(
    "happens",
    [
        *(_is_off, _has_no_domain, _is_removed, _is_removed_with_a_subaddress, _is_switched_off),
        *(_was_deleted_by_the_directory, _is_of_the_provider, _is_of_another_tenant, _tenant_is_off),
    ],
)
def test_nobody_else_gets_anything(cast: Cast, issuer: str, happens: Callable[[Cast], None]) -> None:
    happens(cast)
    before = _everything(cast)
    with pytest.raises(NotAllowed):
        comes(cast, cast.contoso, issuer, NINA, directory_key="k")
    assert _everything(cast) == before


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "nina@elsewhere.example"},
        {"email": "nina@fabrikam.example"},
        {"email": "nina@sub.contoso.example"},
        {"email": NINA, "email_is_verified": False},
        {"email": ""},
        {"email": "@contoso.example"},
        {"email": "a b@contoso.example"},
    ],
)
def test_an_address_of_another_domain_gets_nothing(cast: Cast, issuer: str, claims: dict[str, Any]) -> None:
    has_verified(cast.fabrikam, "fabrikam.example")
    before = _everything(cast)
    came = AssertedIdentity(**{"issuer": issuer, "subject": "s-1", "email_is_verified": True, **claims})
    with pytest.raises((NotAllowed, Unacceptable)):
        operations.sign_in(cast.contoso.pk, came=came, actor=cast.system("single sign-on"))
    assert _everything(cast) == before


def test_an_invited_person_accepts_the_invitation_first(cast: Cast, issuer: str) -> None:
    cast.invited(NINA, role="approver")
    before = Person.objects.count(), Identity.objects.count(), Membership.objects.count()
    with pytest.raises(NotAllowed, match="You are invited"):
        comes(cast, cast.contoso, issuer, NINA)
    assert (Person.objects.count(), Identity.objects.count(), Membership.objects.count()) == before


def test_a_subject_that_has_an_account_elsewhere_gets_no_second_one(cast: Cast) -> None:
    """Otherwise one human could be an engineer of the provider, and somebody of the customer's, without a link."""
    has_verified(cast.contoso, "contoso.example")
    issuer = connected(cast.contoso, "oidc")
    SignOn.objects.update(newcomer_role="member")
    Identity.objects.create(tenant=None, issuer=issuer, subject="s-1", person=cast.priya, linked_at=clock.now())
    before = _everything(cast)
    with pytest.raises(NotAllowed):
        comes(cast, cast.contoso, issuer, NINA)
    assert _everything(cast) == before


def test_the_providers_people_are_never_made_at_a_sign_in(cast: Cast, settings: Any) -> None:
    settings.SSO_ISSUER, settings.SSO_DOMAINS = ISSUER, frozenset({"provider.example"})
    came = AssertedIdentity(issuer=ISSUER, subject="s-1", email="new@provider.example", email_is_verified=True)
    with pytest.raises(NotAllowed):
        operations.sign_in(None, came=came, actor=cast.system("single sign-on"))
    assert not Person.objects.filter(email="new@provider.example").exists()


@pytest.mark.parametrize("role", ["approver", "administrator", "deputy", "staff"])
def test_no_setting_makes_newcomers_decide_or_manage(cast: Cast, issuer: str, role: str) -> None:
    row = SignOn.objects.get()
    fields: dict[str, Any] = {"issuer": ISSUER, "client_id": "lockbox", "client_secret": "x", "role_map": {}}
    connection = Connection(**fields, newcomer_role=role)
    with pytest.raises(Unacceptable) as refusal:
        operations.set_sign_on(cast.contoso.pk, connection=connection, was=row.changed_at, actor=cast.as_("ines"))
    assert refusal.value.field == "newcomer_role"
    with pytest.raises(IntegrityError), transaction.atomic():
        SignOn.objects.update(newcomer_role=role)


def test_the_switch_is_in_the_log_and_in_a_mail(cast: Cast) -> None:
    fields: dict[str, Any] = {"issuer": ISSUER, "client_id": "lockbox", "client_secret": "x", "role_map": {}}
    row = operations.set_sign_on(
        cast.contoso.pk,
        connection=Connection(**fields, newcomer_role="member"),
        was=None,
        actor=cast.as_("ines"),
    )
    OutboxMessage.objects.all().delete()
    operations.set_sign_on(cast.contoso.pk, connection=Connection(**fields), was=row.changed_at, actor=cast.as_("ines"))
    entries = AuditEntry.objects.filter(tenant_id=cast.contoso.pk, event="sign_on.changed").order_by("pk")
    [on, off] = [json.loads(bytes(each.canonical))["detail"] for each in entries]
    assert (on["newcomer_role"], "newcomer_role" in on["changed"]) == ("member", True)
    assert ("newcomer_role" in off, "newcomer_role" in off["changed"]) == (False, True)
    assert set(OutboxMessage.objects.values_list("topic", flat=True)) == {"notify.sign_on_changed"}


def _everything(cast: Cast) -> Any:
    people = list(Person.objects.get_queryset().order_by("pk").values())
    rows = [list(model.objects.order_by("pk").values()) for model in (Identity, Membership)]
    return people, rows, events_in(cast.contoso), OutboxMessage.objects.count()
