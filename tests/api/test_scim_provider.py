"""SCIM for the provider's own people: what the provider's directory can do, and what nobody can do through it."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed, Unacceptable
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.scopes import Scope
from requests_app.identity.sso.asserted import AssertedIdentity
from requests_app.models import AccessRequest, DirectoryRecord, Identity, OutboxMessage, Person, QueueAssignment, Token
from tests.api.test_scim import USERS, fault, ops, whole
from tests.caller import Caller, caller_for, token_of
from tests.cast import Cast
from tests.passkeys import enrolled

pytestmark = pytest.mark.django_db

SCOPE = Scope.MEMBERS_PROVISION


@pytest.fixture
def caller(cast: Cast) -> Caller:
    """Return the client of the provider's directory."""
    return caller_for(cast, None, SCOPE)


def ours(name: str = "grace", **more: Any) -> dict[str, Any]:
    address = f"{name}@provider.example"
    return whole(name, **{"userName": address, "emails": [{"value": address}], **more})


def facts() -> dict[str, Any]:
    """Return everything that a directory can change, and everything that is written or sent about it."""
    people = Person.objects.get_queryset().order_by("pk")
    return {
        "people": list(people.values_list("name", "email", "is_active", "is_staff", "human_id", "session_epoch")),
        "records": list(DirectoryRecord.objects.order_by("pk").values_list()),
        "roles": sorted(QueueAssignment.objects.values_list("person__email", "role", "service__key")),
        "entries": AuditEntry.objects.exclude(event="act.refused").count(),
        "messages": OutboxMessage.objects.count(),
    }


def providers_events() -> list[str]:
    return list(AuditEntry.objects.filter(tenant_id=PROVIDER_LOG).order_by("pk").values_list("event", flat=True))


def added(caller: Caller, name: str = "grace", **more: Any) -> Person:
    made = caller.post(USERS, ours(name, **more))
    assert made.status_code == 201, made.content
    return Person.objects.get(pk=made.json()["id"])


def replace(**values: Any) -> dict[str, Any]:
    return ops({"op": "replace", "value": values})


def test_somebody_is_added_without_a_password_and_without_a_role(cast: Cast, caller: Caller) -> None:
    made = caller.post(USERS, ours())
    assert made.status_code == 201
    body, person = made.json(), Person.objects.get(email="grace@provider.example")
    assert (body["id"], body["externalId"], body["groups"]) == (str(person.pk), "key-of-grace", [])
    assert "roles" not in body
    assert (person.side, person.is_staff, person.has_usable_password()) == ("provider", False, False)
    assert person.email_verified_at is None
    assert not person.queue_assignments.exists()
    assert providers_events()[-1:] == ["person.created"]
    assert caller.get(f"{USERS}/{person.pk}").json() == body
    found = caller.get(USERS, {"filter": 'userName eq "GRACE@provider.example"'}).json()
    assert [each["id"] for each in found["Resources"]] == [str(person.pk)]


def test_the_list_has_all_people_of_the_provider_and_nobody_of_a_customer(cast: Cast, caller: Caller) -> None:
    people = Person.objects.get_queryset().humans().filter(side="provider")
    found = {each["id"] for each in caller.get(USERS, {"count": 200}).json()["Resources"]}
    assert found == {str(pk) for pk in people.values_list("pk", flat=True)}
    assert caller.get(USERS, {"filter": 'userName eq "ada@contoso.example"'}).json()["totalResults"] == 0


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_a_customers_person_does_not_exist_for_the_provider_nor_the_other_way_round(
    cast: Cast, caller: Caller, method: str
) -> None:
    tenants = caller_for(cast, "contoso", SCOPE)
    body = {"get": None, "put": ours(), "patch": replace(active=False), "delete": None}[method]
    more = [body] if method in ("put", "patch") else []
    before = facts()
    absent = "00000000-0000-4000-8000-000000000001"
    for calls, person in ((caller, cast.ada), (tenants, cast.erik)):
        strange, missing = (calls(method, f"{USERS}/{pk}", *more) for pk in (person.pk, absent))
        assert (strange.status_code, strange.content) == (404, missing.content)
    assert facts() == before


def test_the_names_of_tenants_and_of_the_provider_do_not_meet(cast: Cast, caller: Caller) -> None:
    """A user name and an id of one directory can be used again in another. An address can't."""
    tenants = caller_for(cast, "contoso", SCOPE)
    assert tenants.post(USERS, whole(userName="grace")).status_code == 201
    assert caller.post(USERS, ours(userName="grace")).status_code == 201
    again = ours("hugo", userName="Grace", externalId="other")
    assert fault(caller.post(USERS, again)) == (409, "uniqueness")
    assert fault(caller.post(USERS, ours("hugo", externalId="key-of-grace"))) == (409, "uniqueness")
    assert fault(caller.post(USERS, ours("ada", emails=[{"value": "ada@contoso.example"}]))) == (409, "uniqueness")


