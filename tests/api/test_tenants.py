"""Tenants over the API: their settings, who can change them, and who gets mail about a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import NotificationAddress, OutboxMessage, Tenant
from tests.caller import Caller
from tests.cast import QUILLO, Cast, events_in
from tests.offenders import collected

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]


def of(cast: Cast, rest: str = "") -> str:
    return f"tenants/{cast.contoso.pk}{rest}"


def items(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["items"]
    return found


def last_entry(cast: Cast) -> tuple[str, str, dict[str, Any]]:
    """Return the event, interface and detail of the newest entry in Contoso's log."""
    found = json.loads(bytes(AuditEntry.objects.filter(tenant_id=cast.contoso.pk).latest("seq").canonical))
    return found["event"], found["door"], found["detail"]


# --- Reading -------------------------------------------------------------------------------------------------


def test_a_tenant_is_read_as_its_page_shows_it(cast: Cast, calling: Calling) -> None:
    found = calling("mia").get(of(cast)).json()
    assert found.pop("created_at")
    assert found == {
        "id": str(cast.contoso.pk),
        "name": "Contoso",
        "short_name": "contoso",
        "plan": {"name": "E5", "includes_lockbox": True},
        "lockbox_on": True,
        "ruled_out_levels": ["act_as"],
        "longest_window_seconds": 14400,
        "yes_rule": "any",
        "two_person_control": False,
        "time_zone": "UTC",
        "external_id": "",
        "is_active": True,
        "cosigned_within_hours": None,
        "log_kept_days": None,
    }


def test_a_tenants_settings_are_only_for_its_people_and_staff(cast: Cast, calling: Calling) -> None:
    cases = [
        *((name, 200) for name in ("mia", "ada", "otto", "ines", "contoso", "stella", None)),
        *((name, 404) for name in ("priya", "pat", "bea", "frida", "finn", "fabrikam")),
    ]
    with collected() as case:
        for name, status in cases:
            with case(name, status):
                caller = calling(name, Scope.TENANT_READ)
                assert caller.get(of(cast)).status_code == status
                for rest in ("/addresses", "/under-way"):
                    assert caller.get(of(cast, rest)).status_code == status


def test_the_providers_open_invitations_are_listed_before_the_first_switch(cast: Cast, calling: Calling) -> None:
    cast.peaceful()
    Tenant.objects.update(lockbox_first_on_at=None)
    row = cast.invited_colleague()
    caller = calling("mia", Scope.TENANT_READ)
    [found] = caller.get(of(cast, "/under-way")).json()["invited"]
    assert (found["email"], found["role"], found["queues"]) == (row.email, "engineer", ["Exchange Online"])
    assert found["invited_by"] == "Stella Test"
    operations.switch_lockbox(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    assert caller.get(of(cast, "/under-way")).json()["invited"] == []


def test_access_requests_under_way_are_counted_before_a_switch(cast: Cast, calling: Calling) -> None:
    cast.submitted(), cast.submitted(), cast.confirmed(), cast.opened()
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    cast.submitted()
    found = calling("mia", Scope.TENANT_READ).get(of(cast, "/under-way")).json()
    assert found == {
        "with_provider": 3,
        "bound_for_customer": 2,
        "with_customer": 1,
        "open": 1,
        "invited": [],
    }


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("mia", ["Contoso"]),
        ("fabrikam", ["Fabrikam"]),
        ("stella", ["Contoso", "Fabrikam", "Northwind"]),
        (None, ["Contoso", "Fabrikam", "Northwind"]),
        # An engineer sees the tenants for which they can record a ticket. A provider approver sees a tenant only in an
        # access request.
        ("samir", ["Contoso", "Fabrikam", "Northwind"]),
        ("pat", []),
    ],
)
def test_each_lists_the_tenants_that_they_know(
    cast: Cast, calling: Calling, name: str | None, names: list[str]
) -> None:
    caller = calling(name, Scope.TENANT_READ)
    assert [each["name"] for each in items(caller.get("tenants"))] == names
    assert [each["name"] for each in items(caller.get("tenants", {"order": "-name"}))] == names[::-1]
    wanted = [each for each in names if "on" in each]
    assert [each["name"] for each in items(caller.get("tenants", {"name": "ON"}))] == wanted


