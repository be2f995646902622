"""A client of the provider sets up tenants, plans, services, resources and the provider's people over the API."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.urls import URLPattern

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.domain.scopes import Scope
from requests_app.doors.api import urls
from requests_app.messages.mails._invitations import invited
from requests_app.models import (
    AccessRequest,
    Client,
    Invitation,
    OutboxMessage,
    Person,
    Plan,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
)
from tests.caller import Caller, access_token, caller_for, client_of
from tests.cast import Cast, events_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def importer(cast: Cast) -> Caller:
    """Return a client of the provider that can provision, and read what it set up."""
    client, secret = client_of(cast, None, Scope.PROVISION, Scope.TENANT_READ)
    return Caller(access_token(client, secret).json()["access_token"])


def counts() -> dict[str, int]:
    """Return how many rows of each kind there are that provisioning could add."""
    kinds: tuple[Any, ...] = (Tenant, Plan, Service, Resource, QueueAssignment, Proposal, OutboxMessage)
    return {kind.__name__: kind.objects.count() for kind in kinds}


def test_a_tenant_is_set_up_with_its_resources(cast: Cast, importer: Caller) -> None:
    plan = importer.get("plans", {"name": "E5"}).json()["items"][0]["id"]
    body = {"name": "Adatum", "short_name": "adatum", "plan": plan, "time_zone": "Europe/Berlin", "external_id": "C-1"}
    made = importer.post("tenants", body)
    assert made.status_code == 201
    row = Tenant.objects.get(slug="adatum")
    assert made["Location"].endswith(f"/api/v1/tenants/{row.pk}")
    assert (made.json()["id"], made.json()["external_id"], made.json()["is_active"]) == (str(row.pk), "C-1", True)
    assert importer.get("tenants", {"external_id": "C-1"}).json()["items"] == [{"id": str(row.pk), "name": "Adatum"}]
    mailbox = {"service": str(cast.exchange.pk), "kind": "mailbox", "name": "Legal", "locator": "adatum/mail/legal"}
    path = f"tenants/{row.pk}/resources"
    first = importer.post(path, {**mailbox, "external_id": "M-1"})
    assert first.status_code == 201
    again = importer.post(path, {**mailbox, "external_id": "M-1", "name": "Law"})
    assert (again.status_code, again.json()["id"], again.json()["name"]) == (200, first.json()["id"], "Law")
    assert [each["name"] for each in importer.get(path, {"external_id": "M-1"}).json()["items"]] == ["Law"]
    assert importer.patch(f"{path}/{first.json()['id']}", {"is_active": False}).json()["is_active"] is False
    assert events_in(row) == ["tenant.created", "resource.added", "resource.changed", "resource.changed"]


def view_of(route: Any) -> Any:
    return getattr(route.callback, "view_class", None) if isinstance(route, URLPattern) else None


@pytest.mark.parametrize("leaver", ["maker", "holder"])
@pytest.mark.parametrize("how", ["switched off", "no longer staff"])
def test_a_client_of_somebody_who_left_reads_nothing_that_it_could_provision(
    cast: Cast, importer: Caller, leaver: str, how: str
) -> None:
    other = cast.colleague()
    client = Client.objects.get(account__is_active=True, tenant=None)
    if leaver == "holder":
        Client.objects.filter(pk=client.pk).update(secret_by=other)
    person = client.created_by if leaver == "maker" else other
    routes = [each for each in urls.v1 if getattr(view_of(each), "scopes", {}).get("GET") is Scope.PROVISION]
    paths = [re.sub(r"<uuid:\w+>", str(person.pk), str(each.pattern)) for each in routes]
    assert len(paths) >= 6
    before = [importer.get(path).status_code for path in paths]
    assert set(before) <= {200, 404}
    assert before.count(200) >= 3
    Person.objects.filter(pk=person.pk).update(**{"is_active" if how == "switched off" else "is_staff": False})
    answers = [importer.get(path) for path in paths]
    assert {answer.status_code for answer in answers} == {403}
    assert {"no longer staff" in answer.content.decode() for answer in answers} == {True}
    # What this client reads with another scope is not for provisioning alone.
    assert importer.get("tenants").status_code == 200


def test_the_same_call_with_the_same_key_sets_up_one_tenant(cast: Cast, importer: Caller) -> None:
    body = {"name": "Adatum", "short_name": "adatum", "plan": str(cast.contoso.plan_id)}
    answers = [importer.post("tenants", body, Idempotency_Key="k-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert Tenant.objects.filter(slug="adatum").count() == 1


def test_a_change_that_weakens_a_customer_is_answered_with_202_and_can_be_followed(
    cast: Cast, importer: Caller
) -> None:
    calls = [
        lambda: importer.post("services", {"key": "lab", "name": "Lab", "connector": "folder", "is_covered": False}),
        lambda: importer.patch(f"services/{cast.exchange.pk}", {"is_covered": False}),
        lambda: importer.patch(f"services/{cast.exchange.pk}", {"connector": "folder"}),
        lambda: importer.patch(f"services/{cast.exchange.pk}", {"name": "SharePoint"}),
        lambda: importer.patch(f"plans/{cast.contoso.plan_id}", {"includes_lockbox": False}),
        lambda: importer.post(
            f"tenants/{cast.contoso.pk}/change", {"plan": str(Plan.objects.get(includes_lockbox=False).pk)}
        ),
        lambda: importer.post(f"tenants/{cast.contoso.pk}/switch-off"),
        lambda: importer.patch(
            f"tenants/{cast.contoso.pk}/resources/{cast.resource().pk}", {"locator": "contoso/mail/chief"}
        ),
        lambda: importer.post(
            f"provider/people/{cast.samir.pk}/give-role", {"role": "engineer", "service": str(cast.exchange.pk)}
        ),
    ]
    before = counts()
    for number, call in enumerate(calls, 1):
        answer = call()
        assert (answer.status_code, answer.json()["code"]) == (202, "change_proposed"), number
        shown = importer.get(f"provider/proposed-changes/{answer.json()['current']['proposal']}").json()
        assert (shown["client"]["name"], shown["proposed_by"]["name"]) == ("Help desk", "Stella Test")
        assert (shown["ended_at"], shown["outcome"]) == (None, "")
        assert Proposal.objects.count() == number
        repeated = call()
        assert (repeated.status_code, Proposal.objects.count()) == (409, number), "it is proposed once"
    assert len(importer.get("provider/proposed-changes", {"is_open": "true"}).json()["items"]) == len(calls)
    assert {**counts(), "Proposal": 0, "OutboxMessage": 0} == {**before, "Proposal": 0, "OutboxMessage": 0}
    assert Service.objects.get(pk=cast.exchange.pk).is_covered
    assert Tenant.objects.get(pk=cast.contoso.pk).is_active


def test_what_ends_access_or_adds_protection_is_done_immediately(cast: Cast, importer: Caller) -> None:
    assert importer.post("services", {"key": "lab", "name": "Lab", "connector": "folder"}).status_code == 201
    assert importer.post("plans", {"name": "E7", "includes_lockbox": False}).status_code == 201
    assert importer.patch(f"services/{cast.sharepoint.pk}", {"is_active": False}).json()["is_active"] is False
    path = f"provider/people/{cast.erik.pk}"
    taken = importer.post(f"{path}/take-role", {"role": "engineer", "service": str(cast.exchange.pk)})
    assert (taken.status_code, taken.json()["roles"]) == (200, [])
    assert importer.post(f"{path}/switch-off").json()["is_active"] is False
    assert importer.post(f"{path}/switch-on").json()["is_active"] is True, "without a role, this gives nothing"
    assert not Proposal.objects.exists()


def test_the_providers_people_are_listed_with_their_roles(cast: Cast, importer: Caller) -> None:
    found = importer.get("provider/people", {"role": "engineer", "service": str(cast.exchange.pk)}).json()["items"]
    assert [each["name"] for each in found] == ["Bea Test", "Erik Test", "Priya Test"]
    one = importer.get("provider/people", {"email": "erik@provider.example"}).json()["items"][0]
    assert [(each["role"], each["service"]["key"]) for each in one["roles"]] == [("engineer", "exchange-online")]
    assert importer.get(f"provider/people/{cast.ada.pk}").status_code == 404, "she belongs to a customer"


def test_a_client_switches_no_customers_people_off_with_this_scope(cast: Cast, importer: Caller) -> None:
    assert importer.post(f"tenants/{cast.contoso.pk}/members/{cast.mia.pk}/switch-off").status_code == 403
    assert importer.post(f"provider/people/{cast.mia.pk}/switch-off").status_code == 404
    assert Person.objects.get(pk=cast.mia.pk).is_active


@pytest.mark.parametrize("who", ["contoso", "ines", "ada", "priya", "pat"])
def test_nobody_but_staff_provisions(cast: Cast, who: str) -> None:
    """A customer's client can't even have the scope. Their people have tokens with it, and are refused."""
    caller = caller_for(cast, who)
    mailbox = {"service": str(cast.exchange.pk), "kind": "mailbox", "name": "Mine", "locator": "contoso/mail/mine"}
    tenant, before = f"tenants/{cast.contoso.pk}", counts()
    answers = [
        caller.post("tenants", {"name": "Mine", "short_name": "mine", "plan": str(cast.contoso.plan_id)}),
        caller.post("plans", {"name": "Mine", "includes_lockbox": True}),
        caller.patch(f"plans/{cast.contoso.plan_id}", {"name": "Mine"}),
        caller.post("services", {"key": "mine", "name": "Mine", "connector": "folder"}),
        caller.patch(f"services/{cast.exchange.pk}", {"is_active": False}),
        caller.post(f"{tenant}/change", {"name": "Mine"}),
        caller.post(f"{tenant}/switch-off"),
        caller.post(f"{tenant}/resources", mailbox),
        caller.patch(f"{tenant}/resources/{cast.resource().pk}", {"is_active": False}),
        caller.post(f"provider/people/{cast.erik.pk}/switch-off"),
        caller.post(f"provider/people/{uuid4()}/switch-off"),
    ]
    assert {answer.status_code for answer in answers} <= {403, 404}
    assert answers[-1].status_code == answers[-2].status_code
    assert caller.get("plans").json().get("items", []) == []
    assert caller.get("provider/people").json().get("items", []) == []
    assert caller.get("provider/proposed-changes").json().get("items", []) == []
    assert counts() == before
    assert Resource.objects.get(pk=cast.resource().pk).is_active
    changes = [
        "tenant.changed",
        "tenant.created",
        "plan.changed",
        "service.changed",
        "resource.added",
        "resource.changed",
    ]
    assert not AuditEntry.objects.filter(event__in=changes).exists()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("tenants", {"name": "A", "short_name": "a b", "plan": "{plan}"}, "short_name"),
        ("tenants", {"name": "A", "short_name": "contoso", "plan": "{plan}"}, "short_name"),
        ("tenants", {"name": "A", "short_name": "a", "plan": str(uuid4())}, "plan"),
        ("tenants", {"name": "A", "short_name": "a", "plan": "{plan}", "time_zone": "Mars"}, "time_zone"),
        ("tenants", {"name": "A", "short_name": "a", "plan": "{plan}", "lockbox_on": True}, "lockbox_on"),
        ("services", {"key": "a", "name": "A", "connector": "nothing"}, "connector"),
        ("plans", {"name": "", "includes_lockbox": True}, "name"),
        ("plans", {"name": "A", "includes_lockbox": "yes"}, "includes_lockbox"),
    ],
)
def test_a_body_that_is_not_allowed_names_the_field(
    cast: Cast, importer: Caller, path: str, body: dict[str, Any], field: str
) -> None:
    before = counts()
    sent = {name: str(cast.contoso.plan_id) if value == "{plan}" else value for name, value in body.items()}
    answer = importer.post(path, sent)
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field])
    assert counts() == before


@pytest.mark.parametrize("locator", ["fabrikam/mail/x", "contoso/../fabrikam", "contoso"])
def test_a_resource_outside_the_tenants_root_is_refused(cast: Cast, importer: Caller, locator: str) -> None:
    before = counts()
    body = {"service": str(cast.exchange.pk), "kind": "mailbox", "name": "X", "locator": locator}
    answer = importer.post(f"tenants/{cast.contoso.pk}/resources", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "locator")
    assert counts() == before


def test_a_service_that_is_switched_off_ends_its_access_and_gets_no_more(cast: Cast, importer: Caller) -> None:
    waiting, grant = cast.submitted(), cast.opened()
    other = cast.submitted("fabrikam")
    assert importer.patch(f"services/{cast.exchange.pk}", {"is_active": False}).status_code == 200
    states = {row.pk: row.state for row in AccessRequest.objects.all()}
    assert states == {waiting.pk: "WITHDRAWN", grant.access_request_id: "CLOSED", other.pk: "WITHDRAWN"}
    grant.refresh_from_db()
    assert grant.closed_at is not None
    assert events_in(cast.contoso)[-3:].count("access_request.withdrawn") == 1
    assert "service.changed" in events_in(cast.contoso)
    assert importer.patch(f"services/{cast.exchange.pk}", {"is_active": True}).status_code == 200
    assert AccessRequest.objects.exclude(state__in=["WITHDRAWN", "CLOSED"]).count() == 0, "nothing is restored"


NEW, PHRASE = "new@provider.example", "a long and unheard-of phrase 7"


def invites(cast: Cast, caller: Caller, **more: Any) -> Any:
    wanted = {"email": NEW, "role": "engineer", "services": [str(cast.exchange.pk)], **more}
    return caller.post("provider/people", wanted)


def accepted(cast: Cast) -> Person:
    """Accept the invitation with the link in its mail."""
    row = Invitation.objects.get(email=NEW)
    secret, actor = cast.link_of(row), Actor.stranger(door="pages")
    return operations.accept_invitation(secret, name="New Person", password=PHRASE, actor=actor)


def test_a_client_invites_an_engineer_and_the_mail_names_the_client_and_its_human(cast: Cast, importer: Caller) -> None:
    cast.peaceful()
    answer = invites(cast, importer, time_zone="Europe/Oslo")
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["invited_by"], shown["client"], shown["proposal"]) == ("Stella Test", "Help desk", None)
    mail = str(invited(OutboxMessage.objects.get(topic="notify.invitation"), clock.now()))
    assert "the API client Help desk of Stella Test, on the staff of" in mail
    entry = AuditEntry.objects.get(event="invitation.sent")
    detail = json.loads(bytes(entry.canonical))["detail"]
    assert (entry.actor_kind, entry.actor_name, detail["holder"]) == ("client", "Help desk", "Stella Test")
    person = accepted(cast)
    assert list(person.queue_assignments.values_list("service__key", "role")) == [("exchange-online", "engineer")]
    assert (person.is_staff, person.time_zone) == (False, "Europe/Oslo")


def test_after_the_first_lockbox_the_role_waits_for_a_human_who_is_not_of_the_client(
    cast: Cast, importer: Caller, travel: Any
) -> None:
    cast.colleague()
    proposal = Proposal.objects.get(pk=invites(cast, importer, role="provider_approver").json()["proposal"])
    assert (proposal.act, proposal.proposed_by, proposal.proposed_through.name) == (
        "invite_to_queues", cast.stella, "Help desk",
    )  # fmt: skip
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(proposal.pk, actor=cast.as_("stella"))
    person = accepted(cast)
    assert not person.queue_assignments.exists()
    operations.confirm_proposal(proposal.pk, actor=cast.as_("sten"))
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    operations.apply_due(actor=cast.system("sweep"), limit=10)
    assert list(person.queue_assignments.values_list("role", flat=True)) == ["provider_approver"]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"role": "staff"}, 422),
        ({"role": "approver"}, 422),
        ({"services": []}, 422),
        ({"is_staff": True}, 422),
        ({"email": "erik@provider.example"}, 422),
        ({"time_zone": "Mars"}, 422),
    ],
)
def test_a_client_makes_nobody_staff_and_invites_nobody_twice(
    cast: Cast, importer: Caller, more: dict[str, Any], status: int
) -> None:
    before = (counts(), Invitation.objects.count())
    assert invites(cast, importer, **more).status_code == status
    assert (counts(), Invitation.objects.count()) == before


def test_the_link_stops_working_when_nobody_answers_for_the_client(cast: Cast, importer: Caller) -> None:
    cast.peaceful()
    invites(cast, importer)
    row = Invitation.objects.get(email=NEW)
    client = Client.objects.get(account=row.invited_through_id)
    operations.remove_client(client.pk, actor=cast.as_("stella"))
    with pytest.raises(NotFound):
        accepted(cast)
    assert not Person.objects.get_queryset().filter(email=NEW).exists()