def test_a_person_with_power_is_changed_but_gets_no_other_address(cast: Cast, caller: Caller) -> None:
    for person in (cast.stella, cast.erik, cast.pat):
        assert (
            caller.patch(f"{USERS}/{person.pk}", replace(displayName="Other", externalId=str(person.pk))).status_code
            == 200
        )
        before = facts()
        mine = replace(emails=[{"value": "accomplice@provider.example"}])
        assert fault(caller.patch(f"{USERS}/{person.pk}", mine)) == (400, "invalidValue")
        whole_one = ours("accomplice", externalId="")
        assert fault(caller.put(f"{USERS}/{person.pk}", whole_one)) == (400, "invalidValue")
        assert facts() == before


def test_a_directory_does_not_get_somebody_elses_account_through_the_id_in_the_directory(
    cast: Cast, caller: Caller, settings: Any
) -> None:
    """The first sign-in of the provider's people goes by their verified address, and never by the directory's id."""
    settings.SSO_ISSUER, settings.SSO_DOMAINS = "https://idp.provider.example", frozenset({"provider.example"})
    assert caller.patch(f"{USERS}/{cast.erik.pk}", replace(externalId="mine")).status_code == 200
    came = AssertedIdentity(
        issuer=settings.SSO_ISSUER,
        subject="accomplice",
        email="accomplice@provider.example",
        email_is_verified=True,
        directory_key="mine",
    )
    with pytest.raises(NotAllowed):
        operations.sign_in(None, came=came, actor=cast.system("sign-on"))
    assert not cast.erik.identities.exists()


def test_a_person_of_the_directory_signs_in_with_a_verified_address(cast: Cast, caller: Caller, settings: Any) -> None:
    settings.SSO_ISSUER, settings.SSO_DOMAINS = "https://idp.provider.example", frozenset({"provider.example"})
    person = added(caller)
    came = AssertedIdentity(
        issuer=settings.SSO_ISSUER, subject="4711", email="grace@provider.example", email_is_verified=True
    )
    assert operations.sign_in(None, came=came, actor=cast.system("sign-on")).pk == person.pk
    person.refresh_from_db()
    assert person.email_verified_at is not None


def test_with_single_sign_on_every_address_is_of_its_domains(cast: Cast, caller: Caller, settings: Any) -> None:
    person = added(caller)
    settings.SSO_ISSUER, settings.SSO_DOMAINS = "https://idp.provider.example", frozenset({"provider.example"})
    before = facts()
    elsewhere = [{"value": "mallory@mail.example"}]
    assert fault(caller.post(USERS, ours("mallory", emails=elsewhere))) == (400, "invalidValue")
    assert fault(caller.patch(f"{USERS}/{person.pk}", replace(emails=elsewhere))) == (400, "invalidValue")
    assert facts() == before


@pytest.mark.parametrize("state", ["PENDING_PROVIDER", "PENDING_CUSTOMER", "OPEN"])
def test_the_name_stays_while_a_customer_reads_who_asked_for_access(cast: Cast, caller: Caller, state: str) -> None:
    """Otherwise a customer could approve access for a name that is not the name that asked."""
    row = cast.opened().access_request if state == "OPEN" else cast.in_state(state)
    path, before = f"{USERS}/{cast.priya.pk}", facts()
    assert fault(caller.patch(path, replace(displayName="Ines Test"))) == (400, "invalidValue")
    assert facts() == before
    assert caller.patch(path, replace(externalId="4711")).status_code == 200
    AccessRequest.objects.filter(pk=row.pk).update(state="DENIED")
    assert caller.patch(path, replace(displayName="Priya New")).status_code == 200