def test_a_list_of_tenants_says_nothing_of_how_they_are_set_up(cast: Cast, calling: Calling) -> None:
    assert [sorted(each) for each in items(calling("samir").get("tenants"))] == [["id", "name"]] * 3
    assert calling("samir").get("tenants", {"lockbox_on": "true"}).json()["code"] == "unknown_parameter"


@pytest.mark.parametrize("name", ["ines", "contoso", None])
def test_without_the_scope_nothing_is_read_or_changed(cast: Cast, calling: Calling, name: str | None) -> None:
    caller = calling(name, Scope.REQUESTS_READ)
    before = events_in(cast.contoso)
    for response in (
        caller.get("tenants"),
        caller.get(of(cast)),
        caller.get(of(cast, "/addresses")),
        caller.get(of(cast, "/resources")),
        caller.get(of(cast, "/under-way")),
        caller.get("services"),
        caller.patch(of(cast), {"longest_window_seconds": 3600}, If_Match='"x"'),
        caller.post(of(cast, "/disable-lockbox")),
        caller.post(of(cast, "/addresses"), {"email": "soc@contoso.example"}),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert events_in(cast.contoso) == before
    assert Tenant.objects.get(pk=cast.contoso.pk).lockbox_on


def test_a_reader_with_the_present_etag_gets_304(cast: Cast, calling: Calling) -> None:
    mia = calling("mia")
    tag = mia.get(of(cast))["ETag"]
    again = mia.get(of(cast), If_None_Match=tag)
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)


# --- The maximum length of windows ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ines", "contoso"])
def test_an_administrator_sets_the_longest_window(cast: Cast, calling: Calling, name: str) -> None:
    caller = calling(name, Scope.TENANT_READ, Scope.TENANT_MANAGE)
    tag = caller.get(of(cast))["ETag"]
    found = caller.patch(of(cast), {"longest_window_seconds": 7200}, If_Match=tag)
    assert (found.status_code, found.json()["longest_window_seconds"]) == (200, 7200)
    assert found["ETag"] == caller.get(of(cast))["ETag"] != tag
    assert last_entry(cast) == ("tenant.changed", "api", {"window_cap": 7200, "window_cap_before": 14400})


def test_the_second_of_two_administrators_must_read_again(cast: Cast, calling: Calling) -> None:
    one, other = calling("ines"), calling("contoso", Scope.TENANT_READ, Scope.TENANT_MANAGE)
    tag = one.get(of(cast))["ETag"]
    assert other.get(of(cast))["ETag"] == tag
    assert one.patch(of(cast), {"longest_window_seconds": 7200}, If_Match=tag).status_code == 200
    before = events_in(cast.contoso)
    late = other.patch(of(cast), {"longest_window_seconds": 28800}, If_Match=tag)
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    for tags in ({}, {"If_Match": "*"}):
        unread = other.patch(of(cast), {"longest_window_seconds": 28800}, **tags)
        assert unread.status_code == (412 if tags else 428)
    assert Tenant.objects.get(pk=cast.contoso.pk).window_cap == 7200
    assert events_in(cast.contoso) == before


