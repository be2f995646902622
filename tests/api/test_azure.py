"""Azure's contract, called in the way in which scripts for Azure call it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import AccessRequest, Decision, Grant, OutboxMessage, Tenant
from tests.caller import Caller
from tests.cast import JUSTIFICATION, Cast
from tests.offenders import collected

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]
VERSION = "api-version=2018-02-28-preview"
HERE = "/providers/Microsoft.CustomerLockbox"


def of(tenant: Any) -> str:
    return f"/subscriptions/{tenant.pk}{HERE}/requests"


def one(row: AccessRequest, what: str = "") -> str:
    return f"{of(row.tenant)}/{row.pk}{what}?{VERSION}"


def decide(caller: Caller, row: AccessRequest, **body: Any) -> Any:
    return caller.post(one(row, "/updateApproval"), body)


def error_of(response: Any) -> tuple[int, str]:
    assert response["Content-Type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"code", "message", "target", "additionalInfo"}
    return response.status_code, error["code"]


# --- Reading -------------------------------------------------------------------------------------------------


def test_one_access_request_has_the_members_and_types_of_the_contract(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed(window_for=1800)
    found = calling("ada").get(one(row))
    assert found.status_code == 200
    instants = [found.json()["properties"].pop(name) for name in ("createdDateTime", "expirationDateTime")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", each) for each in instants)
    assert found.json() == {
        "id": f"{of(cast.contoso)}/{row.pk}",
        "name": f"LockboxRequest_{row.pk}",
        "type": "requests",
        "properties": {
            "requestId": str(row.pk),
            "justification": JUSTIFICATION,
            "status": "Pending",
            "duration": "0.5",
            "resourceIds": str(cast.resource().pk),
            "resourceType": "exchange-online/mailbox",
            "supportRequest": row.ticket.reference,
            "supportCaseUrl": f"http://localhost:8000/tickets/{row.ticket_id}/",
            "workItemSource": "customer_ticket",
            "subscriptionId": str(cast.contoso.pk),
        },
    }


def test_a_caller_reads_that_things_can_be_changed(cast: Cast, calling: Calling) -> None:
    """Azure has no field for the level, and a caller that knows only Azure must not approve it as a smaller one."""
    cast.with_act_as()
    ticket = cast.ticket(service_id=cast.quillo().pk)
    for level, mark in (("act_as", "[Can change things] "), ("read", "")):
        row = cast.confirmed(ticket=ticket, level=level)
        found = calling("ada").get(one(row)).json()["properties"]["justification"]
        assert found == f"{mark}{JUSTIFICATION}"


def test_several_resources_are_one_text(cast: Cast, calling: Calling) -> None:
    ids = [cast.resource().pk, cast.resource(name="sales").pk]
    row = cast.confirmed(resource_ids=ids)
    assert calling("ada").get(one(row)).json()["properties"]["resourceIds"] == f"{ids[0]},{ids[1]}"
    assert calling("ada").get(one(row)).json()["properties"]["duration"] == "2"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("PENDING_PROVIDER", "Initializing"),
        ("PENDING_CUSTOMER", "Pending"),
        ("OPEN", "Approved"),
        ("DENIED", "Denied"),
        ("EXPIRED", "Expired"),
        ("WITHDRAWN", "Unknown"),
        ("CLOSED", "Completed"),
    ],
)
def test_every_state_has_its_status_and_is_found_by_it(cast: Cast, calling: Calling, state: str, status: str) -> None:
    row, ada = cast.in_state(state), calling("ada")
    other = cast.submitted() if status != "Initializing" else cast.confirmed()
    assert ada.get(one(row)).json()["properties"]["status"] == status
    found = ada.get(of(cast.contoso), {"$filter": f"properties/status eq '{status}'"}).json()["value"]
    assert [each["properties"]["requestId"] for each in found] == [str(row.pk)]
    everything = ada.get(of(cast.contoso)).json()["value"]
    assert {each["properties"]["requestId"] for each in everything} == {str(row.pk), str(other.pk)}


def test_a_window_that_somebody_closed_is_revoked(cast: Cast, calling: Calling) -> None:
    grant, ada = cast.opened(), calling("ada")
    row = operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert ada.get(one(row)).json()["properties"]["status"] == "Revoked"
    for status, count in (("Revoked", 1), ("Completed", 0)):
        assert len(ada.get(of(cast.contoso), {"$filter": f"properties/status eq '{status}'"}).json()["value"]) == count


def test_the_status_is_what_holds_though_no_sweep_has_run(cast: Cast, calling: Calling, travel: Any) -> None:
    grant, ada = cast.opened(), calling("ada")
    travel.to(grant.closes_at)
    assert ada.get(one(grant.access_request)).json()["properties"]["status"] == "Completed"
    for status, count in (("Approved", 0), ("Completed", 1)):
        assert len(ada.get(of(cast.contoso), {"$filter": f"properties/status eq '{status}'"}).json()["value"]) == count


@pytest.mark.parametrize("status", ["Approving", "Denying", "Revoking", "Error", "Completing"])
def test_a_status_that_nothing_here_has_finds_nothing(cast: Cast, calling: Calling, status: str) -> None:
    cast.confirmed()
    found = calling("ada").get(of(cast.contoso), {"$filter": f"properties/status eq '{status}'"})
    assert (found.status_code, found.json()) == (200, {"value": []})


def test_status_is_the_only_filter(cast: Cast, calling: Calling) -> None:
    cases = [
        "",
        "Pending",
        "properties/status eq Pending",
        "properties/status eq 'PENDING_CUSTOMER'",
        "properties/status ne 'Pending'",
        "properties/status eq 'Pending' or 1 eq 1",
        "properties/justification eq 'x'",
        "properties/status eq 'Pending'' or ''x'",
        "\x00",
    ]
    ada = calling("ada")
    with collected() as case:
        for wanted in cases:
            with case(wanted):
                found = ada.get(of(cast.contoso), {"$filter": wanted})
                assert error_of(found) == (400, "InvalidFilterInQueryString")


def test_a_long_list_is_read_by_its_next_links(cast: Cast, calling: Calling, travel: Any) -> None:
    ticket, ada, wanted = cast.ticket(), calling("ada"), []
    for _ in range(52):
        row = cast.submitted(ticket=ticket)
        operations.withdraw(row.pk, actor=cast.as_("priya"))
        wanted.append(str(row.pk))
        travel.by(minutes=10)  # an engineer can submit only this number within an hour
    first = calling("ada").get(of(cast.contoso), {"$filter": "properties/status eq 'Unknown'"}).json()
    assert (len(first["value"]), "%24skiptoken=" in first["nextLink"]) == (50, True)
    last = ada.get(first["nextLink"]).json()
    assert set(last) == {"value"}
    found = [each["properties"]["requestId"] for each in first["value"] + last["value"]]
    assert found == wanted[::-1]
    assert error_of(ada.get(of(cast.contoso), {"$skiptoken": "rubbish"})) == (400, "BadRequest")


def test_the_queries_of_a_list_do_not_grow_with_its_rows(cast: Cast, calling: Calling, travel: Any) -> None:
    ada, counts = calling("ada"), []
    ada.get("me")
    travel.freeze()
    for _ in range(2):
        for _ in range(3):
            cast.submitted()
        with CaptureQueriesContext(connection) as queries:
            assert ada.get(of(cast.contoso)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_an_access_request_is_absent_under_another_tenants_id(cast: Cast, calling: Calling) -> None:
    row, pat = cast.confirmed(), calling("pat")
    pat.step_up()
    assert pat.get(one(row)).status_code == 200
    path = f"{of(cast.fabrikam)}/{row.pk}"
    assert error_of(pat.get(f"{path}?{VERSION}")) == (404, "ResourceNotFound")
    assert error_of(pat.post(f"{path}/updateApproval?{VERSION}", {"status": "Deny", "reason": "x"}))[0] == 404


def test_the_provider_reads_of_a_tenant_what_is_in_its_queues(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    for name in ("priya", None):
        found = calling(name).get(of(row.tenant))
        assert (found.status_code, len(found.json()["value"])) == (200, 1)
    assert error_of(calling("samir").get(of(row.tenant))) == (404, "ResourceNotFound")


# --- The version ---------------------------------------------------------------------------------------------


def test_the_version_is_required_except_on_the_list(cast: Cast, calling: Calling) -> None:
    row, ines = cast.confirmed(), calling("ines")
    without = (
        ("get", f"{HERE}/operations"),
        ("get", f"{HERE}/tenantOptedIn/{cast.contoso.pk}"),
        ("post", f"{HERE}/enableLockbox"),
        ("post", f"{HERE}/disableLockbox"),
        ("get", f"{of(cast.contoso)}/{row.pk}"),
        ("post", f"{of(cast.contoso)}/{row.pk}/updateApproval"),
    )
    for method, path in without:
        assert error_of(ines(method, path)) == (400, "MissingApiVersionParameter"), path
        assert error_of(ines(method, f"{path}?api-version=2020-01-01")) == (400, "InvalidApiVersionParameter")
    assert ines.get(of(cast.contoso)).status_code == 200
    assert error_of(ines.get(f"{of(cast.contoso)}?api-version=2020-01-01")) == (400, "InvalidApiVersionParameter")
    assert Tenant.objects.get(pk=cast.contoso.pk).lockbox_on


@pytest.mark.parametrize("query", ["$top=5", "api_version=x", "$filter=properties/status eq 'Pending'"])
def test_a_parameter_that_is_not_there_is_refused(cast: Cast, calling: Calling, query: str) -> None:
    found = calling("ada").get(f"{HERE}/operations?{VERSION}&{query}")
    assert error_of(found) == (400, "InvalidQueryParameter")


# --- Deciding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["status", "decision"])
@pytest.mark.parametrize(("word", "state"), [("Approve", "OPEN"), ("Deny", "DENIED")])
def test_a_person_approves_after_the_password_and_denies_without_it(
    cast: Cast, calling: Calling, member: str, word: str, state: str
) -> None:
    row, ada = cast.confirmed(), calling("ada", fresh=False)
    if word == "Approve":
        refused = decide(ada, row, **{member: word}, reason="Seen.")
        assert error_of(refused) == (403, "StepUpRequired")
        assert (Decision.objects.filter(stage="customer").count(), Grant.objects.count()) == (0, 0)
        ada.step_up()
    found = decide(ada, row, **{member: word}, reason="Seen.")
    assert (found.status_code, found.json()) == (200, {"status": word, "reason": "Seen."})
    row.refresh_from_db()
    assert (row.state, Decision.objects.get(stage="customer").comment) == (state, "Seen.")


def test_a_client_decides_where_it_was_allowed_to(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    refused = decide(calling("contoso"), row, status="Approve", reason="By rule.")
    assert error_of(refused) == (403, "MachineMayNotDecide")
    assert not Grant.objects.exists()
    found = decide(calling("contoso", decides_for_id=cast.alan.pk), row, status="Approve", reason="By rule.")
    assert found.status_code == 200
    entry = AuditEntry.objects.get(event="access_request.approved_by_customer")
    assert (entry.actor_kind, entry.door) == ("client", "api")


def test_a_decided_access_request_shows_its_status(cast: Cast, calling: Calling) -> None:
    row, alan = cast.confirmed(), calling("alan")
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    alan.step_up()
    found = decide(alan, row, status="Deny", reason="Too late.")
    assert error_of(found) == (409, "Conflict")
    [more] = found.json()["error"]["additionalInfo"]
    assert more["info"] == {"currentStatus": "Approved"}
    row.refresh_from_db()
    assert row.state == "OPEN"


def test_an_approval_at_the_deadline_is_late(cast: Cast, calling: Calling, travel: Any) -> None:
    row, ada = cast.confirmed(), calling("ada")
    travel.to(row.decide_by)
    ada.step_up()
    found = decide(ada, row, status="Approve", reason="Now.")
    assert error_of(found) == (409, "DeadlinePassed")
    assert found.json()["error"]["additionalInfo"][0]["info"] == {"currentStatus": "Expired"}
    assert not Grant.objects.exists()


def test_a_denial_needs_a_reason_from_the_provider_but_not_from_the_customer(cast: Cast, calling: Calling) -> None:
    row, pat, ada = cast.submitted(), calling("pat"), calling("ada")
    pat.step_up()
    ada.step_up()
    refused = decide(pat, row, status="Deny")
    assert error_of(refused)[0] == 422
    row.refresh_from_db()
    assert row.state == "PENDING_PROVIDER"
    assert decide(pat, row, status="Approve").status_code == 200
    assert decide(ada, row, status="Deny").json() == {"status": "Deny", "reason": ""}


def test_a_body_that_says_something_else_is_refused_and_does_nothing(cast: Cast, calling: Calling) -> None:
    cases: list[Any] = [
        {},
        {"reason": "x"},
        {"status": "Approved"},
        {"status": "approve"},
        {"status": True},
        {"status": "Approve", "decision": "Deny"},
        {"status": "Approve", "reason": 5},
        {"status": "Approve", "state": "OPEN"},
        {"status": "Approve", "closes_at": "2030-01-01T00:00:00Z"},
        [],
    ]
    row, ada = cast.confirmed(), calling("ada")
    ada.step_up()
    entries, messages = AuditEntry.objects.count(), OutboxMessage.objects.count()
    with collected() as case:
        for body in cases:
            with case(body):
                found = ada.post(one(row, "/updateApproval"), body)
                assert error_of(found) == (422, "InvalidRequestContent")
                row.refresh_from_db()
                assert row.state == "PENDING_CUSTOMER"
                assert (AuditEntry.objects.count(), OutboxMessage.objects.count()) == (entries, messages)


def test_a_fault_of_the_body_names_its_member(cast: Cast, calling: Calling) -> None:
    row, ada = cast.confirmed(), calling("ada")
    error = ada.post(one(row, "/updateApproval"), {"status": "Approved"}).json()["error"]
    assert error["target"] == "status"
    assert "status: " in error["message"]


@pytest.mark.parametrize(("name", "status"), [("otto", 403), ("mia", 403), ("ines", 403), ("frida", 404)])
def test_a_caller_without_the_right_does_not_decide(cast: Cast, calling: Calling, name: str, status: int) -> None:
    row, caller = cast.confirmed(), calling(name)
    caller.step_up()
    assert error_of(decide(caller, row, status="Approve", reason="x"))[0] == status
    row.refresh_from_db()
    assert (row.state, Grant.objects.exists()) == ("PENDING_CUSTOMER", False)


def test_the_same_call_with_its_key_is_done_once(cast: Cast, calling: Calling) -> None:
    row, ada = cast.confirmed(), calling("ada")
    ada.step_up()
    path, body = one(row, "/updateApproval"), {"status": "Approve", "reason": "Seen."}
    answers = [ada.post(path, body, Idempotency_Key="one") for _ in range(2)]
    assert [each.json() for each in answers] == [body, body]
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert Decision.objects.filter(stage="customer").count() == 1


# --- Lockbox on and off --------------------------------------------------------------------------------------


def test_an_administrator_switches_their_own_tenant(cast: Cast, calling: Calling) -> None:
    ines = calling("ines")
    state = f"{HERE}/tenantOptedIn/{cast.contoso.pk}?{VERSION}"
    assert ines.get(state).json() == {"isOptedIn": True}
    off = ines.post(f"{HERE}/disableLockbox?{VERSION}")
    assert (off.status_code, off.content) == (200, b"")
    assert ines.get(state).json() == {"isOptedIn": False}
    assert ines.post(f"{HERE}/disableLockbox?{VERSION}").status_code == 200
    assert ines.post(f"{HERE}/enableLockbox?{VERSION}").status_code == 200
    assert ines.post(f"{HERE}/enableLockbox?{VERSION}").status_code == 200
    assert ines.get(state).json() == {"isOptedIn": True}
    events = AuditEntry.objects.filter(event__startswith="lockbox.").order_by("pk").values_list("event", "door")
    assert list(events) == [("lockbox.switched_off", "api"), ("lockbox.switched_on", "api")]


def test_a_call_without_a_body_and_its_type_is_taken(cast: Cast, calling: Calling) -> None:
    headers = {"Authorization": f"Bearer {calling('ines').secret}"}
    assert Browser().generic("POST", f"{HERE}/disableLockbox?{VERSION}", headers=headers).status_code == 200


@pytest.mark.parametrize(("name", "status"), [("ada", 403), ("otto", 403), ("stella", 400), ("pat", 400), (None, 403)])
def test_nobody_else_switches_a_tenant(cast: Cast, calling: Calling, name: str | None, status: int) -> None:
    assert error_of(calling(name).post(f"{HERE}/disableLockbox?{VERSION}"))[0] == status
    assert Tenant.objects.filter(lockbox_on=True).count() == 2


def test_a_caller_with_several_tenants_must_use_another_route(cast: Cast, calling: Calling) -> None:
    fields = {"role": "administrator", "given_at": cast.ines.created_at}
    cast.fabrikam.memberships.create(person=cast.ines, **fields)
    assert error_of(calling("ines").post(f"{HERE}/disableLockbox?{VERSION}")) == (400, "BadRequest")
    assert Tenant.objects.filter(lockbox_on=True).count() == 2


def test_a_plan_without_lockbox_has_no_switch(cast: Cast, calling: Calling) -> None:
    assert error_of(calling("noah").post(f"{HERE}/enableLockbox?{VERSION}"))[0] == 422
    assert not Tenant.objects.get(pk=cast.northwind.pk).lockbox_on


# --- The rest ------------------------------------------------------------------------------------------------


def test_the_operations_are_listed(cast: Cast, calling: Calling) -> None:
    found = calling("mia").get(f"{HERE}/operations?{VERSION}").json()
    assert "Microsoft.CustomerLockbox/requests/read" in [each["name"] for each in found["value"]]
    assert all(each["isDataAction"] == "false" and each["display"]["description"] for each in found["value"])


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("get", "{of}", Scope.REQUESTS_READ),
        ("get", "{of}/{row}", Scope.REQUESTS_READ),
        ("post", "{of}/{row}/updateApproval", Scope.DECISIONS_WRITE),
        ("get", HERE + "/tenantOptedIn/{tenant}", Scope.TENANT_READ),
        ("post", HERE + "/enableLockbox", Scope.TENANT_MANAGE),
        ("post", HERE + "/disableLockbox", Scope.TENANT_MANAGE),
    ],
)
def test_each_needs_its_scope(cast: Cast, calling: Calling, method: str, path: str, scope: Scope) -> None:
    row = cast.confirmed()
    path = path.format(of=of(cast.contoso), row=row.pk, tenant=cast.contoso.pk)
    others = frozenset(Scope) - {scope}
    for name in ("ada", "ines"):
        refused = calling(name, *others)(method, f"{path}?{VERSION}")
        assert error_of(refused) == (403, "AuthorizationFailed")
        assert f'scope="{scope}"' in refused["WWW-Authenticate"]


@pytest.mark.parametrize("secret", ["", "rubbish"])
def test_without_a_token_there_is_an_error_of_the_contract(cast: Cast, secret: str) -> None:
    found = Caller(secret).get(f"{HERE}/operations?{VERSION}")
    assert error_of(found) == (401, "InvalidAuthenticationToken")
    assert found["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    "path",
    [
        f"{HERE}/nothing",
        "/providers/Microsoft.Compute/operations",
        "/subscriptions/x/providers/Microsoft.CustomerLockbox/requests",
        f"{HERE}/tenantOptedIn/x",
    ],
)
def test_an_unknown_path_gets_an_error_of_the_contract(cast: Cast, calling: Calling, path: str) -> None:
    assert error_of(calling("ada").get(f"{path}?{VERSION}")) == (404, "ResourceNotFound")


def test_a_method_that_a_route_does_not_take_is_refused_in_its_shape(cast: Cast, calling: Calling) -> None:
    assert error_of(calling("ines").get(f"{HERE}/enableLockbox?{VERSION}")) == (405, "MethodNotAllowed")