@pytest.mark.parametrize("how", ["address", "again"])
@pytest.mark.parametrize("whose", ["provider", "contoso"])
def test_the_next_holder_of_an_account_inherits_no_credentials(cast: Cast, whose: str, how: str) -> None:
    """A new address, or a former account that is used again, can belong to somebody else."""
    person = cast.erik if whose == "provider" else cast.mia
    person.queue_assignments.all().delete()
    row, _device = enrolled(cast, "erik" if whose == "provider" else "mia")
    token = Caller(token_of(cast, "erik" if whose == "provider" else "mia"))
    link = {"tenant": None if whose == "provider" else cast.contoso, "issuer": "https://idp.example", "subject": "1"}
    Identity.objects.create(person=person, linked_at=clock.now(), **link)
    calls = caller_for(cast, None if whose == "provider" else whose, SCOPE)
    person.refresh_from_db()
    human, epoch, path = person.human_id, person.session_epoch, f"{USERS}/{person.pk}"
    name, domain = person.email.split("@")
    new = [{"value": f"hugo@{domain}"}]
    if how == "address":
        assert calls.patch(path, replace(emails=new)).status_code == 200
    else:
        assert calls.delete(path).status_code == 204
        assert calls.post(USERS, whole(name, userName=f"{name}@{domain}", emails=new)).json()["id"] == str(person.pk)
    person.refresh_from_db()
    row.refresh_from_db()
    assert (person.is_active, person.email, person.human_id) == (True, f"hugo@{domain}", human)
    left = (person.has_usable_password(), person.has_second_factor, person.email_verified_at, row.is_live)
    assert left == (False, False, None, False)
    assert person.session_epoch > epoch
    assert not Authenticator.objects.filter(user=person).exists()
    assert not person.identities.exists()
    assert token.get("me").status_code == 401
    log = PROVIDER_LOG if whose == "provider" else cast.contoso.pk
    [entry] = AuditEntry.objects.filter(event="person.second_factors_reset")
    assert (entry.tenant_id, entry.subject_id) == (log, str(person.pk))
    assert AuditEntry.objects.filter(event="passkey.removed", subject_id=str(row.pk)).count() == len(row.enrolled)


def test_an_account_with_the_same_address_keeps_its_credentials(cast: Cast, caller: Caller) -> None:
    password = Person.objects.get(pk=cast.erik.pk).password
    same = {"displayName": "Erik New", "userName": "e.test", "emails": [{"value": cast.erik.email.upper()}]}
    assert caller.patch(f"{USERS}/{cast.erik.pk}", replace(**same)).status_code == 200
    erik = Person.objects.get(pk=cast.erik.pk)
    assert (erik.password, erik.has_second_factor, erik.session_epoch) == (password, True, cast.erik.session_epoch)


def test_roles_are_no_attribute_of_the_providers_people(cast: Cast, caller: Caller) -> None:
    person = added(caller)
    before = facts()
    for role in ("engineer", "provider_approver", "staff", "approver", "administrator"):
        wanted = [{"value": role}]
        assert fault(caller.post(USERS, ours("hugo", roles=wanted))) == (400, "invalidValue")
        assert fault(caller.patch(f"{USERS}/{person.pk}", replace(roles=wanted))) == (400, "invalidValue")
        assert fault(caller.put(f"{USERS}/{person.pk}", ours(roles=wanted))) == (400, "invalidValue")
    assert facts() == before


def test_switching_off_ends_everything_immediately(cast: Cast, caller: Caller) -> None:
    grant, waiting = cast.opened(), cast.submitted()
    token = Caller(token_of(cast, "priya"))
    assert token.get("me").status_code == 200
    assert caller.patch(f"{USERS}/{cast.priya.pk}", replace(active="False")).json()["active"] is False
    grant.refresh_from_db()
    waiting.refresh_from_db()
    assert (grant.closed_at is not None, waiting.state) == (True, "WITHDRAWN")
    assert token.get("me").status_code == 401
    assert "person.switched_off" in providers_events()


def test_the_last_member_of_the_staff_stays(cast: Cast, caller: Caller) -> None:
    before = facts()
    for method in (caller.delete, lambda path: caller.patch(path, replace(active=False))):
        refused = method(f"{USERS}/{cast.stella.pk}")
        assert fault(refused) == (409, None)
    assert facts() == before
    cast.colleague()
    assert caller.patch(f"{USERS}/{cast.sten.pk}", replace(active=False)).status_code == 200


@pytest.mark.parametrize("how", ["active", "again"])
def test_a_directory_does_not_switch_a_member_of_the_staff_on(cast: Cast, caller: Caller, how: str) -> None:
    person = cast.colleague()
    if how == "active":
        assert caller.patch(f"{USERS}/{person.pk}", replace(active=False)).status_code == 200
    else:
        assert caller.delete(f"{USERS}/{person.pk}").status_code == 204
    before = facts()
    back = ours("sten", externalId="")
    called = caller.post(USERS, back) if how == "again" else caller.patch(f"{USERS}/{person.pk}", replace(active=True))
    assert called.status_code == 403
    assert facts() == before


def test_a_deleted_person_is_missing_and_comes_back_as_the_same_person(cast: Cast, caller: Caller) -> None:
    person = added(caller)
    assert caller.delete(f"{USERS}/{person.pk}").status_code == 204
    assert caller.get(f"{USERS}/{person.pk}").status_code == 404
    assert caller.delete(f"{USERS}/{person.pk}").status_code == 404
    person.refresh_from_db()
    assert not person.is_active
    assert added(caller).pk == person.pk
    person.refresh_from_db()
    assert person.is_active