def test_one_of_two_simultaneous_readers_makes_the_change(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    ines = calling("ines")
    tag = ines.get(of(cast))["ETag"]
    plain = operations.set_window_cap

    def overtaken(tenant_id: Any, **wanted: Any) -> Any:
        monkeypatch.setattr(operations, "set_window_cap", plain)
        plain(tenant_id, seconds=28800, actor=cast.as_("ines"))
        return plain(tenant_id, **wanted)

    monkeypatch.setattr(operations, "set_window_cap", overtaken)
    found = ines.patch(of(cast), {"longest_window_seconds": 7200}, If_Match=tag)
    assert (found.status_code, found.json()["code"]) == (409, "wrong_state")
    assert Tenant.objects.get(pk=cast.contoso.pk).window_cap == 28800
    assert events_in(cast.contoso)[-2:] == ["tenant.changed", "act.refused"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"longest_window_seconds": 7201}, "longest_window_seconds"),
        ({"longest_window_seconds": 10**30}, "longest_window_seconds"),
        ({"longest_window_seconds": "7200"}, "longest_window_seconds"),
        ({"longest_window_seconds": True}, "longest_window_seconds"),
        ({}, "longest_window_seconds"),
        # One member that only staff can set, and one that has a separate act.
        ({"longest_window_seconds": 7200, "name": "Mine"}, "name"),
        ({"longest_window_seconds": 7200, "lockbox_on": False}, "lockbox_on"),
    ],
)
def test_nothing_else_is_changed_so(cast: Cast, calling: Calling, body: dict[str, Any], field: str) -> None:
    ines = calling("ines")
    tag = ines.get(of(cast))["ETag"]
    found = ines.patch(of(cast), body, If_Match=tag)
    assert found.status_code == 422
    assert [each["field"] for each in found.json()["errors"]] == [field]
    assert ines.get(of(cast))["ETag"] == tag


# --- Refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_nobody_but_its_administrator_changes_a_tenant(cast: Cast, calling: Calling, name: str) -> None:
    address = operations.add_address(cast.contoso.pk, email="duty@contoso.example", actor=cast.as_("ines"))
    caller = calling(name)
    tag, before = caller.get(of(cast))["ETag"], Tenant.objects.filter(pk=cast.contoso.pk).values().get()
    done = events_in(cast.contoso)
    for response in (
        caller.patch(of(cast), {"longest_window_seconds": 7200}, If_Match=tag),
        caller.post(of(cast, "/disable-lockbox")),
        caller.post(of(cast, "/addresses"), {"email": "soc@contoso.example"}),
        caller.delete(of(cast, f"/addresses/{address.pk}")),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "not_allowed")
    assert Tenant.objects.filter(pk=cast.contoso.pk).values().get() == before
    assert list(NotificationAddress.objects.values_list("email", flat=True)) == ["duty@contoso.example"]
    # Each attempt writes an entry into the tenant's log, and changes nothing else.
    assert events_in(cast.contoso)[len(done) :] == ["act.refused"] * 4
    assert not OutboxMessage.objects.exists()


def test_a_client_of_the_providers_is_not_given_what_changes_a_tenant(cast: Cast, calling: Calling) -> None:
    found = calling(None).post(of(cast, "/disable-lockbox"))
    assert (found.status_code, found.json()["code"]) == (403, "insufficient_scope")
    assert Tenant.objects.get(pk=cast.contoso.pk).lockbox_on


# --- Lockbox -------------------------------------------------------------------------------------------------


def test_lockbox_is_switched_off_and_on(cast: Cast, calling: Calling) -> None:
    ines = calling("ines")
    off = ines.post(of(cast, "/disable-lockbox"))
    assert (off.status_code, off.json()["lockbox_on"]) == (200, False)
    assert last_entry(cast) == ("lockbox.switched_off", "api", {"on": False})
    again = ines.post(of(cast, "/disable-lockbox"))
    assert (again.status_code, again.json()["lockbox_on"]) == (200, False)
    on = ines.post(of(cast, "/enable-lockbox"))
    assert (on.status_code, on.json()["lockbox_on"]) == (200, True)
    assert on["ETag"] == ines.get(of(cast))["ETag"]
    found = [event for event in events_in(cast.contoso) if event.startswith("lockbox.")]
    assert found == ["lockbox.switched_off", "lockbox.switched_on"]