@pytest.mark.parametrize("how", ["active", "again"])
def test_an_account_that_is_switched_on_again_comes_back_without_its_roles(
    cast: Cast, caller: Caller, how: str
) -> None:
    """Staff need a second person and the waiting time for this. A directory has neither, so the roles end."""
    assert caller.patch(f"{USERS}/{cast.priya.pk}", replace(displayName="Priya T")).status_code == 200
    if how == "active":
        caller.patch(f"{USERS}/{cast.priya.pk}", replace(active=False))
        back = caller.patch(f"{USERS}/{cast.priya.pk}", replace(active=True))
    else:
        caller.delete(f"{USERS}/{cast.priya.pk}")
        back = caller.post(USERS, ours("priya"))
    assert back.status_code in (200, 201), back.content
    cast.priya.refresh_from_db()
    assert (cast.priya.is_active, cast.priya.queue_assignments.count()) == (True, 0)
    assert "role.taken" in providers_events()


def test_before_any_customer_has_lockbox_an_account_comes_back_with_its_roles(cast: Cast, caller: Caller) -> None:
    cast.peaceful()
    caller.patch(f"{USERS}/{cast.priya.pk}", replace(active=False))
    assert caller.patch(f"{USERS}/{cast.priya.pk}", replace(active=True)).status_code == 200
    assert cast.priya.queue_assignments.exists()


# --- Who the directory is --------------------------------------------------------------------------------------


def test_only_a_client_of_the_provider_is_its_directory(cast: Cast) -> None:
    """A member of the staff can't act as the directory with a personal token: no customer got notice of that."""
    staff, engineer = Caller(token_of(cast, "stella")), Caller(token_of(cast, "erik"))
    other = caller_for(cast, None, Scope.PROVISION)
    before = facts()
    assert {staff.get(USERS).status_code, staff.post(USERS, ours()).status_code} == {403}
    for method, *body in (("get",), ("patch", replace(active=False)), ("delete",)):
        assert staff(method, f"{USERS}/{cast.erik.pk}", *body).status_code == 404
    assert {engineer.get(USERS).status_code, other.get(USERS).status_code} == {403}
    with pytest.raises(NotAllowed):
        operations.remove_provider_person(cast.erik.pk, actor=cast.as_("stella"))
    assert facts() == before


def test_the_client_of_a_directory_has_no_other_scope(cast: Cast) -> None:
    with pytest.raises(Unacceptable):
        operations.create_client(name="Directory", scopes=[SCOPE, "provision"], actor=cast.as_("stella"))
    client = cast.own_client("Directory", [str(SCOPE)]).row
    with pytest.raises(Unacceptable):
        operations.change_client(client.pk, scopes=[SCOPE, "grants:read"], actor=cast.as_("stella"))


@pytest.mark.parametrize("who", ["maker", "holder", "reader"])
def test_everybody_who_could_use_the_client_must_be_staff(cast: Cast, who: str) -> None:
    cast.colleague()
    client = cast.own_client("Directory", [str(SCOPE)]).row
    if who == "holder":
        operations.rotate_client_secret(client.pk, actor=cast.as_("sten"))
    reader = "sten" if who == "reader" else "stella"
    made = operations.make_lasting_token(client.pk, days=30, actor=cast.as_(reader))
    assert made.row.made_by == cast.people[reader]
    calls = Caller(made.secret)
    assert calls.post(USERS, ours()).status_code == 201
    gone = cast.stella if who == "maker" else cast.sten
    Person.objects.filter(pk=gone.pk).update(is_staff=False)
    before = facts()
    assert calls.post(USERS, ours("hugo")).status_code == 403
    assert facts() == before


def test_a_long_lived_token_of_unknown_origin_changes_nothing(cast: Cast) -> None:
    client = cast.own_client("Directory", [str(SCOPE)]).row
    made = operations.make_lasting_token(client.pk, days=30, actor=cast.as_("stella"))
    Token.objects.filter(pk=made.row.pk).update(made_by=None)
    assert Caller(made.secret).post(USERS, ours()).status_code == 403


def test_every_customer_finds_in_its_log_who_took_a_secret_of_the_directory(cast: Cast) -> None:
    client = cast.own_client("Directory", [str(SCOPE)]).row
    operations.make_lasting_token(client.pk, days=30, actor=cast.as_("stella"))
    operations.rotate_client_secret(client.pk, actor=cast.as_("stella"))
    for event in ("client.token_made", "client.secret_rotated"):
        logs = set(AuditEntry.objects.filter(event=event).values_list("tenant_id", flat=True))
        assert logs == {PROVIDER_LOG, cast.contoso.pk, cast.fabrikam.pk}


def test_a_removed_client_manages_nobody(cast: Cast, caller: Caller) -> None:
    operations.remove_client(
        Token.objects.get(account__client__tenant=None).account.client.pk, actor=cast.as_("stella")
    )
    before = facts()
    assert caller.post(USERS, ours()).status_code == 401
    assert facts() == before