def test_a_switch_that_is_repeated_with_its_key_is_made_once(cast: Cast, calling: Calling) -> None:
    ines = calling("ines")
    answers = [ines.post(of(cast, "/disable-lockbox"), Idempotency_Key="once") for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert events_in(cast.contoso).count("lockbox.switched_off") == 1


def test_a_tenant_whose_plan_lacks_lockbox_cannot_switch_it_on(cast: Cast, calling: Calling) -> None:
    found = calling("noah").post(f"tenants/{cast.northwind.pk}/enable-lockbox")
    assert (found.status_code, found.json()["code"]) == (422, "unacceptable")
    assert not Tenant.objects.get(pk=cast.northwind.pk).lockbox_on


# --- Addresses -----------------------------------------------------------------------------------------------


def test_an_address_is_added_read_and_removed(cast: Cast, calling: Calling) -> None:
    ines = calling("ines")
    made = ines.post(of(cast, "/addresses"), {"email": " SOC@Contoso.example ", "label": "Security"})
    body = made.json()
    assert made.status_code == 201
    assert (body["email"], body["label"]) == ("soc@contoso.example", "Security")
    assert made["Location"].endswith(f"/api/v1/{of(cast)}/addresses/{body['id']}")
    fields = {"email": "soc@contoso.example", "label": "Security"}
    assert last_entry(cast) == ("notification_address.added", "api", fields)
    mia = calling("mia")
    assert mia.get(made["Location"]).json() == body
    assert items(mia.get(of(cast, "/addresses"))) == [body]
    again = ines.post(of(cast, "/addresses"), {"email": "soc@contoso.example"})
    assert (again.status_code, again.json()["errors"][0]["field"]) == (422, "email")
    assert ines.delete(of(cast, f"/addresses/{body['id']}")).status_code == 204
    assert last_entry(cast) == ("notification_address.removed", "api", {"email": "soc@contoso.example"})
    assert ines.delete(of(cast, f"/addresses/{body['id']}")).status_code == 404
    assert items(ines.get(of(cast, "/addresses"))) == []


def test_an_address_is_found_only_in_its_own_tenant(cast: Cast, calling: Calling) -> None:
    theirs = operations.add_address(cast.fabrikam.pk, email="duty@fabrikam.example", actor=cast.as_("finn"))
    for name in ("ines", "stella"):
        caller = calling(name)
        assert caller.get(of(cast, f"/addresses/{theirs.pk}")).status_code == 404
        assert caller.delete(of(cast, f"/addresses/{theirs.pk}")).status_code == 404
    assert NotificationAddress.objects.filter(pk=theirs.pk).exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "no address"},
        {"email": 1},
        {"email": "a@b.example", "label": "x" * 81},
        {"email": "a@b.example", "id": "1"},
    ],
)
def test_a_malformed_address_is_refused(cast: Cast, calling: Calling, body: dict[str, Any]) -> None:
    assert calling("ines").post(of(cast, "/addresses"), body).status_code == 422
    assert not NotificationAddress.objects.exists()


def test_addresses_are_listed_in_the_order_that_is_asked_for(cast: Cast, calling: Calling) -> None:
    for name in ("b", "a", "c"):
        operations.add_address(cast.contoso.pk, email=f"{name}@contoso.example", actor=cast.as_("ines"))
    ines = calling("ines")
    for order, wanted in (("email", "abc"), ("-email", "cba"), ("created_at", "bac"), ("-created_at", "cab")):
        found = items(ines.get(of(cast, "/addresses"), {"order": order}))
        assert "".join(each["email"][0] for each in found) == wanted
    assert ines.get(of(cast, "/addresses"), {"order": "label"}).status_code == 422


# --- Services and resources ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("mia", ["exchange-online", "sharepoint-online"]),
        ("contoso", ["exchange-online", "sharepoint-online"]),
        ("samir", ["sharepoint-online"]),
        ("stella", ["exchange-online", "sharepoint-online"]),
        (None, ["exchange-online", "sharepoint-online"]),
    ],
)
def test_services_are_those_of_ones_queues_or_all(
    cast: Cast, calling: Calling, name: str | None, keys: list[str]
) -> None:
    caller = calling(name, Scope.TENANT_READ)
    found = items(caller.get("services"))
    assert [each["key"] for each in found] == keys
    for each in found:
        assert caller.get(f"services/{each['id']}").json() == each
    wanted = [each for each in found if each["key"] == "exchange-online"]
    assert items(caller.get("services", {"key": "exchange-online"})) == wanted
    assert items(caller.get("services", {"is_covered": "false"})) == []
    if not wanted:
        assert caller.get(f"services/{cast.exchange.pk}").status_code == 404


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("mia", ["finance@contoso.example", "legal documents", "sales@contoso.example"]),
        ("contoso", ["finance@contoso.example", "legal documents", "sales@contoso.example"]),
        ("stella", ["finance@contoso.example", "legal documents", "sales@contoso.example"]),
        (None, ["finance@contoso.example", "legal documents", "sales@contoso.example"]),
        ("erik", ["finance@contoso.example", "sales@contoso.example"]),
        ("samir", ["legal documents"]),
        ("frida", None),
    ],
)
def test_resources_are_the_tenants_own_or_those_of_ones_queues(
    cast: Cast, calling: Calling, name: str | None, names: list[str] | None
) -> None:
    caller = calling(name, Scope.TENANT_READ)
    found = caller.get(of(cast, "/resources"))
    if names is None:
        assert found.status_code == 404
        return
    assert [each["name"] for each in items(found)] == names
    for each in items(found):
        assert caller.get(of(cast, f"/resources/{each['id']}")).json() == each


def test_resources_are_found_by_what_is_known_of_them(cast: Cast, calling: Calling) -> None:
    operations.save_resource(resource_id=cast.resource(name="sales").pk, is_active=False, actor=cast.as_("stella"))
    ada = calling("ada")
    for query, names in (
        ({"service": cast.sharepoint.pk}, ["legal documents"]),
        ({"kind": "mailbox"}, ["finance@contoso.example", "sales@contoso.example"]),
        ({"name": "FINANCE"}, ["finance@contoso.example"]),
        ({"locator": "contoso/docs/legal"}, ["legal documents"]),
        ({"locator": "contoso/docs"}, []),
        ({"is_active": "false"}, ["sales@contoso.example"]),
        ({"kind": "database"}, []),
        ({"order": "-name", "is_active": "true"}, ["legal documents", "finance@contoso.example"]),
    ):
        assert [each["name"] for each in items(ada.get(of(cast, "/resources"), query))] == names, query
    for query in ({"kind": "drawer"}, {"is_active": "1"}, {"service": "x"}, {"name": ""}):
        assert ada.get(of(cast, "/resources"), query).status_code == 422


def test_a_resource_is_found_only_in_its_own_tenant(cast: Cast, calling: Calling) -> None:
    theirs = cast.resource("fabrikam")
    for name in ("ines", "stella", "erik"):
        assert calling(name).get(of(cast, f"/resources/{theirs.pk}")).status_code == 404


def test_what_is_external_says_so(cast: Cast, calling: Calling) -> None:
    grant, caller = cast.in_quillo(), calling("ada", Scope.TENANT_READ, Scope.REQUESTS_READ, Scope.GRANTS_READ)
    [service] = items(caller.get("services", {"key": "quillo"}))
    assert (service["is_external"], service["application"]) == (True, "Quillo")
    assert (service["link_template"], service["guidance"]) == ("", "")
    [theirs] = items(calling("stella", Scope.TENANT_READ).get("services", {"key": "quillo"}))
    assert [level["level"] for level in service["levels"]] == ["names", "read"]
    assert (theirs["link_template"], theirs["guidance"]) == (QUILLO["link_template"], QUILLO["guidance"])
    [resource] = items(caller.get(of(cast, "/resources"), {"external_id": "7"}))
    assert (resource["kind"], resource["locator"], resource["external_id"]) == ("workspace", "", "7")
    assert caller.get(f"access-requests/{grant.access_request_id}").json()["enforced_by"] == "Quillo"
    assert caller.get(f"grants/{grant.pk}").json()["enforced_by"] == "Quillo"
    [exchange] = items(caller.get("services", {"key": "exchange-online"}))
    assert (exchange["is_external"], exchange["application"]) == (False, "")
